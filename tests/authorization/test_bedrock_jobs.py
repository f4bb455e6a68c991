"""Policies on customization jobs: by ARN and by tags, however a request names the job."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import REGION, Client, Inside, running_inside
from statements import ACCOUNT, OTHER, allow, document

from outcrop.authorization.bedrock_jobs import is_job
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.model_records import DataKey
from outcrop.stores.resources import Place

HERE = f"arn:aws:bedrock:{REGION}:{ACCOUNT}"
KIND = f"{HERE}:model-customization-job"
OURS = f"{KIND}/amazon.titan-text-express-v1:0:8k/abcdefghijkl"
OTHERS = f"{KIND}/amazon.titan-text-express-v1:0:8k/bcdefghijklm"
RECORD = CustomizationJob(
    base_model="amazon.titan-text-express-v1:0:8k",
    type="FINE_TUNING",
    role_arn=f"arn:aws:iam::{ACCOUNT}:role/job",
    model_name="m",
    model_arn=f"{HERE}:custom-model/amazon.titan-text-express-v1:0:8k/abcdefghijkl",
    training_uri="s3://bucket/t.jsonl",
    output_uri="s3://bucket",
    hyperparameters={},
    engine="e",
    base="b",
    data_key=DataKey(kms_key="k", ciphertext=b"", context="c", grant="g"),
    by="u",
)
GET = "GetModelCustomizationJob"


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    async with running_inside(tmp_path, monkeypatch, OTHER) as inside:
        async with inside.deployment.state.stores.resources.writing() as transaction:
            for name, arn, team in (("ours", OURS, "ore"), ("others", OTHERS, "coal")):
                place = Place(ACCOUNT, REGION, name)
                await transaction.add(RECORD, place, arn=arn, tags={"Team": team})
        yield inside


async def person(inside: Inside, *statements: Any, account: str = ACCOUNT) -> Client:
    return inside.client(await inside.user(account, "ann", document(*statements)))


async def refused(client: Client, identifier: str, operation: str = GET) -> str:
    with pytest.raises(ClientError) as caught:
        await client.ask("bedrock", operation, jobIdentifier=identifier)
    error: Any = caught.value.response
    assert error["Error"]["Code"] == "AccessDeniedException"
    return error["Error"]["Message"]


async def test_leave_for_one_job_is_leave_for_its_name_and_for_no_other(inside: Inside) -> None:
    ann = await person(inside, allow(f"bedrock:{GET}", OURS))
    for identifier in (OURS, "ours"):
        answer = await ann.ask("bedrock", GET, jobIdentifier=identifier)
        assert answer["jobName"] == "ours"
    for identifier in (OTHERS, "others"):
        assert f"on resource: {OTHERS}" in await refused(ann, identifier)
    assert f"{KIND}/nobody-s" in await refused(ann, "nobody-s")


async def test_a_job_that_is_denied_is_not_had_by_its_name(inside: Inside) -> None:
    deny = {"Effect": "Deny", "Action": "bedrock:*", "Resource": OTHERS}
    ann = await person(inside, allow("bedrock:*"), deny)
    for identifier in (OTHERS, "others"):
        for operation in (GET, "StopModelCustomizationJob"):
            assert "explicit deny" in await refused(ann, identifier, operation)
    assert await ann.ask("bedrock", GET, jobIdentifier="ours")


async def test_tags_of_a_job_decide(inside: Inside) -> None:
    condition = {"StringEquals": {"aws:ResourceTag/Team": "ore"}}
    ann = await person(inside, allow("bedrock:*", Condition=condition))
    for identifier in (OURS, "ours"):
        assert await ann.ask("bedrock", GET, jobIdentifier=identifier)
        await ann.ask("bedrock", "StopModelCustomizationJob", jobIdentifier=identifier)
    for identifier in (OTHERS, "others", "nobody-s"):
        await refused(ann, identifier)
    tags = await ann.ask("bedrock", "ListTagsForResource", resourceARN=OURS)
    assert tags["tags"] == [{"key": "Team", "value": "ore"}]
    with pytest.raises(ClientError, match="AccessDenied"):
        await ann.ask("bedrock", "ListTagsForResource", resourceARN=OTHERS)


async def test_another_account_s_job_needs_leave_that_nobody_can_give(inside: Inside) -> None:
    eve = await person(inside, allow("*"), account=OTHER)
    for arn in (OURS, f"{KIND}/amazon.titan-text-express-v1:0:8k/nobodysjobxx"):
        assert "resource-based policy" in await refused(eve, arn)


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        (OURS, True),
        (f"{KIND}/ours", True),
        (f"{KIND}/*", False),
        ("*", False),
        ("", False),
        (f"{HERE}:custom-model/a.b/abcdefghijkl", False),
        ("a:b:c", False),
    ],
)
def test_what_is_to_be_made_is_no_job_yet(arn: str, expected: bool) -> None:
    assert is_job(arn) is expected
