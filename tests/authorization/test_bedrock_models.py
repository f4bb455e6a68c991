"""What an account calls its own models and profiles, and policies on their tags."""

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, REGION, Client, Inside, running_inside
from statements import ACCOUNT, OTHER, allow, document

from outcrop.authorization.access import Access, Asked
from outcrop.authorization.bedrock import RULES, SERVICES
from outcrop.authorization.bedrock_models import find_facts
from outcrop.stores.model_records import (
    CustomModel,
    InferenceProfile,
    ModelUnit,
    ProvisionedModel,
)
from outcrop.stores.resources import Place, Record

HERE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}"
TITAN = "amazon.titan-text-express-v1"
FOUNDATION = f"arn:aws:bedrock:us-east-1::foundation-model/{TITAN}"
EVERYWHERE = "arn:aws:bedrock:::foundation-model/amazon.nova-2-lite-v1:0"
NOVA = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-2-lite-v1:0"
PROVISIONED = f"{HERE}:provisioned-model/abcdefghijkl"
CUSTOM = f"{HERE}:custom-model/{TITAN}/bcdefghijklm"
PROFILE = f"{HERE}:application-inference-profile/cdefghijklmn"
RECORDS: dict[str, tuple[str, Record]] = {
    PROVISIONED: (
        "fast",
        ProvisionedModel(
            units=1,
            desired_units=1,
            model=FOUNDATION,
            desired_model=FOUNDATION,
            foundation_model=TITAN,
            unit=ModelUnit(input_tokens=1000, output_tokens=1000),
        ),
    ),
    CUSTOM: ("tuned", CustomModel(base_model=TITAN)),
    PROFILE: (
        "cost-center",
        InferenceProfile(id="cdefghijklmn", source=EVERYWHERE, models=(EVERYWHERE, NOVA)),
    ),
}


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    async with running_inside(tmp_path, monkeypatch, OTHER) as inside:
        async with inside.deployment.state.stores.resources.writing() as transaction:
            for arn, (name, record) in RECORDS.items():
                place = Place(ACCOUNT, "us-east-1", name)
                await transaction.add(record, place, arn=arn, tags={"Team": "ore"})
        yield inside


@pytest.fixture
def admin(inside: Inside) -> Client:
    return inside.client(ADMIN)


def asked(inside: Inside, operation: str, **params: Any) -> list[Access]:
    call = inside.call(inside.caller(ADMIN))
    service = next(name for name in SERVICES if operation in RULES[name])
    models = inside.deployment.state.stores.models
    return list(
        RULES[service][operation](
            Asked(params, call.caller, call.region, call.catalog, call.request, models)
        )
    )


@pytest.mark.parametrize(
    ("operation", "params", "resources"),
    [
        ("InvokeModel", {"modelId": "fast"}, [PROVISIONED]),
        ("Converse", {"modelId": PROVISIONED}, [PROVISIONED]),
        ("InvokeModel", {"modelId": "tuned"}, [CUSTOM]),
        ("GetProvisionedModelThroughput", {"provisionedModelId": "fast"}, [PROVISIONED]),
        ("DeleteProvisionedModelThroughput", {"provisionedModelId": "fast"}, [PROVISIONED]),
        (
            "UpdateProvisionedModelThroughput",
            {"provisionedModelId": "fast", "desiredModelId": "tuned"},
            [PROVISIONED, CUSTOM],
        ),
        (
            "GetProvisionedModelThroughput",
            {"provisionedModelId": "nobody-s"},
            [f"{HERE}:provisioned-model/nobody-s"],
        ),
        ("GetCustomModel", {"modelIdentifier": "tuned"}, [CUSTOM]),
        ("DeleteCustomModel", {"modelIdentifier": CUSTOM}, [CUSTOM]),
        ("CreateProvisionedModelThroughput", {"modelId": "tuned"}, [CUSTOM]),
        ("CreateModelCustomizationJob", {"baseModelIdentifier": TITAN}, [FOUNDATION]),
        ("InvokeModel", {"modelId": "nobody-s"}, [FOUNDATION.replace(TITAN, "nobody-s")]),
    ],
)
async def test_a_name_is_the_arn_of_the_resource_that_has_it(
    operation: str, params: dict[str, str], resources: list[str], inside: Inside
) -> None:
    assert [access.resource for access in asked(inside, operation, **params)] == resources


@pytest.mark.parametrize("identifier", [PROFILE, PROFILE.rpartition("/")[2]])
async def test_an_application_profile_needs_itself_and_its_models(
    identifier: str, inside: Inside
) -> None:
    profile, anywhere, here = asked(inside, "ConverseStream", modelId=identifier)
    assert [profile.resource, anywhere.resource, here.resource] == [PROFILE, EVERYWHERE, NOVA]
    assert "bedrock:inferenceprofilearn" not in profile.keys
    for access in (anywhere, here):
        assert access.action == "bedrock:InvokeModelWithResponseStream"
        assert access.keys["bedrock:inferenceprofilearn"] == PROFILE


async def test_names_of_another_account_mean_nothing(inside: Inside) -> None:
    call = inside.call(inside.caller(await inside.user(OTHER, "eve")))
    models = inside.deployment.state.stores.models
    for identifier, meant in (
        ("fast", FOUNDATION.replace(TITAN, "fast")),
        ("tuned", FOUNDATION.replace(TITAN, "tuned")),
        (PROFILE, PROFILE),
    ):
        request = Asked(
            {"modelId": identifier}, call.caller, REGION, call.catalog, call.request, models
        )
        (access,) = RULES["bedrock-runtime"]["InvokeModel"](request)
        assert access.resource == meant


@pytest.mark.parametrize(
    "resource", ["*", "", FOUNDATION, EVERYWHERE, f"{HERE}:provisioned-model/*", "a:b", ":" * 9]
)
async def test_nothing_is_known_of_what_no_account_owns(resource: str, inside: Inside) -> None:
    access = Access("bedrock:InvokeModel", resource)
    assert await find_facts(inside.deployment.state.stores, access) is None


async def refused(asked: Awaitable[Any]) -> str:
    with pytest.raises(ClientError) as caught:
        await asked
    answer: Any = caught.value.response
    assert answer["Error"]["Code"] == "AccessDeniedException"
    return answer["Error"]["Message"]


async def person(inside: Inside, *statements: dict[str, Any]) -> Client:
    return inside.client(await inside.user(ACCOUNT, "ann", document(*statements)))


@pytest.mark.parametrize("arn", RECORDS)
async def test_tags_of_the_resource_decide_and_a_change_counts_at_once(
    arn: str, inside: Inside, admin: Client
) -> None:
    """TG-07."""
    on_ore = {"StringEquals": {"aws:ResourceTag/Team": "ore"}}
    ann = await person(inside, allow("bedrock:ListTagsForResource", Condition=on_ore))
    for _ in range(2):
        assert (await ann.ask("bedrock", "ListTagsForResource", resourceARN=arn))["tags"]
    await admin.ask("bedrock", "UntagResource", resourceARN=arn, tagKeys=["Team"])
    for _ in range(2):
        message = await refused(ann.ask("bedrock", "ListTagsForResource", resourceARN=arn))
        assert f"on resource: {arn}" in message
    await admin.ask(
        "bedrock", "TagResource", resourceARN=arn, tags=[{"key": "Team", "value": "ore"}]
    )
    assert (await ann.ask("bedrock", "ListTagsForResource", resourceARN=arn))["tags"]


async def test_a_deny_by_tag_holds_for_inference_by_name_arn_and_id(inside: Inside) -> None:
    """TG-07: whatever the resource is called by."""
    deny = {
        "Effect": "Deny",
        "Action": "bedrock:InvokeModel",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:ResourceTag/Team": "ore"}},
    }
    ann = await person(inside, allow("bedrock:*"), deny)
    for identifier in ("fast", PROVISIONED, "tuned", CUSTOM, PROFILE, PROFILE.rpartition("/")[2]):
        message = await refused(
            ann.ask(
                "bedrock-runtime",
                "Converse",
                modelId=identifier,
                messages=[{"role": "user", "content": [{"text": "hi"}]}],
            )
        )
        assert "explicit deny" in message


@pytest.mark.parametrize(
    ("tags", "allowed"),
    [
        ({"Team": "ore"}, True),
        ({"Team": "ore", "Stage": "test"}, True),
        ({"Team": "coal"}, False),
        ({"Stage": "test"}, False),
        ({"Team": "ore", "Other": "x"}, False),
        ({}, False),
    ],
)
async def test_tags_of_a_request_decide_what_may_be_made(
    tags: dict[str, str], allowed: bool, inside: Inside
) -> None:
    """TG-07: a value that must be given, and keys that may be."""
    condition = {
        "StringEquals": {"aws:RequestTag/Team": "ore"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["Team", "Stage"]},
    }
    ann = await person(
        inside,
        allow(["bedrock:CreateInferenceProfile", "bedrock:TagResource"], Condition=condition),
    )
    making = ann.ask(
        "bedrock",
        "CreateInferenceProfile",
        inferenceProfileName="mine",
        modelSource={"copyFrom": FOUNDATION},
        tags=[{"key": key, "value": value} for key, value in tags.items()],
    )
    if allowed:
        assert (await making)["status"] == "ACTIVE"
    else:
        await refused(making)


async def test_making_with_tags_needs_leave_to_tag_what_is_made(inside: Inside) -> None:
    ann = await person(inside, allow("bedrock:CreateInferenceProfile"))
    params: dict[str, Any] = {
        "inferenceProfileName": "mine",
        "modelSource": {"copyFrom": FOUNDATION},
        "tags": [{"key": "Team", "value": "ore"}],
    }
    message = await refused(ann.ask("bedrock", "CreateInferenceProfile", **params))
    assert "bedrock:TagResource" in message
    assert f"{HERE}:application-inference-profile/*" in message
    del params["tags"]
    assert (await ann.ask("bedrock", "CreateInferenceProfile", **params))["status"] == "ACTIVE"


async def test_keys_decide_what_may_be_tagged_and_untagged(inside: Inside) -> None:
    """TG-07: the operations on tags themselves."""
    condition = {"ForAllValues:StringEquals": {"aws:TagKeys": ["Stage"]}}
    tagging = ["bedrock:TagResource", "bedrock:UntagResource"]
    ann = await person(inside, allow(tagging, PROVISIONED, Condition=condition))

    async def tag(key: str, arn: str = PROVISIONED) -> None:
        await ann.ask("bedrock", "TagResource", resourceARN=arn, tags=[{"key": key, "value": "x"}])

    async def untag(key: str) -> None:
        await ann.ask("bedrock", "UntagResource", resourceARN=PROVISIONED, tagKeys=[key])

    await tag("Stage")
    await untag("Stage")
    for asking in (tag("Team"), untag("Team"), tag("Stage", CUSTOM)):
        await refused(asking)


async def test_what_another_account_owns_needs_its_leave_which_it_cannot_give(
    inside: Inside,
) -> None:
    eve = inside.client(await inside.user(OTHER, "eve", document(allow("*"))))
    for arn in (*RECORDS, f"{HERE}:provisioned-model/nobodysmodel"):
        message = await refused(eve.ask("bedrock", "ListTagsForResource", resourceARN=arn))
        assert "resource-based policy" in message


async def test_a_profile_is_denied_where_one_of_its_regions_is(inside: Inside) -> None:
    """Leave for the model here does not let a call go elsewhere."""
    deny = {
        "Effect": "Deny",
        "Action": "bedrock:InvokeModel",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:RequestedRegion": "us-west-2"}},
    }
    ann = await person(inside, allow("bedrock:*"), deny)
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    message: dict[str, Any] = {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
    }
    assert await ann.ask("bedrock-runtime", "Converse", modelId=model, **message)
    told = await refused(ann.ask("bedrock-runtime", "Converse", modelId=f"us.{model}", **message))
    assert f"arn:aws:bedrock:us-west-2::foundation-model/{model}" in told


async def test_a_model_may_be_allowed_through_one_profile_only(inside: Inside) -> None:
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    profile = f"{HERE}:inference-profile/us.{model}"
    through = {"StringEquals": {"bedrock:InferenceProfileArn": profile}}
    ann = await person(
        inside,
        allow("bedrock:InvokeModel", profile),
        allow(
            "bedrock:InvokeModel", f"arn:aws:bedrock:*::foundation-model/{model}", Condition=through
        ),
    )
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    assert await ann.ask("bedrock-runtime", "Converse", modelId=f"us.{model}", messages=messages)
    await refused(ann.ask("bedrock-runtime", "Converse", modelId=model, messages=messages))


@pytest.mark.parametrize(
    "operation",
    [
        "CreateFoundationModelAgreement",
        "DeleteFoundationModelAgreement",
        "ListFoundationModelAgreementOffers",
        "GetFoundationModelAvailability",
        "PutFoundationModelEntitlement",
        "GetUseCaseForModelAccess",
        "PutUseCaseForModelAccess",
    ],
)
async def test_access_to_models_has_no_permissions_on_resources(
    operation: str, inside: Inside
) -> None:
    (access,) = asked(inside, operation, modelId=TITAN, offerToken="o")
    assert (access.action, access.resource) == (f"bedrock:{operation}", "*")
    assert access.keys == {}


async def test_what_throughput_is_bought_for_is_a_model_whatever_else_has_its_name(
    inside: Inside,
) -> None:
    """A throughput may be called like a custom model: who may use that one may not buy this."""
    twin = CustomModel(base_model=TITAN)
    arn = f"{HERE}:custom-model/{TITAN}/zzzzzzzzzzzz"
    async with inside.deployment.state.stores.resources.writing() as transaction:
        await transaction.add(twin, Place(ACCOUNT, "us-east-1", "fast"), arn=arn)
    bought = asked(inside, "CreateProvisionedModelThroughput", modelId="fast")
    assert [access.resource for access in bought] == [arn]
    moved = asked(
        inside,
        "UpdateProvisionedModelThroughput",
        provisionedModelId="fast",
        desiredModelId="fast",
    )
    assert [access.resource for access in moved] == [PROVISIONED, arn]
