"""Buying provisioned throughput: which models, on what terms, how much, and by whom."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from in_process import Client
from kms_requests import make_key, owned, user
from statements import ACCOUNT, OTHER, allow, to, user_arn
from throughputs_under_test import LONG, SHORT, Bench, model_arn, open_bench

from outcrop.capacity.capacity import CapacityShort
from outcrop.quotas.book import NO_COMMITMENT_UNITS
from outcrop.services.bedrock.provisioned_purchases import months_after
from outcrop.wire.patterns import fits
from outcrop.wire.spec import load_service

# PT-13 … PT-19, and a custom model's base (PT-12).
DEDICATED = (
    "amazon.titan-text-express-v1:0:8k",
    "amazon.titan-embed-text-v1:2:8k",
    "anthropic.claude-v2:0:18k",
    "anthropic.claude-v2:0:100k",
    "anthropic.claude-instant-v1:2:100K",
    "stability.stable-diffusion-xl-v1:0",
    "meta.llama2-13b-chat-v1:0:4k",
)
NO_TERM: dict[str, Any] = {"commitmentDuration": None}
_DAYS = st.timedeltas(timedelta(0), timedelta(days=40_000))
_MOMENTS = _DAYS.map(lambda days: datetime(2000, 1, 1, tzinfo=UTC) + days)


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, monkeypatch) as bench:
        yield bench


@pytest.mark.parametrize("model", DEDICATED)
async def test_the_dedicated_ids_of_the_documents_are_bought(bench: Bench, model: str) -> None:
    await bench.units(1)
    arn = await bench.buy(modelId=model)
    found = await bench.settled(arn)
    assert found["status"] == "InService"
    assert found["modelArn"] == found["foundationModelArn"] == model_arn(model.lower())


@pytest.mark.parametrize("identifier", ["anthropic.claude-v2", model_arn("anthropic.claude-v2")])
async def test_the_on_demand_model_of_such_ids_is_bought_as_the_samples_do(
    bench: Bench, identifier: str
) -> None:
    await bench.units(1)
    found = await bench.get(await bench.buy(modelId=identifier))
    assert found["modelArn"] == model_arn("anthropic.claude-v2")


async def test_a_purchase_tells_what_was_bought_while_it_is_being_created(bench: Bench) -> None:
    await bench.units(4)
    bench.capacity.open.clear()
    began = datetime.now(UTC)
    arn = await bench.buy(modelUnits=3, commitmentDuration="SixMonths", modelId=LONG)
    assert fits(f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/[a-z0-9]{{12}}", arn)
    found = await bench.get(arn)
    ends_at = found.pop("commitmentExpirationTime")
    assert months_after(began, 6) <= ends_at <= months_after(datetime.now(UTC), 6)
    assert found.pop("creationTime") == found.pop("lastModifiedTime")
    found.pop("ResponseMetadata")
    assert found == {
        "provisionedModelName": "mine",
        "provisionedModelArn": arn,
        "modelArn": model_arn(LONG),
        "desiredModelArn": model_arn(LONG),
        "foundationModelArn": model_arn(LONG),
        "modelUnits": 3,
        "desiredModelUnits": 3,
        "status": "Creating",
        "commitmentDuration": "SixMonths",
    }
    record = (await bench.record()).record
    assert record.by == user_arn("admin")
    assert record.unit.input_tokens > 0
    bench.capacity.open.set()
    assert (await bench.settled(arn))["status"] == "InService"
    assert bench.capacity.asked == [("reserve", LONG)]


async def test_base_models_are_not_had_without_commitment(bench: Bench) -> None:
    await bench.units(5)
    code, message = await bench.refusal("Create", **NO_TERM)
    assert code == "ValidationException"
    assert "OneMonth or SixMonths" in message


@pytest.mark.parametrize("term", ["OneMonth", "SixMonths", None])
async def test_custom_models_are_had_on_every_term_by_arn_and_by_name(
    bench: Bench, term: str | None
) -> None:
    await bench.units(2)
    arn = await bench.custom("tuned")
    for number, identifier in enumerate((arn, "tuned")):
        name = f"mine-{number}"
        await bench.buy(name, modelId=identifier, commitmentDuration=term)
        found = await bench.settled(name)
        assert found["status"] == "InService"
        assert found["modelArn"] == arn
        assert found["foundationModelArn"] == model_arn("anthropic.claude-v2")
        assert found.get("commitmentDuration") == term


async def test_without_commitment_there_is_one_unit_each_and_two_in_all(bench: Bench) -> None:
    arn = await bench.custom("tuned")
    code, message = await bench.refusal("Create", modelId=arn, modelUnits=2, **NO_TERM)
    assert (code, "1 model unit, not 2" in message) == ("ValidationException", True)
    for name in ("one", "two"):
        await bench.buy(name, modelId=arn, **NO_TERM)
    code, message = await bench.refusal("Create", name="three", modelId=arn, **NO_TERM)
    assert code == "ServiceQuotaExceededException"
    assert "has a quota of 2 in us-east-1" in message
    await bench.ask("Delete", provisionedModelId="one")
    await bench.buy("three", modelId=arn, **NO_TERM)


@pytest.mark.parametrize("is_custom", [True, False])
async def test_the_first_purchase_with_commitment_needs_an_approved_quota(
    bench: Bench, is_custom: bool
) -> None:
    model = await bench.custom("tuned") if is_custom else SHORT
    code, message = await bench.refusal("Create", modelId=model)
    assert code == "ServiceQuotaExceededException"
    assert "has a quota of 0" in message
    assert "Request an increase with Service Quotas" in message
    await bench.units(3)
    await bench.buy(modelId=model, modelUnits=2)
    code, message = await bench.refusal("Create", name="second", modelId=model, modelUnits=2)
    assert code == "ServiceQuotaExceededException"
    assert "of which 2 are in use; 2 more were asked for" in message
    await bench.buy("second", modelId=model)


async def test_units_of_base_and_of_custom_models_and_those_without_commitment_count_apart(
    bench: Bench,
) -> None:
    await bench.units(1)
    arn = await bench.custom("tuned")
    await bench.buy("base")
    await bench.buy("custom", modelId=arn)
    await bench.buy("hourly", modelId=arn, **NO_TERM)


async def test_units_that_failed_are_free_again(bench: Bench) -> None:
    await bench.units(1)
    bench.capacity.failures.append(CapacityShort("no CPU is left"))
    assert (await bench.settled(await bench.buy()))["status"] == "Failed"
    await bench.buy("second")


@pytest.mark.parametrize(
    ("model", "code", "text"),
    [
        ("nobody.knows-v1", "ResourceNotFoundException", "Could not resolve the foundation model"),
        (
            model_arn("nobody.knows-v1"),
            "ResourceNotFoundException",
            "Could not resolve the foundation model",
        ),
        ("unknown-name", "ResourceNotFoundException", "Could not resolve the foundation model"),
        (
            f"arn:aws:bedrock:us-east-1:{ACCOUNT}:custom-model/anthropic.claude-v2/abcdefghijkl",
            "ResourceNotFoundException",
            "Could not resolve the foundation model",
        ),
        (
            "arn:aws:bedrock:eu-central-1::foundation-model/anthropic.claude-v2",
            "ValidationException",
            "The provided ARN is invalid for the service region",
        ),
        (
            f"arn:aws:bedrock:eu-central-1:{ACCOUNT}:custom-model/anthropic.claude-v2/abcdefghijkl",
            "ValidationException",
            "The provided ARN is invalid for the service region",
        ),
        ("meta.llama2-13b-v1:0:4k", "ValidationException", "is not available for the model"),
        ("ai21.j2-mid-v1", "ValidationException", "is not available for the model"),
        ("us.anthropic.claude-sonnet-4-6", "ResourceNotFoundException", "Could not resolve"),
    ],
)
async def test_a_model_that_is_not_there_or_not_sold_so_is_refused(
    bench: Bench, model: str, code: str, text: str
) -> None:
    await bench.units(9)
    found, message = await bench.refusal("Create", modelId=model)
    assert (found, text in message) == (code, True), message


async def test_a_custom_model_of_a_base_that_is_not_sold_by_itself_can_be_bought_for(
    bench: Bench,
) -> None:
    arn = await bench.custom("tuned", base="meta.llama2-13b-v1:0:4k")
    await bench.buy(modelId=arn, **NO_TERM)
    lost = await bench.custom("lost", base="nobody.knows-v1")
    code, message = await bench.refusal("Create", name="other", modelId=lost, **NO_TERM)
    assert (code, "nobody.knows-v1" in message) == ("ValidationException", True)


async def test_another_account_s_custom_model_is_not_there(bench: Bench) -> None:
    arn = await bench.custom("tuned", account=OTHER)
    code, _ = await bench.refusal("Create", modelId=arn, **NO_TERM)
    assert code in ("AccessDeniedException", "ResourceNotFoundException")
    assert (await bench.refusal("Create", modelId="tuned", **NO_TERM))[0] == (
        "ResourceNotFoundException"
    )


@pytest.mark.parametrize("is_custom", [True, False])
async def test_buying_needs_access_to_the_base_model(bench: Bench, is_custom: bool) -> None:
    await bench.units(1)
    model = await bench.custom("tuned") if is_custom else SHORT
    await bench.access("anthropic.claude-v2", "removed")
    code, message = await bench.refusal("Create", modelId=model)
    assert code == "AccessDeniedException"
    assert message == "You don't have access to the model with the specified model ID."


async def test_a_custom_model_under_a_customer_s_key_needs_leave_to_decrypt(bench: Bench) -> None:
    bedrock = allow("bedrock:*")
    may = await user(bench.inside, "may", bedrock)
    may_not = await user(bench.inside, "may-not", bedrock)
    policy = owned(to(user_arn("may"), "kms:Decrypt"))
    key = await make_key(bench.admin, Policy=policy)
    arn = await bench.custom("tuned", kms_key=key)
    code, message = await bench.refusal("Create", may_not, modelId=arn, **NO_TERM)
    assert code == "AccessDeniedException"
    assert message == (
        "You don't have sufficient access to the model's KMS key. Ensure that kms:Decrypt "
        "permissions are correctly configured"
    )
    await bench.buy(client=may, modelId=arn, **NO_TERM)


async def test_a_name_is_used_once_in_an_account_and_region(bench: Bench) -> None:
    await bench.units(2)
    await bench.buy()
    code, message = await bench.refusal("Create")
    assert (code, "named 'mine' already" in message) == ("ValidationException", True)
    frankfurt = Client(bench.admin.app, bench.admin.keys, region="eu-central-1")
    code, _ = await bench.refusal("Create", frankfurt)
    # The name is free there; the quota of that region is another one.
    assert code == "ServiceQuotaExceededException"


async def test_a_token_buys_once(bench: Bench) -> None:
    await bench.units(2)
    token: dict[str, Any] = {"clientRequestToken": "t1"}
    arn = await bench.buy(**token)
    assert await bench.buy(**token) == arn
    code, _ = await bench.refusal("Create", name="other", **token)
    assert code == "ValidationException"
    assert await bench.names() == ["mine"]


async def test_tags_are_kept_and_wrong_ones_refused(bench: Bench) -> None:
    await bench.units(2)
    await bench.buy(tags=[{"key": "team", "value": "ml"}])
    assert (await bench.record()).tags == {"team": "ml"}
    many = [{"key": f"k{number}", "value": ""} for number in range(51)]
    code, _ = await bench.refusal("Create", name="other", tags=many)
    assert code == "TooManyTagsException"
    reserved = [{"key": "aws:x", "value": ""}]
    assert (await bench.refusal("Create", name="other", tags=reserved))[0] == "ValidationException"


@pytest.mark.parametrize(
    "wrong",
    [
        {"modelUnits": 0},
        {"modelUnits": -1},
        {"commitmentDuration": "OneYear"},
        {"provisionedModelName": "a b"},
        {"provisionedModelName": "_a"},
        {"provisionedModelName": "x" * 64},
        {"modelId": "anthropic.claude v2"},
        {"clientRequestToken": "-"},
    ],
    ids=str,
)
async def test_what_the_model_of_the_service_forbids_is_refused(
    bench: Bench, wrong: dict[str, Any]
) -> None:
    await bench.units(9)
    name = wrong.pop("provisionedModelName", "mine")
    code, message = await bench.refusal("Create", name=name, **wrong)
    assert (code, "validation error detected" in message) == ("ValidationException", True)


async def test_who_may_not_buy_a_model_buys_none(bench: Bench) -> None:
    await bench.units(9)
    action = "bedrock:CreateProvisionedModelThroughput"
    ann = await user(bench.inside, "ann", allow(action, model_arn(SHORT)))
    await bench.buy(client=ann)
    code, message = await bench.refusal("Create", ann, name="other", modelId=LONG)
    assert code == "AccessDeniedException"
    assert f"perform: {action} on resource: {model_arn(LONG)}" in message


async def test_an_own_quota_of_throughput_without_commitment_holds(bench: Bench) -> None:
    await bench.quota(NO_COMMITMENT_UNITS, 3)
    arn = await bench.custom("tuned")
    for name in ("a", "b", "c"):
        await bench.buy(name, modelId=arn, **NO_TERM)
    code, _ = await bench.refusal("Create", name="d", modelId=arn, **NO_TERM)
    assert code == "ServiceQuotaExceededException"


@pytest.mark.parametrize(
    ("moment", "months", "expected"),
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2028-01-31", 1, "2028-02-29"),
        ("2026-08-31", 6, "2027-02-28"),
        ("2026-12-15", 1, "2027-01-15"),
        ("2026-06-30", 6, "2026-12-30"),
    ],
)
def test_a_commitment_is_of_calendar_months(moment: str, months: int, expected: str) -> None:
    begun = datetime.fromisoformat(f"{moment}T12:30:00+00:00")
    assert months_after(begun, months) == datetime.fromisoformat(f"{expected}T12:30:00+00:00")


@given(_MOMENTS, st.sampled_from([1, 6]))
def test_a_commitment_lasts_as_many_months_as_it_says(moment: datetime, months: int) -> None:
    ends_at = months_after(moment, months)
    assert (ends_at.year * 12 + ends_at.month) - (moment.year * 12 + moment.month) == months
    assert ends_at.day == moment.day or (ends_at + timedelta(days=1)).day == 1
    assert ends_at.time() == moment.time()


@given(st.from_regex(r"([0-9a-zA-Z][_-]?)+", fullmatch=True) | st.text(max_size=70))
def test_a_name_is_what_the_service_s_pattern_says(name: str) -> None:
    operation = load_service("bedrock").operations["CreateProvisionedModelThroughput"]
    assert operation.input is not None
    shape = operation.input.members["provisionedModelName"].shape
    allowed = all(each.isascii() and (each.isalnum() or each in "-_") for each in name)
    doubled = any(a in "-_" and b in "-_" for a, b in pairwise(name))
    expected = bool(name) and allowed and not doubled and name[0].isalnum()
    assert fits(str(shape.pattern), name) == expected
