"""Inference profiles: those of the system and those that applications make."""

import asyncio
import json
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, Client, Inside
from running_gateways import ACCOUNT, Gateway
from statements import OTHER

from outcrop.config import DOCUMENTED_REGIONS
from outcrop.services.bedrock.inference_profiles import QUOTA
from outcrop.stores.quota_records import QuotaValue
from outcrop.stores.resources import Place

RECORDED = Path(__file__).resolve().parents[2] / "../shared/real-control-plane.jsonl"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
HERE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}"
SYSTEM = f"{HERE}:inference-profile/us.{HAIKU}"
NOT_FOUND = (
    "The specified resource Amazon Resource Name (ARN) was not found. Check the Amazon Resource "
    "Name (ARN) and try your request again."
)
WRONG_REGION = ("ValidationException", "The provided ARN is invalid for the service region")


def recorded(operation: str, status: int) -> list[Mapping[str, Any]]:
    with RECORDED.open(encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    return [each["data"] for each in found if each["op"] == operation and each["status"] == status]


def model(model_id: str, region: str = "us-east-1") -> str:
    return f"arn:aws:bedrock:{region}::foundation-model/{model_id}"


async def create(client: Client, name: str, source: str = SYSTEM, **params: Any) -> str:
    answer = await client.ask(
        "bedrock",
        "CreateInferenceProfile",
        inferenceProfileName=name,
        modelSource={"copyFrom": source},
        **params,
    )
    assert answer["status"] == "ACTIVE"
    return answer["inferenceProfileArn"]


async def get(client: Client, identifier: str) -> dict[str, Any]:
    return await client.ask("bedrock", "GetInferenceProfile", inferenceProfileIdentifier=identifier)


async def delete(client: Client, identifier: str) -> None:
    await client.ask("bedrock", "DeleteInferenceProfile", inferenceProfileIdentifier=identifier)


async def listed(client: Client, **params: Any) -> list[dict[str, Any]]:
    answer = await client.ask("bedrock", "ListInferenceProfiles", **params)
    return answer["inferenceProfileSummaries"]


async def refusal(asked: Awaitable[Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        await asked
    answer: Any = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


async def test_a_profile_of_the_system_tells_its_models_and_regions(admin: Client) -> None:
    by_id, by_arn = await get(admin, f"us.{HAIKU}"), await get(admin, SYSTEM)
    del by_id["ResponseMetadata"], by_arn["ResponseMetadata"]
    assert by_id == by_arn
    assert by_id.pop("createdAt") == by_id.pop("updatedAt")
    assert by_id == {
        "inferenceProfileName": "US Anthropic Claude 3 Haiku",
        "description": "Routes requests to Anthropic Claude 3 Haiku in us-east-1 and us-west-2.",
        "inferenceProfileArn": SYSTEM,
        "models": [{"modelArn": model(HAIKU)}, {"modelArn": model(HAIKU, "us-west-2")}],
        "inferenceProfileId": f"us.{HAIKU}",
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


@pytest.mark.parametrize(
    ("profile_id", "name", "description"),
    [
        ("us.amazon.nova-lite-v1:0", "US Nova Lite", "Nova Lite in us-east-1 and us-west-2."),
        ("us.deepseek.r1-v1:0", "US DeepSeek-R1", "DeepSeek-R1 in us-east-1 and us-west-2."),
        (
            f"global.{SONNET}",
            "Global Anthropic Claude Sonnet 4.5",
            "Anthropic Claude Sonnet 4.5 globally across all supported AWS Regions.",
        ),
    ],
)
async def test_profiles_are_called_as_aws_calls_them(
    profile_id: str, name: str, description: str, admin: Client
) -> None:
    found = await get(admin, profile_id)
    assert found["inferenceProfileName"] == name
    assert found["description"] == f"Routes requests to {description}"


async def test_a_global_profile_has_the_model_without_a_region_and_here(admin: Client) -> None:
    found = await get(admin, f"global.{SONNET}")
    assert [each["modelArn"] for each in found["models"]] == [
        f"arn:aws:bedrock:::foundation-model/{SONNET}",
        model(SONNET),
    ]


@pytest.mark.parametrize("region", DOCUMENTED_REGIONS)
async def test_each_region_lists_the_profiles_of_its_geographies(
    region: str, inside: Inside
) -> None:
    """XR-05: with the ARN of each."""
    client = Client(inside.app, ADMIN, region=region)
    found = await listed(client, typeEquals="SYSTEM_DEFINED", maxResults=1000)
    geographies = {each["inferenceProfileId"].partition(".")[0] for each in found}
    assert (
        geographies
        == {
            "us-east-1": {"us", "global"},
            "us-west-2": {"us", "global"},
            "ap-southeast-1": {"apac", "global"},
            "ap-northeast-1": {"apac", "jp", "global"},
            "eu-central-1": {"eu", "global"},
        }[region]
    )
    for each in found:
        profile_id = each["inferenceProfileId"]
        expected = f"arn:aws:bedrock:{region}:{ACCOUNT}:inference-profile/{profile_id}"
        assert each["inferenceProfileArn"] == expected
        assert model(profile_id.partition(".")[2], region) in [
            one["modelArn"] for one in each["models"]
        ]


async def test_the_list_can_be_narrowed_and_comes_in_pages(admin: Client) -> None:
    arns = [await create(admin, f"mine {number}") for number in range(3)]
    everything = await listed(admin, maxResults=1000)
    own = await listed(admin, typeEquals="APPLICATION")
    system = await listed(admin, typeEquals="SYSTEM_DEFINED", maxResults=1000)
    assert [each["inferenceProfileArn"] for each in own] == arns
    assert everything == system + own
    paged: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while True:
        page = await admin.ask("bedrock", "ListInferenceProfiles", maxResults=7, **token)
        assert len(page["inferenceProfileSummaries"]) <= 7
        paged += page["inferenceProfileSummaries"]
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert paged == everything


async def test_an_application_profile_has_the_members_of_a_recorded_one(admin: Client) -> None:
    arn = await create(admin, "Cost center 7", description="Of the search team")
    found = (await listed(admin, typeEquals="APPLICATION"))[0]
    summaries = [
        each
        for answer in recorded("ListInferenceProfiles", 200)
        for each in answer["inferenceProfileSummaries"]
    ]
    assert summaries
    for each in summaries:
        assert found.keys() == each.keys()
        assert len(found["inferenceProfileId"]) == len(each["inferenceProfileId"])
    assert found["inferenceProfileName"] == "Cost center 7"
    assert found["description"] == "Of the search team"
    assert (found["type"], found["status"]) == ("APPLICATION", "ACTIVE")
    assert arn == f"{HERE}:application-inference-profile/{found['inferenceProfileId']}"
    for identifier in (arn, found["inferenceProfileId"]):
        got = await get(admin, identifier)
        assert {name: got[name] for name in found} == found


@pytest.mark.parametrize(
    ("source", "models"),
    [
        (SYSTEM, [model(HAIKU), model(HAIKU, "us-west-2")]),
        (model(HAIKU), [model(HAIKU)]),
        (
            f"{HERE}:inference-profile/global.{SONNET}",
            [f"arn:aws:bedrock:::foundation-model/{SONNET}", model(SONNET)],
        ),
    ],
)
async def test_an_application_profile_has_the_models_of_its_source(
    source: str, models: list[str], admin: Client
) -> None:
    found = await get(admin, await create(admin, "mine", source))
    assert [each["modelArn"] for each in found["models"]] == models


INVALID = ("ValidationException", "The provided model identifier is invalid.")


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        (model("anthropic.no-such-model"), INVALID),
        (f"{HERE}:inference-profile/us.anthropic.no-such-model", INVALID),
        (f"{HERE}:inference-profile/eu.{HAIKU}", INVALID),
        (f"arn:aws:bedrock:us-east-1:{OTHER}:inference-profile/us.{HAIKU}", INVALID),
        (model(HAIKU, "us-west-2"), WRONG_REGION),
        (f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/us.{HAIKU}", WRONG_REGION),
    ],
)
async def test_a_source_that_cannot_be_called_here_is_refused(
    source: str, refused: tuple[str, str], admin: Client
) -> None:
    assert await refusal(create(admin, "mine", source)) == refused
    assert await listed(admin, typeEquals="APPLICATION") == []


async def test_a_model_without_on_demand_calls_needs_a_profile_as_source(admin: Client) -> None:
    code, message = await refusal(create(admin, "mine", model(SONNET)))
    assert code == "ValidationException"
    assert SONNET in message
    assert (await refusal(create(admin, "mine", f"{HERE}:application-inference-profile/x")))[
        0
    ] == "ValidationException"


async def test_a_name_is_taken_once_in_an_account_and_region(inside: Inside) -> None:
    east, west = (Client(inside.app, ADMIN, region=region) for region in ("us-east-1", "us-west-2"))
    tries = [create(east, "mine", clientRequestToken=f"token-{n}") for n in range(8)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, str) for each in done) == 1
    for each in done:
        if isinstance(each, ClientError):
            error = cast("Any", each.response)["Error"]
            assert error["Code"] == "ConflictException"
            (told,) = recorded("DeleteInferenceProfile", 400)
            assert error["Message"].startswith(told["Error"]["Message"])
    source = f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/us.{HAIKU}"
    await create(west, "mine", source)
    assert len(await listed(east, typeEquals="APPLICATION")) == 1


async def test_a_client_token_makes_one_profile(admin: Client) -> None:
    tries = [create(admin, "mine", clientRequestToken="once") for _ in range(8)]
    assert len(set(await asyncio.gather(*tries))) == 1
    assert len(await listed(admin, typeEquals="APPLICATION")) == 1


async def test_an_account_has_as_many_profiles_as_its_quota(inside: Inside, admin: Client) -> None:
    async with inside.deployment.state.stores.resources.writing() as transaction:
        place = Place(ACCOUNT, "us-east-1", QUOTA)
        await transaction.add(QuotaValue(value=2), place)
    tries = [create(admin, f"mine {number}") for number in range(5)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, str) for each in done) == 2
    code, message = await refusal(create(admin, "one more"))
    assert code == "ServiceQuotaExceededException"
    assert "2" in message


async def test_a_deleted_profile_is_gone_and_its_name_is_free(admin: Client) -> None:
    arn = await create(admin, "mine")
    await delete(admin, arn.rpartition("/")[2])
    (told,) = recorded("DeleteInferenceProfile", 404)
    refused = (told["Error"]["Code"], told["Error"]["Message"])
    assert await refusal(delete(admin, arn)) == refused
    assert await refusal(get(admin, arn)) == refused
    assert await listed(admin, typeEquals="APPLICATION") == []
    assert await create(admin, "mine") != arn


async def test_profiles_of_the_system_are_not_deleted(admin: Client) -> None:
    for identifier in (SYSTEM, f"us.{HAIKU}"):
        code, _ = await refusal(delete(admin, identifier))
        assert code == "ValidationException"


@pytest.mark.parametrize(
    "identifier", ["abcdefghijkl", f"eu.{HAIKU}", HAIKU, "mine", "us.", "a:b", "-"]
)
async def test_what_is_no_profile_is_not_found(identifier: str, admin: Client) -> None:
    for asked in (get(admin, identifier), delete(admin, identifier)):
        assert await refusal(asked) == ("ResourceNotFoundException", NOT_FOUND)


@pytest.mark.parametrize("identifier", ["arn:", "arn:aws", "arn:aws:bedrock:us-east-1:", "arn::::"])
async def test_what_only_begins_like_an_arn_is_refused(identifier: str, admin: Client) -> None:
    for asked in (get(admin, identifier), delete(admin, identifier)):
        assert (await refusal(asked))[0] in ("ValidationException", "ResourceNotFoundException")


async def test_profiles_of_another_account_or_region_are_out_of_reach(
    inside: Inside, admin: Client
) -> None:
    arn = await create(admin, "mine")
    west = Client(inside.app, ADMIN, region="us-west-2")
    for asked in (get(west, arn), delete(west, arn)):
        assert await refusal(asked) == WRONG_REGION
    profile_id = arn.rpartition("/")[2]
    assert (await refusal(get(west, profile_id)))[0] == "ResourceNotFoundException"
    assert await listed(west, typeEquals="APPLICATION") == []
    policy = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
        }
    )
    stranger = inside.client(await inside.user(OTHER, "eve", policy))
    for asked in (get(stranger, arn), delete(stranger, arn)):
        assert (await refusal(asked))[0] == "AccessDeniedException"
    assert (await refusal(get(stranger, profile_id)))[0] == "ResourceNotFoundException"
    assert await listed(stranger, typeEquals="APPLICATION") == []
    assert (await get(admin, arn))["inferenceProfileArn"] == arn


def test_boto3_makes_lists_and_deletes_profiles(scripted_gateway: Gateway) -> None:
    client = scripted_gateway.client("bedrock")
    made = client.create_inference_profile(
        inferenceProfileName="by boto3",
        modelSource={"copyFrom": model(HAIKU)},
        tags=[{"key": "Team", "value": "ore"}],
    )["inferenceProfileArn"]
    tags = client.list_tags_for_resource(resourceARN=made)["tags"]
    assert tags == [{"key": "Team", "value": "ore"}]
    pages = client.get_paginator("list_inference_profiles").paginate(typeEquals="APPLICATION")
    found = [
        each["inferenceProfileArn"] for page in pages for each in page["inferenceProfileSummaries"]
    ]
    assert made in found
    client.delete_inference_profile(inferenceProfileIdentifier=made)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_inference_profile(inferenceProfileIdentifier=made)
