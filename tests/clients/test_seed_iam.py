"""The documents' own steps for the role of a customization job, run with the AWS CLI and boto3, and
every IAM policy document of theirs: kept as it is, or refused where it is broken as JSON."""

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from running_gateways import ACCOUNT, Gateway

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "seed-examples"

ROLE = "MyBedrockModelCustomizationRole"
DOCUMENTS = {
    "BedrockAssumeRolePolicy.json": "RUN-097.json",
    "BedrockAccessTrainingValidationS3Policy.json": "RUN-098.json",
    "BedrockAccessOutputS3Policy.json": "RUN-099.json",
}
TRAINING = f"arn:aws:iam::{ACCOUNT}:policy/MyBedrockTrainingValidationS3BucketPolicy"
OUTPUT = f"arn:aws:iam::{ACCOUNT}:policy/MyBedrockOutputS3BucketPolicy"

# What stands where IAM takes an ARN only; the document's reader fills it in.
FILLED_IN = {
    "RUN-152": {
        "knowledge-base-arn": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:knowledge-base/ABCDEFGHIJ"
    }
}


@pytest.fixture
def iam(scripted_gateway: Gateway) -> Any:
    return scripted_gateway.client("iam")


@pytest.fixture
def folder(iam: Any, tmp_path: Path) -> Iterator[Path]:
    """Where the commands find the documents; what they made is taken away afterwards."""
    target = tmp_path / "path" / "to"
    target.mkdir(parents=True)
    for name, example in DOCUMENTS.items():
        (target / name).write_bytes((EXAMPLES / example).read_bytes())
    yield tmp_path
    for arn in (TRAINING, OUTPUT):
        iam.detach_role_policy(RoleName=ROLE, PolicyArn=arn)
        iam.delete_policy(PolicyArn=arn)
    iam.delete_role(RoleName=ROLE)


def _command(example: str, **placeholders: str) -> str:
    text = (EXAMPLES / f"{example}.sh").read_text(encoding="utf-8")
    for name, value in placeholders.items():
        assert name in text
        text = text.replace(name, value)
    return text


def _run(command: str, gateway: Gateway, aws: Path, folder: Path) -> Any:
    environment = dict(gateway.environment)
    environment["PATH"] = f"{aws.parent}:{environment['PATH']}"
    environment["AWS_PAGER"] = ""
    done = subprocess.run(
        ["sh", "-c", command],
        env=environment,
        cwd=folder,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout or b"{}")


@pytest.mark.parametrize("version", ["aws_v1", "aws_v2"])
def test_the_steps_of_the_document_equip_a_role(
    version: str, scripted_gateway: Gateway, iam: Any, folder: Path, request: Any
) -> None:
    aws: Path = request.getfixturevalue(version)

    def run(example: str, **placeholders: str) -> Any:
        return _run(_command(example, **placeholders), scripted_gateway, aws, folder)

    role = run("RUN-100")["Role"]
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
    assert role["AssumeRolePolicyDocument"] == _document("RUN-097")
    training = run("RUN-101")["Policy"]["Arn"]
    output = run("RUN-102")["Policy"]["Arn"]
    run("RUN-103", PolicyARNFromCreateTrainingValidationPolicyStep=training)
    run("RUN-104", PolicyARNFromCreateOutputPolicyStep=output)
    attached = iam.list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [TRAINING, OUTPUT]
    for arn, example in ((TRAINING, "RUN-098"), (OUTPUT, "RUN-099")):
        version_id = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        kept = iam.get_policy_version(PolicyArn=arn, VersionId=version_id)["PolicyVersion"]
        assert kept["Document"] == _document(example)


def test_boto3_takes_the_same_steps(iam: Any, folder: Path) -> None:
    def text(name: str) -> str:
        return (folder / "path" / "to" / name).read_text(encoding="utf-8")

    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=text("BedrockAssumeRolePolicy.json"))
    for arn, name in (
        (TRAINING, "BedrockAccessTrainingValidationS3Policy.json"),
        (OUTPUT, "BedrockAccessOutputS3Policy.json"),
    ):
        made = iam.create_policy(PolicyName=arn.rpartition("/")[2], PolicyDocument=text(name))
        iam.attach_role_policy(RoleName=ROLE, PolicyArn=made["Policy"]["Arn"])
    decided = iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:role/{ROLE}",
        ActionNames=["s3:GetObject", "s3:DeleteObject"],
        ResourceArns=["arn:aws:s3:::my_training_data_bucket/myfolder/train.jsonl"],
    )["EvaluationResults"]
    assert [each["EvalDecision"] for each in decided] == ["allowed", "implicitDeny"]


def test_a_placeholder_left_in_a_command_is_no_arn(iam: Any) -> None:
    name = "seed-placeholder"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=_text("RUN-097"))
    with pytest.raises(iam.exceptions.InvalidInputException):
        iam.attach_role_policy(
            RoleName=name, PolicyArn="PolicyARNFromCreateTrainingValidationPolicyStep"
        )
    iam.delete_role(RoleName=name)


def test_a_placeholder_left_in_a_document_is_no_resource(iam: Any) -> None:
    text = (EXAMPLES / "RUN-152.json").read_text(encoding="utf-8")
    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException) as caught:
        iam.create_policy(PolicyName="seed-placeholder", PolicyDocument=text)
    assert 'knowledge-base-arn must be in ARN format or "*"' in str(caught.value)


@cache
def _kinds() -> dict[str, str]:
    """The IAM documents of the index by their ID."""
    rows = (EXAMPLES / "index.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in row.split("|")] for row in rows if row.startswith("| RUN-")]
    return {
        row[1]: row[3]
        for row in cells
        if re.match(r"IAM (role trust|role|identity|permissions) ?\w* ?polic", row[3])
    }


def _text(example: str) -> str:
    text = (EXAMPLES / f"{example}.json").read_text(encoding="utf-8")
    for placeholder, value in FILLED_IN.get(example, {}).items():
        text = text.replace(f'"{placeholder}"', f'"{value}"')
    return text


def _document(example: str) -> Any:
    return json.loads(_text(example))


def _is_json(example: str) -> bool:
    try:
        _document(example)
    except ValueError:
        return False
    return True


def _examples(*, trust: bool, whole: bool) -> list[str]:
    return [
        example
        for example, kind in _kinds().items()
        if ("trust" in kind) is trust and _is_json(example) is whole
    ]


def test_the_index_has_these_documents() -> None:
    assert len(_examples(trust=True, whole=True)) == 7
    assert _examples(trust=True, whole=False) == ["RUN-192"]
    assert len(_examples(trust=False, whole=True)) == 20
    assert _examples(trust=False, whole=False) == [
        "RUN-146",
        "RUN-173",
        "RUN-176",
        "RUN-178",
        "RUN-182",
        "RUN-190",
    ]


@pytest.mark.parametrize("example", _examples(trust=True, whole=True))
def test_a_trust_policy_of_the_documents_makes_a_role(example: str, iam: Any) -> None:
    name = f"seed-{example}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=_text(example))
    kept = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    assert kept == _document(example)
    iam.delete_role(RoleName=name)


@pytest.mark.parametrize("example", _examples(trust=True, whole=False))
def test_a_broken_trust_policy_makes_none(example: str, iam: Any) -> None:
    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException):
        iam.create_role(RoleName=f"seed-{example}", AssumeRolePolicyDocument=_text(example))
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName=f"seed-{example}")


@pytest.fixture(scope="module")
def holder(scripted_gateway: Gateway) -> Iterator[str]:
    iam = scripted_gateway.client("iam")
    iam.create_role(RoleName="seed-holder", AssumeRolePolicyDocument=_text("RUN-097"))
    yield "seed-holder"
    iam.delete_role(RoleName="seed-holder")


@pytest.mark.parametrize("example", _examples(trust=False, whole=True))
def test_a_policy_of_the_documents_is_kept_as_it_is(example: str, iam: Any, holder: str) -> None:
    made = iam.create_policy(PolicyName=f"seed-{example}", PolicyDocument=_text(example))["Policy"]
    version = iam.get_policy_version(PolicyArn=made["Arn"], VersionId="v1")["PolicyVersion"]
    assert version["Document"] == _document(example)
    iam.delete_policy(PolicyArn=made["Arn"])
    iam.put_role_policy(RoleName=holder, PolicyName=example, PolicyDocument=_text(example))
    inline = iam.get_role_policy(RoleName=holder, PolicyName=example)
    assert inline["PolicyDocument"] == _document(example)
    iam.delete_role_policy(RoleName=holder, PolicyName=example)


@pytest.mark.parametrize("example", _examples(trust=False, whole=False))
def test_a_broken_policy_is_refused(example: str, iam: Any, holder: str) -> None:
    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException):
        iam.create_policy(PolicyName=f"seed-{example}", PolicyDocument=_text(example))
    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException):
        iam.put_role_policy(RoleName=holder, PolicyName=example, PolicyDocument=_text(example))
    assert iam.list_role_policies(RoleName=holder)["PolicyNames"] == []
