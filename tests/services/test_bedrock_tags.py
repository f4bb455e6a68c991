"""Tags of Bedrock's resources: the same rules for every kind that has an ARN."""

import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis.strategies import lists, sampled_from, text, tuples
from in_process import ADMIN, Client, Inside, whole
from running_gateways import ACCOUNT
from statements import OTHER, allow, document

from outcrop.errors import (
    ResourceNotFoundException,
    TooManyTagsException,
    ValidationException,
)
from outcrop.quotas.book import TAGS_PER_RESOURCE
from outcrop.quotas.requests import set_value
from outcrop.services.bedrock.tagging import (
    list_tags_for_resource,
    tag_resource,
    untag_resource,
)
from outcrop.services.tagging import MAX_TAGS, read_tags
from outcrop.stores.customization_records import TAGGABLE, CustomizationJob
from outcrop.stores.model_records import (
    CustomModel,
    CustomModelDeployment,
    DataKey,
    InferenceProfile,
    ModelUnit,
    ProvisionedModel,
)
from outcrop.stores.resources import Place, Record

SHARED = Path(__file__).resolve().parents[2] / "../shared"
NOT_FOUND = (
    "ResourceNotFoundException",
    "The specified resource Amazon Resource Name (ARN) was not found. Check the Amazon Resource "
    "Name (ARN) and try your request again.",
)
RESERVED = (
    "ValidationException",
    "aws: prefixed tag key names are not allowed for external use.",
)

BASE = "amazon.titan-text-express-v1"
RECORDS: dict[str, Record] = {
    f"custom-model/{BASE}:0:8k/abcdefghijkl": CustomModel(base_model=BASE),
    "provisioned-model/abcdefghijkl": ProvisionedModel(
        units=1,
        desired_units=1,
        model="m",
        desired_model="m",
        foundation_model=BASE,
        unit=ModelUnit(input_tokens=1, output_tokens=1),
    ),
    "application-inference-profile/abcdefghijkl": InferenceProfile(
        id="abcdefghijkl", source="m", models=("m",)
    ),
    "custom-model-deployment/abcdefghijkl": CustomModelDeployment(model="m", desired_model="m"),
    f"model-customization-job/{BASE}:0:8k/abcdefghijkl": CustomizationJob(
        base_model=BASE,
        type="FINE_TUNING",
        role_arn="r",
        model_name="mine",
        model_arn="m",
        training_uri="s3://b/k",
        output_uri="s3://b/o",
        hyperparameters={},
        engine="smollm2",
        base="",
        data_key=DataKey(kms_key="k", ciphertext=b"", context="c", grant="g"),
        by="p",
    ),
}
MODEL = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:custom-model/{BASE}:0:8k/abcdefghijkl"


def arn_of(resource: str, account: str = ACCOUNT, region: str = "us-east-1") -> str:
    return f"arn:aws:bedrock:{region}:{account}:{resource}"


async def make(
    inside: Inside, resource: str, account: str = ACCOUNT, region: str = "us-east-1"
) -> str:
    arn = arn_of(resource, account, region)
    async with inside.deployment.state.stores.resources.writing() as transaction:
        place = Place(account, region, "mine")
        await transaction.add(RECORDS[resource], place, arn=arn)
    return arn


@pytest.fixture
async def model(inside: Inside) -> str:
    """The ARN of a custom model."""
    return await make(inside, next(iter(RECORDS)))


async def tag(client: Client, arn: str, **tags: str) -> None:
    given = [{"key": key, "value": value} for key, value in tags.items()]
    await client.ask("bedrock", "TagResource", resourceARN=arn, tags=given)


async def untag(client: Client, arn: str, *keys: str) -> None:
    await client.ask("bedrock", "UntagResource", resourceARN=arn, tagKeys=list(keys))


async def tags_of(client: Client, arn: str) -> dict[str, str]:
    found = await client.ask("bedrock", "ListTagsForResource", resourceARN=arn)
    return {tag["key"]: tag["value"] for tag in found["tags"]}


async def refusal(asked: Awaitable[Any]) -> tuple[str, str]:
    """Code and message."""
    with pytest.raises(ClientError) as caught:
        await asked
    answer: Any = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


def test_every_taggable_kind_is_under_test() -> None:
    assert {type(record) for record in RECORDS.values()} == set(TAGGABLE)


@pytest.mark.parametrize("resource", RECORDS)
async def test_tags_are_added_replaced_listed_and_removed(
    resource: str, inside: Inside, admin: Client
) -> None:
    arn = await make(inside, resource)
    assert await tags_of(admin, arn) == {}
    await tag(admin, arn, team="search", stage="test")
    await tag(admin, arn, stage="live", empty="")
    assert await tags_of(admin, arn) == {"team": "search", "stage": "live", "empty": ""}
    await untag(admin, arn, "stage", "never there")
    assert await tags_of(admin, arn) == {"team": "search", "empty": ""}
    await untag(admin, arn, "never there")
    await untag(admin, arn)
    assert await tags_of(admin, arn) == {"team": "search", "empty": ""}


def recorded_lists() -> list[Any]:
    lines = (SHARED / "real-control-plane.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    wanted = ("bedrock", "ListTagsForResource")
    return [
        pytest.param(row["data"]["tags"], id=row["id"])
        for row in rows
        if (row["service"], row["op"]) == wanted
    ]


@pytest.mark.parametrize("recorded", recorded_lists())
async def test_lists_are_answered_as_recorded(
    recorded: list[dict[str, str]], model: str, admin: Client
) -> None:
    await admin.ask("bedrock", "TagResource", resourceARN=model, tags=recorded)
    found = await admin.ask("bedrock", "ListTagsForResource", resourceARN=model)
    assert found["tags"] == recorded


async def test_keys_and_values_differ_by_case(model: str, admin: Client) -> None:
    await tag(admin, model, Team="A", team="a", TEAM="Aa")
    await untag(admin, model, "Team")
    assert await tags_of(admin, model) == {"team": "a", "TEAM": "Aa"}


async def test_a_resource_has_at_most_fifty_tags(model: str, admin: Client) -> None:
    await tag(admin, model, **{f"k{index}": "v" for index in range(MAX_TAGS)})
    await tag(admin, model, k0="replaced")
    added = [{"key": "k0", "value": "again"}, {"key": "one", "value": "more"}]
    request = admin.request("bedrock", "TagResource", resourceARN=model, tags=added)
    answer = await admin.app.handle(request)
    assert answer.status == 400
    told = json.loads(await whole(answer))
    assert told["resourceName"] == model
    assert "at most 50" in told["message"]
    kept = await tags_of(admin, model)
    assert (len(kept), kept["k0"]) == (MAX_TAGS, "replaced")
    await untag(admin, model, "k1")
    await tag(admin, model, one="more")


async def test_qu_24_an_account_can_be_given_more_tags(
    model: str, admin: Client, inside: Inside
) -> None:
    quota = inside.deployment.serving.book.find_key(TAGS_PER_RESOURCE)
    assert quota is not None
    place = Place(ACCOUNT, admin.region, quota.key)
    await set_value(inside.deployment.state.stores.resources, quota, place, 60, "operator")
    await tag(admin, model, **{f"k{index}": "v" for index in range(60)})
    code, _ = await refusal(tag(admin, model, one="more"))
    assert code == "TooManyTagsException"


async def test_a_request_of_more_than_fifty_tags_is_too_many(model: str, admin: Client) -> None:
    many = {f"k{index}": "v" for index in range(MAX_TAGS + 1)}
    code, _ = await refusal(tag(admin, model, **many))
    assert code == "TooManyTagsException"
    assert await tags_of(admin, model) == {}


@pytest.mark.parametrize("key", ["aws:name", "AWS:name", "aWs:", "aws:cloudformation:stack-name"])
async def test_the_prefix_of_aws_is_reserved(key: str, model: str, admin: Client) -> None:
    assert await refusal(tag(admin, model, **{key: "v"})) == RESERVED
    assert await refusal(untag(admin, model, key)) == RESERVED


@pytest.mark.parametrize("key", ["aws", "aws-name", "saws:name", "a/ws:x", "x" * 128, " .:/=+-@_9"])
async def test_every_other_key_may_be_used(key: str, model: str, admin: Client) -> None:
    await tag(admin, model, **{key: "v" * 256})
    assert await tags_of(admin, model) == {key: "v" * 256}


async def test_a_key_is_given_once_in_a_request(model: str, admin: Client) -> None:
    twice = [{"key": "k", "value": "1"}, {"key": "K", "value": "1"}, {"key": "k", "value": "2"}]
    asked = admin.ask("bedrock", "TagResource", resourceARN=model, tags=twice)
    code, message = await refusal(asked)
    assert (code, "'k'" in message) == ("ValidationException", True)
    assert await tags_of(admin, model) == {}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("x" * 129, "v", "Member must have length less than or equal to 128"),
        ("", "v", "Member must have length greater than or equal to 1"),
        ("k", "v" * 257, "Member must have length less than or equal to 256"),
        ("k*", "v", "Member must satisfy regular expression pattern: [a-zA-Z0-9\\s._:/=+@-]*"),
        ("k", "é", "Member must satisfy regular expression pattern: [a-zA-Z0-9\\s._:/=+@-]*"),
        ("k", "a#b", "Member must satisfy regular expression pattern: [a-zA-Z0-9\\s._:/=+@-]*"),
    ],
)
async def test_keys_and_values_have_lengths_and_characters(
    key: str, value: str, said: str, model: str, admin: Client
) -> None:
    code, message = await refusal(tag(admin, model, **{key: value}))
    assert code == "ValidationException"
    assert said in message


@pytest.mark.parametrize(
    "arn",
    [
        arn_of("provisioned-model/zzzzzzzzzzzz"),
        arn_of("guardrail/zzzzzzzzzzzz"),
        arn_of("model-invocation-job/zzzzzzzzzzzz"),
        MODEL.replace("us-east-1", "us-west-2"),
        MODEL[:-1] + "m",
        "a-name-of-twenty-characters-and-more",
    ],
)
async def test_an_unknown_resource_has_no_tags(arn: str, model: str, admin: Client) -> None:
    assert model == MODEL
    assert await refusal(tags_of(admin, arn)) == NOT_FOUND
    assert await refusal(tag(admin, arn, k="v")) == NOT_FOUND
    assert await refusal(untag(admin, arn, "k")) == NOT_FOUND


@pytest.mark.parametrize(
    "arn", ["arn:aws:bedrock:resource-arn", "arn:aws:iam::resource-arn", "arn:aws:x"]
)
async def test_what_is_no_arn_of_a_taggable_resource_is_invalid(arn: str, admin: Client) -> None:
    code, message = await refusal(tags_of(admin, arn))
    assert code == "ValidationException"
    assert f"Value '{arn}' at 'resourceARN' failed to satisfy constraint" in message


async def test_resources_of_other_regions_are_not_there(inside: Inside, admin: Client) -> None:
    far = await make(inside, "provisioned-model/abcdefghijkl", region="eu-west-1")
    assert await refusal(tags_of(admin, far)) == NOT_FOUND
    assert await refusal(tag(admin, far, owner="us")) == NOT_FOUND
    assert await refusal(untag(admin, far, "owner")) == NOT_FOUND


async def test_resources_of_other_accounts_are_out_of_reach(inside: Inside, admin: Client) -> None:
    theirs = await make(inside, "provisioned-model/abcdefghijkl", account=OTHER)
    other = inside.client(await inside.user(OTHER, "anne", document(allow("*"))))
    await tag(other, theirs, owner="them")
    for asked in (tags_of(admin, theirs), tag(admin, theirs, o="us"), untag(admin, theirs, "o")):
        code, _ = await refusal(asked)
        assert code == "AccessDeniedException"
    # Nor would the handler find it, whatever a policy said.
    params: dict[str, Any] = {"resourceARN": theirs, "tags": [], "tagKeys": []}
    for handler in (tag_resource, untag_resource, list_tags_for_resource):
        with pytest.raises(ResourceNotFoundException):
            await handler(inside.call(inside.caller(ADMIN)), params)
    assert await tags_of(other, theirs) == {"owner": "them"}


async def test_policies_go_by_the_tags_of_a_request(inside: Inside, model: str) -> None:
    team = {"Condition": {"StringEquals": {"aws:RequestTag/team": "search"}}}
    grants = document(
        allow("bedrock:TagResource", model, **team), allow("bedrock:ListTagsForResource", model)
    )
    anne = inside.client(await inside.user(ACCOUNT, "anne", grants))
    await tag(anne, model, team="search")
    for refused in (tag(anne, model, team="ads"), untag(anne, model, "team")):
        code, _ = await refusal(refused)
        assert code == "AccessDeniedException"
    assert await tags_of(anne, model) == {"team": "search"}


async def test_policies_go_by_the_tags_of_the_resource(
    inside: Inside, admin: Client, model: str
) -> None:
    mine = {"Condition": {"StringEquals": {"aws:ResourceTag/team": "search"}}}
    grants = document(allow("bedrock:ListTagsForResource", model, **mine))
    anne = inside.client(await inside.user(ACCOUNT, "anne", grants))
    code, _ = await refusal(tags_of(anne, model))
    assert code == "AccessDeniedException"
    await tag(admin, model, team="search")
    assert await tags_of(anne, model) == {"team": "search"}
    await tag(admin, model, team="ads")
    code, _ = await refusal(tags_of(anne, model))
    assert code == "AccessDeniedException"


KEYS = text("aAbB:wWsS", min_size=1, max_size=5)


@given(lists(tuples(KEYS, sampled_from(("", "v"))), max_size=60))
def test_tags_are_read_whole_or_refused(pairs: list[tuple[str, str]]) -> None:
    given_tags = [{"key": key, "value": value} for key, value in pairs]
    keys = [key for key, _ in pairs]
    broken = len(set(keys)) < len(keys) or any(key.lower().startswith("aws:") for key in keys)
    if broken:
        with pytest.raises(ValidationException):
            read_tags(given_tags, "arn")
    elif len(keys) > MAX_TAGS:
        with pytest.raises(TooManyTagsException):
            read_tags(given_tags, "arn")
    else:
        assert read_tags(given_tags, "arn") == dict(pairs)


def test_a_request_without_tags_has_none() -> None:
    assert read_tags(None, "arn") == {}
