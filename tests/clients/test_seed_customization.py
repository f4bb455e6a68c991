"""The documents' commands and programs for customization jobs (RUN-105 to RUN-118), with both AWS
CLIs and Python.

Every placeholder is filled in. Besides, the braces of RUN-107 get the quote that they lack, RUN-108
and RUN-109 name the options that the AWS CLI has, and RUN-110 leaves out the member that no client
takes: with it, boto3 refuses the program. RUN-118 needs a library of tables that nothing here has.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_gateways import ACCOUNT, SCRIPTED, Gateway, start_gateway

from outcrop.security.masterkey import load_master_key
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.database import Database
from outcrop.stores.model_records import DataKey
from outcrop.stores.resources import Place, Resources

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "seed-examples"
EXPRESS = "amazon.titan-text-express-v1"
ROLE = "MyBedrockModelCustomizationRole"
PLACE = Place(ACCOUNT, "us-east-1", "under-way")
JOB_ARN = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:model-customization-job/{EXPRESS}:0:8k/runrunrunrun"
BEFORE = {
    "foundation-model-id": EXPRESS,
    "arn:aws:iam::arn-for-MyBedrockModelCustomizationRole": f"arn:aws:iam::{ACCOUNT}:role/{ROLE}",
}
JOB = {"arn:aws:bedrock:job-arn-from-create-model-customization": JOB_ARN}
RECORD = CustomizationJob(
    base_model=f"{EXPRESS}:0:8k",
    type="FINE_TUNING",
    role_arn=f"arn:aws:iam::{ACCOUNT}:role/{ROLE}",
    model_name="tuned",
    model_arn=JOB_ARN.replace("model-customization-job", "custom-model"),
    training_uri="s3://bucket/path/to/train.jsonl",
    output_uri="s3://bucket/path/to/",
    hyperparameters={"epochCount": "1"},
    engine="base",
    base="base.gguf:4:c217f3168397e6abf99e745082cd6606",
    data_key=DataKey(kms_key="k", ciphertext=b"", context=JOB_ARN, grant="g"),
    by=f"arn:aws:iam::{ACCOUNT}:user/admin",
)

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """With an engine whose weights could be trained, a role that Bedrock may assume, and room."""
    folder = tmp_path_factory.mktemp("customization")
    (folder / "base.gguf").write_bytes(b"GGUF")
    toml = f"""{SCRIPTED}
[engines.base]
kind = "llama"
model = "{folder / "base.gguf"}"

[[bind]]
pattern = "{EXPRESS}"
engine = "base"
"""
    gateway = start_gateway(folder, toml)
    trust = (EXAMPLES / "RUN-097.json").read_text(encoding="utf-8").replace("111122223333", ACCOUNT)
    gateway.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust)
    yield gateway
    gateway.stop()


@pytest.fixture(params=["aws_v1", "aws_v2"])
def aws(request: Any) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture
def under_way(gateway: Gateway) -> Iterator[None]:
    """A job that nobody works on: it stays in progress."""
    asyncio.run(_put(gateway, there=True))
    yield
    asyncio.run(_put(gateway, there=False))


async def _put(gateway: Gateway, *, there: bool) -> None:
    database = await Database.open(gateway.data_dir / "outcrop.db")
    key = load_master_key(gateway.data_dir, {}, create=False)
    async with Resources(database, key).writing() as transaction:
        if there:
            await transaction.add(RECORD, PLACE, arn=JOB_ARN)
        else:
            await transaction.remove(CustomizationJob, PLACE)
    await database.close()


def text(example: str, **replaced: str) -> str:
    found = (EXAMPLES / example).read_text(encoding="utf-8")
    for placeholder, value in replaced.items():
        assert placeholder in found, placeholder
        found = found.replace(placeholder, value)
    return found


def shell(gateway: Gateway, aws: Path, command: str, folder: Path) -> Done:
    environment = {**gateway.environment, "AWS_PAGER": ""}
    environment["PATH"] = f"{aws.parent}:{environment['PATH']}"
    return _run(["sh", "-c", command], environment, folder)


def python(gateway: Gateway, program: str) -> Done:
    return _run([sys.executable, "-c", program], gateway.environment)


def _run(command: list[str], environment: dict[str, str], folder: Path | None = None) -> Done:
    return subprocess.run(
        command,
        env=environment,
        cwd=folder,
        capture_output=True,
        timeout=300,
        check=False,
        text=True,
    )


def ran(done: Done) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def the_command(folder: Path, name: str) -> str:
    """RUN-106, with the file of RUN-105 where it looks for it."""
    (folder / "path" / "to").mkdir(parents=True)
    (folder / "path" / "to" / "FineTuningData.json").write_text(text("RUN-105.json"))
    filled = {**BEFORE, '"job-name"': name, '"custom-model-name"': name}
    return text("RUN-106.sh", **filled).strip()


def created(gateway: Gateway, name: str) -> dict[str, Any]:
    return gateway.client("bedrock").get_model_customization_job(jobIdentifier=name)


def test_the_command_with_its_file_submits_a_job(
    gateway: Gateway, aws: Path, tmp_path: Path
) -> None:
    name = f"file-{aws.parent.name}"
    told = json.loads(ran(shell(gateway, aws, the_command(tmp_path, name), tmp_path)))
    found = created(gateway, name)
    assert found["jobArn"] == told["jobArn"]
    assert found["trainingDataConfig"] == {"s3Uri": "s3://bucket/path/to/train.jsonl"}
    assert found["validationDataConfig"] == {
        "validators": [{"s3Uri": "s3://bucket/path/to/validation.jsonl"}]
    }
    assert found["outputDataConfig"] == {"s3Uri": "s3://bucket/path/to/output-folder"}
    assert found["hyperParameters"]["learningRate"] == "0.005"


def test_the_command_takes_a_network_a_key_and_tags(
    gateway: Gateway, aws: Path, tmp_path: Path
) -> None:
    name = f"all-{aws.parent.name}"
    ec2, kms = gateway.client("ec2"), gateway.client("kms")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{each}.0/24")["Subnet"]["SubnetId"]
        for each in (1, 2)
    ]
    group = ec2.create_security_group(VpcId=vpc, GroupName=name, Description=name)["GroupId"]
    key = kms.create_key()["KeyMetadata"]["Arn"]
    network = text(
        "RUN-107.sh",
        **{"{securityGroupIds": '{"securityGroupIds', '"xx"': f'"{group}"'},
        **{"subnet-yy": subnets[0], "subnet-zz": subnets[1]},
    )
    encryption = text(
        "RUN-108.sh",
        **{"--customModelKmsKeyId": "--custom-model-kms-key-id"},
        **{"arn:aws:kms:region:account-id:key/key-id": key},
    )
    tags = [
        text("RUN-109.sh", **{"--tags": each}) for each in ("--job-tags", "--custom-model-tags")
    ]
    options = " ".join(each.strip() for each in (network, encryption, *tags))
    command = f"{the_command(tmp_path, name)} {options}"
    told = json.loads(ran(shell(gateway, aws, command, tmp_path)))
    found = created(gateway, name)
    assert found["vpcConfig"] == {"subnetIds": subnets, "securityGroupIds": [group]}
    assert found["outputModelKmsKeyArn"] == key
    listed = gateway.client("bedrock").list_tags_for_resource(resourceARN=told["jobArn"])
    assert {tag["key"]: tag["value"] for tag in listed["tags"]} == {
        "key1": "value1",
        "key2": "value2",
    }


def test_the_program_submits_a_job_without_a_type_once_its_validators_have_no_name(
    gateway: Gateway,
) -> None:
    program = text("RUN-110.py", **BEFORE)
    assert 'Unknown parameter in validationDataConfig.validators[0]: "name"' in (
        python(gateway, program).stderr
    )
    ran(python(gateway, program.replace('"name": "validation",', "")))
    assert created(gateway, "job-name")["customizationType"] == "FINE_TUNING"


@pytest.mark.usefixtures("under_way")
def test_the_commands_list_get_and_stop_it(gateway: Gateway, aws: Path, tmp_path: Path) -> None:
    listed = json.loads(ran(shell(gateway, aws, text("RUN-111.sh"), tmp_path)))
    assert JOB_ARN in [each["jobArn"] for each in listed["modelCustomizationJobSummaries"]]
    for example in ("RUN-112.sh", "RUN-117.sh"):
        told = json.loads(ran(shell(gateway, aws, text(example, **JOB), tmp_path)))
        assert told["status"] == "InProgress"
        assert told["outputDataConfig"]["s3Uri"] == "s3://bucket/path/to/"
    assert ran(shell(gateway, aws, text("RUN-115.sh", **JOB), tmp_path)) == ""
    assert created(gateway, JOB_ARN)["status"] == "Stopping"


@pytest.mark.usefixtures("under_way")
def test_the_programs_list_get_and_stop_it(gateway: Gateway) -> None:
    listing = text("RUN-113.py").replace("bedrock.list", "print(bedrock.list").rstrip() + ")"
    assert JOB_ARN in ran(python(gateway, listing))
    assert ran(python(gateway, text("RUN-114.py", **JOB))) == "InProgress\n"
    analysed = text("RUN-118.py", **JOB).replace("import pandas as pd\n", "")
    assert ran(
        python(gateway, f"{analysed}\nprint(fine_tune_job['outputDataConfig']['s3Uri'])")
    ) == ("s3://bucket/path/to/\n")
    ran(python(gateway, text("RUN-116.py", **JOB)))
    assert created(gateway, JOB_ARN)["status"] == "Stopping"


@pytest.mark.parametrize("example", ["RUN-112.sh", "RUN-115.sh"])
def test_a_placeholder_is_told_to_be_no_arn(
    gateway: Gateway, aws_v1: Path, tmp_path: Path, example: str
) -> None:
    refused = shell(gateway, aws_v1, text(example), tmp_path)
    assert refused.returncode != 0
    assert "(ValidationException)" in refused.stderr
