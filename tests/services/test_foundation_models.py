"""The handlers with the real catalog, and their answers through the real serializer."""

from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest

from outcrop.catalog.arns import foundation_model_arn, inference_profile_arn
from outcrop.catalog.catalog import WrongRegion
from outcrop.catalog.load import load_catalog
from outcrop.config import Config
from outcrop.errors import ResourceNotFoundException
from outcrop.services.bedrock.foundation_models import (
    get_foundation_model,
    list_foundation_models,
)
from outcrop.services.call import Call
from outcrop.wire.serialize import serialize
from outcrop.wire.spec import load_service
from outcrop.wire.validate import validate

CATALOG = load_catalog(Config())
OPERATIONS = load_service("bedrock").operations
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"


def call_of(operation: str, region: str = "us-east-1") -> Call:
    nobody = cast(Any, None)
    return Call(
        operation=OPERATIONS[operation],
        caller=nobody,
        region=region,
        request_id="r",
        request=nobody,
        catalog=CATALOG,
        engines=nobody,
        unsupported="refuse",
        stores=nobody,
        gateway=nobody,
        serving=nobody,
        observing=nobody,
        now=datetime.now(UTC),
    )


def answer(call: Call, result: dict[str, Any]) -> dict[str, Any]:
    body = serialize(call.operation, result, call.request_id).body
    assert isinstance(body, bytes)
    return msgspec.json.decode(body)


async def summaries(**filters: str) -> list[dict[str, Any]]:
    call = call_of("ListFoundationModels")
    return answer(call, await list_foundation_models(call, filters))["modelSummaries"]


async def ids(**filters: str) -> set[str]:
    return {each["modelId"] for each in await summaries(**filters)}


async def details(identifier: str, region: str = "us-east-1") -> dict[str, Any]:
    call = call_of("GetFoundationModel", region)
    result = await get_foundation_model(call, {"modelIdentifier": identifier})
    return answer(call, result)["modelDetails"]


async def test_all_models_are_listed_with_their_id_and_arn() -> None:
    listed = await summaries()
    assert [each["modelId"] for each in listed] == [model.id for model in CATALOG.all()]
    for each in listed:
        assert each["modelArn"] == f"arn:aws:bedrock:us-east-1::foundation-model/{each['modelId']}"


async def test_streaming_is_told_by_a_boolean_for_every_model() -> None:
    streaming = {each["modelId"]: each["responseStreamingSupported"] for each in await summaries()}
    assert all(isinstance(each, bool) for each in streaming.values())
    assert streaming["anthropic.claude-v2"]
    assert not streaming["ai21.j2-ultra-v1"]
    assert not streaming["amazon.titan-embed-g1-text-02"]


@pytest.mark.parametrize("provider", ["Anthropic", "anthropic", "ANTHROPIC"])
async def test_a_provider_is_found_in_any_case(provider: str) -> None:
    found = await ids(byProvider=provider)
    assert found == {model.id for model in CATALOG.all() if model.id.startswith("anthropic.")}


async def test_a_provider_is_matched_whole() -> None:
    assert await ids(byProvider="Anthro") == set()
    assert "ai21.j2-mid-v1" in await ids(byProvider="AI21 Labs")


@pytest.mark.parametrize(
    ("name", "value", "member"),
    [
        ("byCustomizationType", "FINE_TUNING", "customizationsSupported"),
        ("byCustomizationType", "CONTINUED_PRE_TRAINING", "customizationsSupported"),
        ("byCustomizationType", "DISTILLATION", "customizationsSupported"),
        ("byOutputModality", "TEXT", "outputModalities"),
        ("byOutputModality", "IMAGE", "outputModalities"),
        ("byOutputModality", "EMBEDDING", "outputModalities"),
        ("byInferenceType", "ON_DEMAND", "inferenceTypesSupported"),
        ("byInferenceType", "PROVISIONED", "inferenceTypesSupported"),
    ],
)
async def test_a_filter_leaves_exactly_the_models_that_have_the_value(
    name: str, value: str, member: str
) -> None:
    expected = {each["modelId"] for each in await summaries() if value in each[member]}
    assert await ids(**{name: value}) == expected
    assert 0 < len(expected) < len(CATALOG.all())


async def test_filters_narrow_together() -> None:
    found = await ids(
        byProvider="amazon",
        byCustomizationType="FINE_TUNING",
        byOutputModality="TEXT",
        byInferenceType="PROVISIONED",
    )
    assert "amazon.titan-text-express-v1:0:8k" in found
    assert "amazon.titan-text-express-v1" not in found
    assert "amazon.nova-canvas-v1:0" not in found
    assert "cohere.command-text-v14:7:4k" not in found
    assert await ids(byProvider="Meta", byOutputModality="IMAGE") == set()


async def test_a_model_is_described_by_id_and_by_arn() -> None:
    expected = {
        "modelArn": "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-v2",
        "modelId": "anthropic.claude-v2",
        "modelName": "Claude",
        "providerName": "Anthropic",
        "inputModalities": ["TEXT"],
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": True,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"],
        "modelLifecycle": {"status": "LEGACY"},
    }
    arn = foundation_model_arn("eu-west-1", "anthropic.claude-v2")
    assert await details("anthropic.claude-v2", "eu-west-1") == expected
    assert await details(arn, "eu-west-1") == expected


def test_every_id_and_arn_passes_the_operations_own_pattern() -> None:
    for model in CATALOG.all():
        for identifier in (model.id, foundation_model_arn("us-east-1", model.id)):
            validate(OPERATIONS["GetFoundationModel"], {"modelIdentifier": identifier})


async def test_details_and_summaries_tell_the_same() -> None:
    for each in await summaries():
        assert await details(each["modelId"]) == each


@pytest.mark.parametrize(
    "identifier",
    [
        "anthropic.claude-v9",
        foundation_model_arn("us-east-1", "anthropic.claude-v9"),
        f"us.{SONNET}",
        inference_profile_arn("us-east-1", "123456789012", f"us.{SONNET}"),
    ],
)
async def test_what_is_no_base_model_is_not_found(identifier: str) -> None:
    with pytest.raises(ResourceNotFoundException, match="Could not resolve the foundation model"):
        await details(identifier)


async def test_an_arn_of_another_region_is_refused() -> None:
    with pytest.raises(WrongRegion):
        await details(foundation_model_arn("us-west-2", "anthropic.claude-v2"))
