"""Calls of custom models, on demand and through throughput: by which names, with which key, at
whose cost."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from custom_models_under_test import OPERATIONS, SONNET, Models, served_by
from in_process import ADMIN, Client, running_inside
from kms_requests import make_key, user
from statements import ACCOUNT, allow, document

from outcrop.billing.ledger import Line, read_lines
from outcrop.billing.meter import LedgerMeter
from outcrop.billing.report import grouped_by_tag
from outcrop.capacity.served_models import model_of_arn
from outcrop.config import Capacity, Quotas
from outcrop.quotas.book import NO_COMMITMENT_UNITS
from outcrop.services.bedrock_runtime.invocations import find_invocation
from outcrop.stores.model_records import CustomModelDeployment, ProvisionedModel
from outcrop.stores.quota_records import QuotaValue
from outcrop.stores.resources import Place

SHARED = Path(__file__).resolve().parents[2] / "../shared"
SENTENCE = (SHARED / "seed-examples/RUN-180.txt").read_text(encoding="utf-8").strip()
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
"""It is called on demand, and has a quota of requests."""
INVOKING = allow(["bedrock:InvokeModel*", "bedrock:CountTokens"])


@pytest.fixture
async def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Models]:
    """Throughput holds enough for all calls of a test."""
    enough = Capacity(input_tokens=1_000_000, output_tokens=1_000_000)
    async with running_inside(tmp_path, monkeypatch, capacity=enough) as inside:
        yield Models.of(inside)


async def outcomes(
    models: Models, model_id: str, client: Client | None = None
) -> set[tuple[str, str]]:
    """Of every operation of the runtime."""
    return {await models.outcome(operation, model_id, client) for operation in OPERATIONS}


async def test_every_operation_is_answered_by_the_model_of_the_deployment(models: Models) -> None:
    one, two = await models.add("one"), await models.add("two")
    first, second = await models.deployed(one, "first"), await models.deployed(two, "second")
    assert await outcomes(models, first) == {("ok", served_by(one))}
    assert await outcomes(models, second) == {("ok", served_by(two))}
    assert await models.outcome("Converse", f"us.{SONNET}") == ("ok", "scripted")


async def test_throughput_is_answered_by_its_model_and_an_update_by_the_other(
    models: Models,
) -> None:
    one, two = await models.add("one"), await models.add("two")
    bought = await models.bought(one)
    assert await outcomes(models, bought) == {("ok", served_by(one))}
    await models.ask(
        "UpdateProvisionedModelThroughput", provisionedModelId=bought, desiredModelId=two
    )
    await models.jobs_done("update-throughput")
    assert await outcomes(models, bought) == {("ok", served_by(two))}


async def test_a_model_is_not_called_by_itself_nor_a_deployment_by_its_name(
    models: Models,
) -> None:
    # The service's own pattern knows no ARNs of models whose base has a version.
    model = await models.add("tuned", "anthropic.claude-v2")
    await models.deployed(model)
    for model_id in (model, "tuned"):
        ((code, message),) = await outcomes(models, model_id)
        assert code == "ValidationException"
        assert "on-demand throughput isn\u2019t supported" in message
    assert await outcomes(models, "mine") == {
        ("ValidationException", "The provided model identifier is invalid.")
    }


@pytest.mark.parametrize("way", ["deployed", "bought"])
async def test_each_call_asks_for_leave_to_decrypt_with_the_model_s_key(
    models: Models, way: str
) -> None:
    key = await make_key(models.admin)
    model = await models.add("tuned", key=key)
    arn = await (models.deployed(model) if way == "deployed" else models.bought(model))
    stranger = await user(models.inside, "stranger", INVOKING)
    through = {"Condition": {"StringEquals": {"kms:ViaService": "bedrock.us-east-1.amazonaws.com"}}}
    leave = allow("kms:Decrypt", key, **cast(Any, through))
    invoker = await user(models.inside, "invoker", INVOKING, leave)
    assert await outcomes(models, arn, stranger) == {("AccessDeniedException", SENTENCE)}
    assert await outcomes(models, arn, invoker) == {("ok", served_by(model))}
    # Its leave is taken while the engine has the model in memory.
    await models.admin.ask("iam", "DeleteUserPolicy", UserName="invoker", PolicyName="granted")
    await models.admin.ask(
        "iam",
        "PutUserPolicy",
        UserName="invoker",
        PolicyName="other",
        PolicyDocument=document(INVOKING),
    )
    assert await outcomes(models, arn, invoker) == {("AccessDeniedException", SENTENCE)}


@pytest.mark.parametrize("way", ["deployed", "bought"])
async def test_a_model_whose_key_cannot_be_used_answers_nothing_and_says_why(
    models: Models, way: str
) -> None:
    key = await make_key(models.admin)
    model = await models.add("tuned", key=key)
    arn = await (models.deployed(model) if way == "deployed" else models.bought(model))
    for operation, undo, why in (
        ("DisableKey", "EnableKey", "is disabled"),
        ("ScheduleKeyDeletion", "CancelKeyDeletion", "is pending deletion"),
    ):
        await models.admin.ask("kms", operation, KeyId=key)
        ((code, message),) = await outcomes(models, arn)
        assert code == "AccessDeniedException"
        assert key in message
        assert why in message
        await models.admin.ask("kms", undo, KeyId=key)
        await models.admin.ask("kms", "EnableKey", KeyId=key)
        assert await outcomes(models, arn) == {("ok", served_by(model))}
    grant = (await models.adapter_of(model)).data_key.grant
    await models.admin.ask("kms", "RevokeGrant", KeyId=key, GrantId=grant)
    ((code, message),) = await outcomes(models, arn)
    assert (code, "revoked" in message) == ("AccessDeniedException", True)


async def test_a_model_without_a_key_of_the_customer_needs_no_leave(models: Models) -> None:
    model = await models.add("tuned")
    arn = await models.deployed(model)
    invoker = await user(models.inside, "invoker", INVOKING)
    assert await outcomes(models, arn, invoker) == {("ok", served_by(model))}


async def test_while_throughput_is_switched_both_keys_are_asked_for(models: Models) -> None:
    keys = [await make_key(models.admin) for _ in range(2)]
    old, new = [
        await models.add(name, key=key) for name, key in zip(("old", "new"), keys, strict=True)
    ]
    arn = await models.bought(old)
    invoker = await user(models.inside, "invoker", INVOKING, allow("kms:Decrypt", keys[0]))
    assert (await models.outcome("Converse", arn, invoker))[0] == "ok"
    await models.change(ProvisionedModel, "bought", status="Updating", desired_model=new)
    assert await models.outcome("Converse", arn, invoker) == ("AccessDeniedException", SENTENCE)
    assert (await models.outcome("Converse", arn))[0] == "ok"


async def test_throughput_whose_model_is_gone_answers_nobody(models: Models) -> None:
    model = await models.add("tuned", key=await make_key(models.admin))
    arn = await models.bought(model)
    await models.remove("tuned")
    # Nobody can be asked for leave to use its key any more.
    assert await outcomes(models, arn) == {
        ("ValidationException", "The provided model identifier is invalid.")
    }


async def test_whoever_may_not_decrypt_deploys_updates_and_buys_nothing(models: Models) -> None:
    key = await make_key(models.admin)
    model = await models.add("tuned", key=key)
    arn = await models.deployed(await models.add("plain"))
    client = await user(models.inside, "builder", allow("bedrock:*"))
    for operation, params in (
        ("CreateCustomModelDeployment", {"modelDeploymentName": "b", "modelArn": model}),
        (
            "UpdateCustomModelDeployment",
            {"customModelDeploymentIdentifier": arn, "modelArn": model},
        ),
        (
            "CreateProvisionedModelThroughput",
            {"provisionedModelName": "b", "modelUnits": 1, "modelId": model},
        ),
    ):
        refused = await models.refusal(operation, client, **cast("dict[str, Any]", params))
        assert refused == ("AccessDeniedException", SENTENCE)


async def lines(models: Models) -> list[Line]:
    deployment = models.inside.deployment
    await cast(LedgerMeter, deployment.serving.usage).flush()
    async with deployment.state.stores.resources.reading() as view:
        return await read_lines(view.connection, first_hour=0, end_hour=10**9)


async def test_calls_on_demand_are_billed_at_the_base_s_prices_to_the_deployment(
    models: Models,
) -> None:
    tags = [{"key": "team", "value": "ore"}]
    arn = await models.deployed(await models.add("tuned"), tags=tags)
    assert (await models.outcome("Converse", arn))[0] == "ok"
    (line,) = [line for line in await lines(models) if line.resource == arn]
    assert (line.kind, line.model_id, line.requests) == ("on-demand", SONNET, 1)
    assert line.cost > 0
    deployment = models.inside.deployment
    async with deployment.state.stores.resources.reading() as view:
        sums = await grouped_by_tag(view, [line], "team")
    assert set(sums) == {"ore"}
    # The bill of a deployment that is gone still tells its tags.
    await models.ask("DeleteCustomModelDeployment", customModelDeploymentIdentifier=arn)
    async with deployment.state.stores.resources.reading() as view:
        assert set(await grouped_by_tag(view, [line], "team")) == {"ore"}


@pytest.fixture
async def limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Models]:
    """Quotas hold: one request a minute of the base."""
    quotas = Quotas(profile="aws")
    async with running_inside(tmp_path, monkeypatch, quotas=quotas) as inside:
        models = Models(inside, inside.client(ADMIN))
        deployment = inside.deployment
        model = deployment.catalog.get(HAIKU, "us-east-1")
        key = deployment.serving.book.rate_key(model, "requests")
        for name, value in ((str(key), 1), (NO_COMMITMENT_UNITS, 1)):
            place = Place(ACCOUNT, "us-east-1", name)
            async with deployment.state.stores.resources.writing() as transaction:
                await transaction.add(QuotaValue(value=value), place)
        yield models


async def test_deployments_share_the_quotas_on_demand_of_their_base(limited: Models) -> None:
    one, two = await limited.add("one", HAIKU), await limited.add("two", HAIKU)
    first, second = await limited.deployed(one, "first"), await limited.deployed(two, "second")
    assert (await limited.outcome("Converse", first))[0] == "ok"
    assert (await limited.outcome("Converse", second))[0] == "ThrottlingException"
    assert (await limited.outcome("Converse", HAIKU))[0] == "ThrottlingException"
    bought = await limited.bought(one)
    assert (await limited.outcome("Converse", bought))[0] != "ThrottlingException"


async def test_metrics_and_logs_know_a_refused_call_of_a_deployment_by_its_name(
    models: Models,
) -> None:
    arn = await models.deployed(await models.add("tuned"))
    deployment = models.inside.deployment
    stores = deployment.state.stores

    def find(account: str) -> Any:
        place = Place(account, "us-east-1", "")
        return find_invocation(deployment.catalog, stores.models, place, arn)

    found = find(ACCOUNT)
    assert (found.model_id, found.modality) == (arn, "text")
    assert find("999999999999") is None
    await models.change(CustomModelDeployment, "mine", status="Failed")
    await models.remove("tuned")
    assert find(ACCOUNT) is None


async def test_a_deployment_speaks_as_its_base_and_never_with_the_base_s_engine(
    models: Models,
) -> None:
    arn = await models.add("tuned")
    deployment = models.inside.deployment
    served = model_of_arn(deployment.state.stores.models, deployment.catalog, arn, "us-east-1")
    base = deployment.catalog.get(SONNET, "us-east-1")
    assert (served.id, served.dialect, served.adapter) == (base.id, base.dialect, arn)
    assert served.standby == ()
