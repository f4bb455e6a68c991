"""Provisioned throughput that there is: found, listed, given back, and what it costs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings, strategies as st
from in_process import REGION, Client
from kms_requests import user
from statements import ACCOUNT, OTHER, allow
from throughputs_under_test import LONG, SHORT, Bench, model_arn, named, open_bench

from outcrop.billing.ledger import read_lines
from outcrop.capacity.capacity import CapacityShort
from outcrop.capacity.provisioning import PROVISION, UPDATE
from outcrop.stores.model_records import ModelUnit, ProvisionedModel
from outcrop.stores.resources import Place
from outcrop.stores.tables import resources, to_ms

STATES = ("Creating", "InService", "Updating", "Failed")
START = datetime(2026, 3, 1, 10, tzinfo=UTC)
NO_TERM: dict[str, Any] = {"commitmentDuration": None}


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, monkeypatch) as bench:
        yield bench


async def test_it_is_found_by_name_and_by_arn(bench: Bench) -> None:
    await bench.units(1)
    arn = await bench.bought()
    assert named(await bench.get(arn)) == named(await bench.get("mine")) == "mine"


@pytest.mark.parametrize("verb", ["Get", "Delete", "Update"])
@pytest.mark.parametrize(
    ("identifier", "code", "text"),
    [
        ("nobody", "ResourceNotFoundException", "There is no provisioned model 'nobody'"),
        (
            f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/abcdefghijkl",
            "ResourceNotFoundException",
            "There is no provisioned model",
        ),
        (
            f"arn:aws:bedrock:eu-central-1:{ACCOUNT}:provisioned-model/abcdefghijkl",
            "ValidationException",
            "The provided ARN is invalid for the service region",
        ),
    ],
)
async def test_what_is_not_there_is_told(
    bench: Bench, verb: str, identifier: str, code: str, text: str
) -> None:
    change: dict[str, Any] = {"desiredProvisionedModelName": "new"} if verb == "Update" else {}
    found, message = await bench.refusal(verb, provisionedModelId=identifier, **change)
    assert (found, text in message) == (code, True), message


async def test_another_account_s_is_out_of_reach(bench: Bench) -> None:
    await bench.units(1)
    arn = await bench.bought()
    stranger = await user(bench.inside, "ann", allow("bedrock:*"), account=OTHER)
    for verb in ("Get", "Delete"):
        code, _ = await bench.refusal(verb, stranger, provisionedModelId=arn)
        assert code in ("AccessDeniedException", "ResourceNotFoundException")
        code, _ = await bench.refusal(verb, stranger, provisionedModelId="mine")
        assert code == "ResourceNotFoundException"
    assert (await bench.ask("List", stranger))["provisionedModelSummaries"] == []


async def test_policies_on_its_arn_hold_where_it_is_called_by_name(bench: Bench) -> None:
    await bench.units(2)
    arn = await bench.bought()
    await bench.bought("other")
    ann = await user(bench.inside, "ann", allow("bedrock:GetProvisionedModelThroughput", arn))
    assert named(await bench.ask("Get", ann, provisionedModelId="mine")) == "mine"
    code, _ = await bench.refusal("Get", ann, provisionedModelId="other")
    assert code == "AccessDeniedException"


async def test_a_failed_one_says_why(bench: Bench) -> None:
    await bench.units(1)
    bench.capacity.failures.append(CapacityShort("8 CPUs were asked for, 1 is free"))
    found = await bench.settled(await bench.buy())
    assert (found["status"], found["failureMessage"]) == (
        "Failed",
        "8 CPUs were asked for, 1 is free",
    )


@pytest.mark.parametrize("status", STATES)
async def test_a_committed_one_is_kept_until_its_term_ends(bench: Bench, status: str) -> None:
    await bench.units(1)
    arn = await bench.bought()
    await bench.change(status=status)
    ends_at = (await bench.record()).record.commitment_ends_at
    assert ends_at is not None
    if status != "Failed":
        code, message = await bench.refusal("Delete", provisionedModelId="mine")
        assert code == "ConflictException"
        assert f"is committed until {ends_at:%Y-%m-%dT%H:%M:%SZ}" in message
        assert f"outcrop capacity release {arn}" in message
        await bench.end_commitment(datetime.now(UTC))
    await bench.ask("Delete", provisionedModelId="mine")
    assert bench.capacity.held == {}
    assert (await bench.refusal("Get", provisionedModelId=arn))[0] == "ResourceNotFoundException"


async def test_one_without_commitment_goes_at_once_and_its_name_is_free(bench: Bench) -> None:
    model = await bench.custom("tuned")
    arn = await bench.bought(modelId=model, **NO_TERM)
    await bench.ask("Delete", provisionedModelId=arn)
    assert ("release", arn) in bench.capacity.asked
    assert await bench.names() == []
    assert await bench.bought(modelId=model, **NO_TERM) != arn


async def test_one_that_is_deleted_while_it_is_created_leaves_nothing(bench: Bench) -> None:
    model = await bench.custom("tuned")
    bench.capacity.open.clear()
    arn = await bench.buy(modelId=model, **NO_TERM)
    await bench.capacity.arrived.wait()
    await bench.ask("Delete", provisionedModelId=arn)
    bench.capacity.asked.clear()
    bench.capacity.open.set()
    await bench.job_ended(PROVISION, arn)
    assert bench.capacity.held == {}
    assert bench.capacity.asked[-1] == ("release", arn)


async def test_one_that_is_deleted_while_it_is_updated_leaves_nothing(bench: Bench) -> None:
    tuned, better = await bench.custom("tuned"), await bench.custom("better")
    arn = await bench.bought(modelId=tuned, **NO_TERM)
    bench.capacity.open.clear()
    bench.capacity.arrived.clear()
    await bench.ask("Update", provisionedModelId=arn, desiredModelId=better)
    await bench.capacity.arrived.wait()
    await bench.ask("Delete", provisionedModelId=arn)
    bench.capacity.open.set()
    await bench.job_ended(UPDATE, arn)
    assert bench.capacity.held == {}


async def test_what_has_served_is_on_the_bill_after_it_was_deleted(bench: Bench) -> None:
    model = await bench.custom("tuned")
    unit = ModelUnit(input_tokens=1, output_tokens=1, hourly_price=39.6)
    arn = await bench.bought(modelId=model, **NO_TERM)
    await bench.change(unit=unit)
    async with bench.inside.deployment.state.stores.resources.writing() as transaction:
        # As if it had come into service two hours ago.
        await bench.bill_since(transaction, arn, datetime.now(UTC) - timedelta(hours=2))
    await bench.ask("Delete", provisionedModelId=arn)
    async with bench.inside.deployment.state.stores.resources.reading() as view:
        lines = await read_lines(view.connection, first_hour=0, end_hour=10_000_000)
    assert sum(line.seconds for line in lines if line.resource == arn) in (7200, 7201, 7202)


async def test_the_list_is_filtered(bench: Bench) -> None:
    for number, status in enumerate(STATES):
        model = (SHORT, LONG)[number % 2]
        await put(bench, f"t{number}", START + timedelta(hours=number), status, model)
    assert await bench.names() == ["t3", "t2", "t1", "t0"]
    assert await bench.names(sortBy="CreationTime", sortOrder="Ascending") == [
        *("t0", "t1", "t2", "t3")
    ]
    assert await bench.names(statusEquals="Updating") == ["t2"]
    assert await bench.names(modelArnEquals=model_arn(LONG)) == ["t3", "t1"]
    assert await bench.names(nameContains="2") == ["t2"]
    assert await bench.names(creationTimeAfter=START + timedelta(hours=1)) == ["t3", "t2"]
    assert await bench.names(creationTimeBefore=START + timedelta(hours=1)) == ["t0"]
    assert await bench.names(nameContains="t", statusEquals="Failed") == ["t3"]
    frankfurt = Client(bench.admin.app, bench.admin.keys, region="eu-central-1")
    assert (await bench.ask("List", frankfurt))["provisionedModelSummaries"] == []


@pytest.mark.parametrize(
    "wrong", [{"maxResults": 0}, {"maxResults": 1001}, {"nextToken": "x"}, {"sortBy": "Name"}]
)
async def test_a_list_that_cannot_be_is_refused(bench: Bench, wrong: dict[str, Any]) -> None:
    assert (await bench.refusal("List", **wrong))[0] == "ValidationException"


@settings(
    max_examples=25,
    deadline=None,
    # One application serves all examples: each names what it asks for.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
async def test_pages_hold_each_one_that_fits_once_and_in_order(
    bench: Bench, data: st.DataObject
) -> None:
    hours = data.draw(st.lists(st.integers(0, 5), max_size=12))
    await empty(bench)
    created: dict[str, datetime] = {}
    for number, hour in enumerate(hours):
        created[f"t-{number}"] = START + timedelta(hours=hour)
        await put(bench, f"t-{number}", created[f"t-{number}"], "InService", SHORT)
    order = data.draw(st.sampled_from(["Ascending", "Descending"]))
    after = data.draw(st.none() | st.integers(0, 5))
    filters: dict[str, Any] = {"sortOrder": order}
    if after is not None:
        filters["creationTimeAfter"] = START + timedelta(hours=after)
    size = data.draw(st.integers(1, 5))
    seen: list[str] = []
    token: dict[str, Any] = {}
    while True:
        answer = await bench.ask("List", maxResults=size, **filters, **token)
        page = [named(each) for each in answer["provisionedModelSummaries"]]
        assert len(page) <= size
        seen += page
        if "nextToken" not in answer:
            break
        assert len(page) == size
        token = {"nextToken": answer["nextToken"]}
    floor = filters.get("creationTimeAfter")
    assert sorted(seen) == sorted(
        name for name, moment in created.items() if floor is None or moment > floor
    )
    moments = [created[name] for name in seen]
    assert moments == sorted(moments, reverse=order == "Descending")


async def put(bench: Bench, name: str, created_at: datetime, status: Any, model: str) -> None:
    """As one that was bought then."""
    record = ProvisionedModel(
        units=1,
        desired_units=1,
        model=model_arn(model),
        desired_model=model_arn(model),
        foundation_model=model,
        unit=ModelUnit(input_tokens=1, output_tokens=1),
        status=status,
        commitment="OneMonth",
        commitment_ends_at=created_at + timedelta(days=30),
    )
    place = Place(ACCOUNT, REGION, name)
    arn = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:provisioned-model/{name.replace('-', ''):0>12}"
    async with bench.inside.deployment.state.stores.resources.writing() as transaction:
        await transaction.add(record, place, arn=arn)
        # Its row has neither its name nor its ARN, and was the last to be written.
        newest = sa.text("rowid = (SELECT max(rowid) FROM resources)")
        then = sa.update(resources).where(newest)
        await transaction.connection.execute(then.values(created_at_ms=to_ms(created_at)))


async def empty(bench: Bench) -> None:
    async with bench.inside.deployment.state.stores.resources.writing() as transaction:
        for item in await transaction.list(ProvisionedModel):
            await transaction.remove(ProvisionedModel, item.place)
