"""The permissions that the documents give the roles of jobs, knowledge bases and agents: each role
is passed to the service, assumed by it, and asked for what its section says and what is near."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from in_process import ADMIN, Inside, running_inside

from outcrop.authorization.access import Access
from outcrop.services.call import Call
from outcrop.services.service_roles import BEDROCK, RoleInUse, pass_role

ACCOUNT, OTHER = "123456789012", "210987654321"
SEED = Path(__file__).resolve().parents[2] / "../shared/seed-examples"
HERE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}"
JOB, BASE, AGENT = (
    f"{HERE}:model-customization-job/amazon.titan-text/abc123",
    f"{HERE}:knowledge-base/KB12345678",
    f"{HERE}:agent/AGENT12345",
)
MODELS = "arn:aws:bedrock:us-east-1::foundation-model"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/0e70fa46-b702-4fe7-807e-8dea0d333f7d"
VIA_S3 = ("s3.us-east-1.amazonaws.com",)
TRUST = {"Effect": "Allow", "Principal": {"Service": BEDROCK}, "Action": "sts:AssumeRole"}
FILLED_IN = (
    ("foundation-model-id", "amazon.titan-embed-text-v1"),
    ("knowledge-base-id", "KB12345678"),
    ("collection-id", "abcdefghij0123456789"),
    ("key-id", "0e70fa46-b702-4fe7-807e-8dea0d333f7d"),
    ("account-id", ACCOUNT),
    (":region:", ":us-east-1:"),
    ("s3.region.", "s3.us-east-1."),
    # What makes RUN-146 no JSON.
    ('"KMS:Decrypt",', '"KMS:Decrypt"'),
)


@dataclass
class Case:
    """``asked`` are accesses that the document allows, ``refused`` others that look like them."""

    example: str
    source_arn: str
    asked: list[tuple[str, str]]
    refused: list[tuple[str, str]]
    via: tuple[str, ...] = field(default=())


def objects(bucket: str, path: str = "myfolder") -> list[tuple[str, str]]:
    folder = f"arn:aws:s3:::{bucket}/{path}"
    return [(f"s3:{action}", f"{folder}/data.jsonl") for action in ("GetObject", "PutObject")]


def other_folders(bucket: str) -> list[tuple[str, str]]:
    return [*objects(bucket, "yours"), *objects(f"{bucket}2")]


CASES = [
    Case(
        "RUN-098",
        JOB,
        [*objects("my_training_data_bucket"), *objects("my_validation_data_bucket")],
        [
            *other_folders("my_training_data_bucket"),
            *objects("my_output_bucket"),
            ("s3:DeleteObject", "arn:aws:s3:::my_training_data_bucket/myfolder/data.jsonl"),
        ],
    ),
    Case(
        "RUN-099",
        JOB,
        objects("my_output_bucket"),
        [*other_folders("my_output_bucket"), *objects("my_training_data_bucket")],
    ),
    Case(
        # Its resources are the folders themselves: no object below them.
        "RUN-191",
        JOB,
        [
            (f"s3:{action}", f"arn:aws:s3:::{bucket}/myfolder")
            for bucket in ("my_training_data_bucket", "my_validation_bucket", "my_output_bucket")
            for action in ("GetObject", "PutObject")
        ],
        [*objects("my_training_data_bucket"), *objects("my_output_bucket")],
    ),
    Case(
        "RUN-144",
        BASE,
        [
            ("bedrock:ListFoundationModels", "*"),
            ("bedrock:ListCustomModels", "*"),
            ("bedrock:InvokeModel", f"{MODELS}/amazon.titan-embed-text-v1"),
        ],
        [
            ("bedrock:InvokeModel", f"{MODELS}/anthropic.claude-v2"),
            ("bedrock:GetFoundationModel", f"{MODELS}/amazon.titan-embed-text-v1"),
        ],
    ),
    Case(
        "RUN-145",
        BASE,
        [("s3:GetObject", "arn:aws:s3:::bucket/path/to/folder/one.txt")],
        [
            ("s3:PutObject", "arn:aws:s3:::bucket/path/to/folder/one.txt"),
            ("s3:GetObject", "arn:aws:s3:::bucket/path/to/elsewhere/one.txt"),
        ],
    ),
    Case(
        "RUN-146",
        BASE,
        [("kms:Decrypt", KEY)],
        [("kms:Encrypt", KEY), ("kms:Decrypt", KEY[:-1] + "e")],
        VIA_S3,
    ),
    Case(
        "RUN-147",
        BASE,
        [
            (
                "aoss:APIAccessAll",
                f"arn:aws:aoss:us-east-1:{ACCOUNT}:collection/abcdefghij0123456789",
            )
        ],
        [
            (
                "aoss:APIAccessAll",
                f"arn:aws:aoss:us-east-1:{ACCOUNT}:collection/zzzzzzzzzz0123456789",
            )
        ],
    ),
    Case(
        "RUN-154",
        AGENT,
        [
            ("bedrock:InvokeModel", f"{MODELS}/anthropic.{name}")
            for name in ("claude-v1", "claude-v2", "claude-instant-v1")
        ],
        [
            ("bedrock:InvokeModel", f"{MODELS}/anthropic.claude-v2:1"),
            ("bedrock:InvokeModelWithResponseStream", f"{MODELS}/anthropic.claude-v2"),
        ],
    ),
    Case(
        "RUN-155",
        AGENT,
        [("s3:GetObject", "arn:aws:s3:::path/to/schema")],
        [
            ("s3:GetObject", "arn:aws:s3:::path/to/schema2"),
            ("s3:PutObject", "arn:aws:s3:::path/to/schema"),
        ],
    ),
    Case(
        "RUN-157",
        AGENT,
        [("bedrock:QueryKnowledgeBase", BASE)],
        [("bedrock:QueryKnowledgeBase", BASE[:-1] + "9"), ("bedrock:GetKnowledgeBase", BASE)],
    ),
]


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    async with running_inside(tmp_path, monkeypatch, OTHER) as inside:
        yield inside


def document(name: str) -> str:
    text = (SEED / f"{name}.json").read_text(encoding="utf-8")
    for placeholder, value in FILLED_IN:
        text = text.replace(placeholder, value)
    return text


async def acting(inside: Inside, policy: str, source_arn: str, via: tuple[str, ...] = ()) -> Call:
    """As the service is that was passed a role with this policy."""
    trust = json.dumps({"Version": "2012-10-17", "Statement": TRUST})
    role_arn = await inside.role(ACCOUNT, "Acting", trust, policy)
    call = inside.call(inside.caller(ADMIN))
    role = await pass_role(call, role_arn, source_arn=source_arn)
    session = await RoleInUse(call.stores, role).call(call, datetime.now(UTC))
    return replace(session, caller=replace(session.caller, via=via))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.example)
async def test_a_role_may_what_its_document_says_and_nothing_beside(
    inside: Inside, case: Case
) -> None:
    call = await acting(inside, document(case.example), case.source_arn, case.via)
    for action, resource in case.asked:
        assert await call.may(Access(action, resource)), (action, resource)
    for action, resource in case.refused:
        assert not await call.may(Access(action, resource)), (action, resource)


@pytest.mark.parametrize("name", ["RUN-145", "RUN-155"])
async def test_a_role_of_another_account_may_not_read_the_same_objects(
    inside: Inside, name: str
) -> None:
    case = next(each for each in CASES if each.example == name)
    call = await acting(inside, document(name).replace(ACCOUNT, OTHER), case.source_arn)
    for action, resource in case.asked:
        assert not await call.may(Access(action, resource))


@pytest.mark.parametrize("via", [(), ("secretsmanager.us-east-1.amazonaws.com",)])
async def test_the_key_of_the_objects_opens_through_s3_only(
    inside: Inside, via: tuple[str, ...]
) -> None:
    call = await acting(inside, document("RUN-146"), BASE, via)
    assert not await call.may(Access("kms:Decrypt", KEY))


async def test_a_role_without_a_policy_may_nothing(inside: Inside) -> None:
    nothing: dict[str, Any] = {"Effect": "Deny", "Action": "none:Nothing", "Resource": "*"}
    call = await acting(inside, json.dumps({"Version": "2012-10-17", "Statement": nothing}), AGENT)
    asked = [access for case in CASES for access in case.asked]
    assert not any([await call.may(Access(action, resource)) for action, resource in asked])


async def test_retrieval_counts_by_the_name_that_the_documents_give_it(inside: Inside) -> None:
    """RUN-157 allows QueryKnowledgeBase; today's operation is Retrieve."""
    call = await acting(inside, document("RUN-157"), AGENT)
    retrieval = Access("bedrock:Retrieve", BASE, former="bedrock:QueryKnowledgeBase")
    assert await call.may(retrieval)
    assert not await call.may(replace(retrieval, resource=BASE[:-1] + "9"))
