"""The documents' programs and commands for tags (RUN-028 to RUN-033). Their ARNs are placeholders:
as they stand they are refused, with a real ARN in that place they do what they say."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_gateways import ACCOUNT, Gateway

from outcrop.security.masterkey import load_master_key
from outcrop.stores.database import Database
from outcrop.stores.model_records import CustomModel
from outcrop.stores.resources import Place, Resources

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "seed-examples"
BASE = "amazon.titan-text-express-v1"
ARN = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:custom-model/{BASE}:0:8k/runrunrunrun"
PLACE = Place(ACCOUNT, "us-east-1", "seed-tags")
PLACEHOLDERS = {
    "RUN-028.sh": "arn:aws:resource-arn",
    "RUN-029.sh": "arn:aws:resource-arn",
    "RUN-030.sh": "arn:aws:iam::resource-arn",
    "RUN-031.py": "arn:aws:bedrock:resource-arn",
    "RUN-032.py": "arn:aws:bedrock:resource-arn",
    "RUN-033.py": "arn:aws:bedrock:resource-arn",
}


async def _change_model(gateway: Gateway, *, there: bool) -> None:
    database = await Database.open(gateway.data_dir / "outcrop.db")
    key = load_master_key(gateway.data_dir, {}, create=False)
    async with Resources(database, key).writing() as transaction:
        if there:
            await transaction.add(CustomModel(base_model=BASE), PLACE, arn=ARN)
        else:
            await transaction.remove(CustomModel, PLACE)
    await database.close()


@pytest.fixture
def bedrock(scripted_gateway: Gateway) -> Iterator[Any]:
    """Where there is a custom model to tag."""
    asyncio.run(_change_model(scripted_gateway, there=True))
    yield scripted_gateway.client("bedrock")
    asyncio.run(_change_model(scripted_gateway, there=False))


@pytest.fixture(params=["aws_v1", "aws_v2"])
def aws(request: Any) -> Path:
    return request.getfixturevalue(request.param)


def run(example: str, gateway: Gateway, aws: Path | None, arn: str | None = None) -> Any:
    text = (EXAMPLES / example).read_text(encoding="utf-8")
    placeholder = PLACEHOLDERS[example]
    assert text.count(placeholder) == 1
    text = text.replace(placeholder, arn or placeholder)
    environment = {**gateway.environment, "AWS_PAGER": ""}
    if aws is not None:
        environment["PATH"] = f"{aws.parent}:{environment['PATH']}"
    command = [sys.executable, "-c", text] if aws is None else ["sh", "-c", text]
    return subprocess.run(
        command, env=environment, capture_output=True, timeout=300, check=False, text=True
    )


def done(example: str, gateway: Gateway, aws: Path | None) -> str:
    ended = run(example, gateway, aws, ARN)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def tags_of(bedrock: Any) -> dict[str, str]:
    found = bedrock.list_tags_for_resource(resourceARN=ARN)["tags"]
    return {tag["key"]: tag["value"] for tag in found}


@pytest.mark.parametrize("example", ["RUN-031.py", "RUN-032.py", "RUN-033.py"])
def test_a_program_is_told_that_its_placeholder_is_no_arn(
    example: str, scripted_gateway: Gateway
) -> None:
    ended = run(example, scripted_gateway, None)
    assert ended.returncode == 1
    assert "(ValidationException)" in ended.stderr
    assert PLACEHOLDERS[example] in ended.stderr


@pytest.mark.parametrize("example", ["RUN-028.sh", "RUN-029.sh", "RUN-030.sh"])
def test_a_command_is_told_that_its_placeholder_is_no_arn(
    example: str, scripted_gateway: Gateway, aws_v1: Path
) -> None:
    ended = run(example, scripted_gateway, aws_v1)
    assert ended.returncode != 0
    assert "(ValidationException)" in ended.stderr
    assert PLACEHOLDERS[example] in ended.stderr


def test_the_programs_tag_list_and_untag(bedrock: Any, scripted_gateway: Gateway) -> None:
    bedrock.tag_resource(resourceARN=ARN, tags=[{"key": "kept", "value": "yes"}])
    done("RUN-031.py", scripted_gateway, None)
    assert tags_of(bedrock) == {"kept": "yes", "key1": "value1", "key2": "value2"}
    assert done("RUN-033.py", scripted_gateway, None) == ""
    done("RUN-032.py", scripted_gateway, None)
    assert tags_of(bedrock) == {"kept": "yes"}


def test_the_commands_tag_list_and_untag(
    bedrock: Any, scripted_gateway: Gateway, aws: Path
) -> None:
    done("RUN-028.sh", scripted_gateway, aws)
    listed = json.loads(done("RUN-030.sh", scripted_gateway, aws))["tags"]
    assert listed == [{"key": "key1", "value": "value1"}, {"key": "key2", "value": "value2"}]
    # "key=key1 key2" are the keys "key=key1", which is not there, and "key2".
    done("RUN-029.sh", scripted_gateway, aws)
    assert tags_of(bedrock) == {"key1": "value1"}
    bedrock.tag_resource(resourceARN=ARN, tags=[{"key": "key=key1", "value": ""}])
    done("RUN-029.sh", scripted_gateway, aws)
    assert tags_of(bedrock) == {"key1": "value1"}
