"""Policies of endpoints, and of resources that services use on somebody's behalf, on the decisions
of a running deployment: no client can claim to come through an endpoint or to be a service."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from in_process import Inside, running_inside
from principals import CLAUDE, MODELS, REGION, example, unique
from statements import allow, document

from outcrop.authorization.access import Access, Endpoint
from outcrop.authorization.authorizer import Authorizer
from outcrop.authorization.compiled import compile_policy
from outcrop.authorization.context import Setting
from outcrop.authorization.table import FIND_FACTS
from outcrop.errors import AuthorizationDenied
from outcrop.security.policy.document import Kind
from outcrop.security.policy.evaluate import Layers, Request, Subject, decide
from outcrop.wire.http import Request as HttpRequest

ACCOUNT = "123456789012"
MODEL = f"{MODELS}/{CLAUDE}"


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as inside:
        yield inside


async def refusal(
    inside: Inside, policy: str | None, action: str, resource: str, *granted: str
) -> str:
    """What a user with everything, or with ``granted``, is told through an endpoint."""
    keys = await inside.user(ACCOUNT, unique("ann"), *(granted or [document(allow("*"))]))
    caller = inside.caller(keys)
    authorizer = Authorizer(inside.deployment.state.stores, FIND_FACTS, lambda _: None)
    endpoint = Endpoint("vpce-0123456789abcdef0", "vpc-1", ACCOUNT, policy)
    request = HttpRequest("POST", "/", "", (("host", "x"),), b"", "x")
    setting = Setting(caller, REGION, request, datetime.now(UTC), endpoint)
    try:
        await authorizer.authorize(setting, [Access(action, resource)])
    except AuthorizationDenied as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("bedrock:InvokeModel", MODEL, True),
        ("bedrock:InvokeModelWithResponseStream", MODEL, True),
        ("bedrock:ListFoundationModels", "*", False),
        ("bedrock:ApplyGuardrail", f"arn:aws:bedrock:{REGION}:{ACCOUNT}:guardrail/g", False),
    ],
)
async def test_the_guide_s_endpoint_policy_lets_inference_pass_and_nothing_else(
    inside: Inside, action: str, resource: str, allowed: bool
) -> None:
    told = await refusal(inside, example("201"), action, resource)
    if allowed:
        assert told == ""
        return
    place = "" if resource == "*" else f" on resource: {resource}"
    assert told.endswith(
        f"is not authorized to perform: {action}{place} "
        f"because no VPC endpoint policy allows the {action} action"
    )


async def test_an_endpoint_grants_nothing_and_its_default_lets_all_pass(inside: Inside) -> None:
    action = "bedrock:InvokeModel"
    assert await refusal(inside, None, action, MODEL) == ""
    other = "bedrock:ListFoundationModels"
    assert await refusal(inside, None, other, "*") == ""


async def test_who_may_not_may_not_through_an_endpoint_either(inside: Inside) -> None:
    told = await refusal(
        inside, example("201"), "bedrock:InvokeModel", MODEL, document(allow("s3:*"))
    )
    assert told.endswith("because no identity-based policy allows the bedrock:InvokeModel action")


async def test_an_endpoint_s_policy_denies(inside: Inside) -> None:
    denying = document(
        allow("*", Principal="*"),
        {"Effect": "Deny", "Principal": "*", "Action": "bedrock:*", "Resource": "*"},
    )
    told = await refusal(inside, denying, "bedrock:InvokeModel", MODEL)
    assert told.endswith("with an explicit deny in a VPC endpoint policy")


@pytest.mark.parametrize(
    ("resource", "allowed"),
    [
        ("my_output_bucket/myfolder", True),
        ("my_training_data_bucket/myfolder", True),
        ("my_validation_data_bucket/myfolder", True),
        ("my_output_bucket/myfolder/metrics.csv", False),
        ("another_bucket/myfolder", False),
    ],
)
async def test_the_guide_s_gateway_endpoint_lets_the_job_s_locations_pass(
    inside: Inside, resource: str, allowed: bool
) -> None:
    arn = f"arn:aws:s3:::{resource}"
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        told = await refusal(inside, example("181"), action, arn)
        if allowed and action != "s3:DeleteObject":
            assert told == ""
        else:
            assert told.endswith(f"because no VPC endpoint policy allows the {action} action")


USES: list[tuple[str, Kind, dict[str, str], str, str]] = [
    (
        "001",
        "bucket",
        {"bucketName": "logs", "prefix": "p"},
        "s3:PutObject",
        f"arn:aws:s3:::logs/p/AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/one.json.gz",
    ),
    ("002", "key", {}, "kms:GenerateDataKey", "*"),
    (
        "156",
        "resource",
        {"agent-id": "AGENT12345"},
        "lambda:InvokeFunction",
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f",
    ),
]
"""Document, its kind, what completes it, an action of the service's and a resource."""


@pytest.mark.parametrize(
    ("source_account", "source_arn", "allowed"),
    [
        (ACCOUNT, f"arn:aws:bedrock:{REGION}:{ACCOUNT}:agent/AGENT12345", True),
        ("999999999999", f"arn:aws:bedrock:{REGION}:999999999999:agent/AGENT12345", False),
        (ACCOUNT, "arn:aws:bedrock:eu-west-1:999999999999:agent/AGENT12345", False),
        (None, None, False),
    ],
)
@pytest.mark.parametrize("use", USES, ids=lambda use: use[0])
def test_a_service_is_let_in_for_resources_of_the_account_only(
    use: tuple[str, Kind, dict[str, str], str, str],
    source_account: str | None,
    source_arn: str | None,
    allowed: bool,
) -> None:
    number, kind, here, action, resource = use
    own = {"region": REGION, "account-id" if number == "156" else "accountId": ACCOUNT}
    text = example(number, **here, **own)
    if number == "002":
        text = f'{{"Version": "2012-10-17", "Statement": [{text}]}}'
    if number == "156":
        # Lambda adds the function to the statements of its policy.
        text = text.replace('"Condition"', f'"Resource": "{resource}", "Condition"')
    keys: dict[str, Any] = {}
    if source_account and source_arn:
        keys = {"aws:sourceaccount": source_account, "aws:sourcearn": source_arn}
    for service, expected in (("bedrock.amazonaws.com", allowed), ("ec2.amazonaws.com", False)):
        subject = Subject(service, ACCOUNT, "service", service=service)
        layers = Layers(resource=compile_policy(text, kind, "p"), resource_decides=True)
        asked = Request(subject, action, resource, ACCOUNT, keys)
        assert decide(asked, layers).allowed is expected
