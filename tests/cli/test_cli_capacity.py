"""``outcrop capacity`` as an operator types it, beside a server or without one."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

from outcrop.capacity.rates import machine_id
from outcrop.cli.app import build
from outcrop.security.masterkey import load_master_key
from outcrop.stores.database import Database
from outcrop.stores.model_records import (
    EngineRate,
    EngineReservation,
    ModelUnit,
    OperatorAction,
    ProvisionedModel,
)
from outcrop.stores.resources import Place, Resources

ACCOUNT, REGION = "123456789012", "us-east-1"
ARN = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:provisioned-model/abcdefghijkl"
MODEL = f"arn:aws:bedrock:{REGION}::foundation-model/anthropic.claude-v2:0:18k"
ENDS_AT = datetime(2999, 1, 2, 3, 4, tzinfo=UTC)


def opened(folder: Path, database: Database) -> Resources:
    return Resources(database, load_master_key(folder / "data", {}, create=False))


async def fail(folder: Path) -> None:
    database = await Database.open(folder / "data" / "outcrop.db")
    async with opened(folder, database).writing() as transaction:
        item = await transaction.get(ProvisionedModel, Place(ACCOUNT, REGION, "mine"))
        record = msgspec.structs.replace(item.record, status="Failed", failure="no room")
        await transaction.put(replace(item, record=record))
    await database.close()


@pytest.fixture
def capacity(outcrop: typer.Typer, tmp_path: Path) -> typer.Typer:
    run(outcrop, "accounts", "list")
    asyncio.run(buy(tmp_path))
    return build(("capacity",))


async def buy(folder: Path) -> None:
    database = await Database.open(folder / "data" / "outcrop.db")
    record = ProvisionedModel(
        units=2,
        desired_units=2,
        model=MODEL,
        desired_model=MODEL,
        foundation_model="anthropic.claude-v2:0:18k",
        unit=ModelUnit(input_tokens=600, output_tokens=60),
        status="InService",
        commitment="OneMonth",
        commitment_ends_at=ENDS_AT,
    )
    held = EngineReservation(machine=machine_id(), engine="smollm2", cpus=(1,))
    rate = EngineRate(input_per_s=1000.4, output_per_s=50.0, measured_at=ENDS_AT)
    # Of the file that the engine had before.
    former = EngineRate(input_per_s=7.0, output_per_s=7.0, measured_at=ENDS_AT - timedelta(1))
    elsewhere = EngineRate(input_per_s=1.0, output_per_s=1.0, measured_at=ENDS_AT)
    async with opened(folder, database).writing() as transaction:
        await transaction.add(record, Place(ACCOUNT, REGION, "mine"), arn=ARN)
        await transaction.add(held, Place("", "", ARN))
        await transaction.add(rate, Place("", "", f"{machine_id()}/smollm2/0123456789abcdef"))
        await transaction.add(former, Place("", "", f"{machine_id()}/smollm2/f123456789abcdef"))
        await transaction.add(elsewhere, Place("", "", "another/minilm/0123456789abcdef"))
    await database.close()


async def stored(folder: Path) -> tuple[ProvisionedModel, list[OperatorAction]]:
    database = await Database.open(folder / "data" / "outcrop.db")
    async with opened(folder, database).reading() as view:
        bought = await view.get(ProvisionedModel, Place(ACCOUNT, REGION, "mine"))
        actions = [item.record for item in await view.list(OperatorAction, account=ACCOUNT)]
    await database.close()
    return bought.record, actions


def run(app: typer.Typer, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result


def test_the_list_shows_the_pool_and_what_purchases_hold(capacity: typer.Typer) -> None:
    shown: dict[str, Any] = json.loads(run(capacity, "capacity", "list", "--json").stdout)
    assert set(shown["reservable"]) < set(shown["cpus"])
    assert shown["reserved"] == [1]
    assert shown["rates"].keys() == {"smollm2"}
    (row,) = shown["throughputs"]
    assert (row["arn"], row["name"], row["account"]) == (ARN, "mine", ACCOUNT)
    assert (row["input_tokens_per_minute"], row["output_tokens_per_minute"]) == (1200, 120)
    assert (row["engine"], row["cpus"]) == ("smollm2", [1])
    assert row["committed_until"] == ENDS_AT.isoformat()
    text = run(capacity, "capacity", "list").stdout
    assert "smollm2: reads 1,000 tokens a second on one CPU, writes 50" in text
    assert "mine" in text


def test_what_failed_is_bound_to_no_term_and_the_list_tells_why(
    capacity: typer.Typer, tmp_path: Path
) -> None:
    asyncio.run(fail(tmp_path))
    (row,) = json.loads(run(capacity, "capacity", "list", "--json").stdout)["throughputs"]
    assert (row["status"], row["committed_until"]) == ("Failed", None)
    lines = run(capacity, "capacity", "list").stdout.splitlines()
    assert "mine: no room" in lines
    # What the other commands take stands whole on one line.
    assert any(line.rstrip().endswith(ARN) for line in lines)


def test_a_commitment_is_ended_once_and_recorded(capacity: typer.Typer, tmp_path: Path) -> None:
    began = datetime.now(UTC)
    said = run(capacity, "capacity", "release", ARN).stdout
    assert f"delete-provisioned-model-throughput --provisioned-model-id {ARN}" in said
    record, (action,) = asyncio.run(stored(tmp_path))
    assert record.commitment_ends_at is not None
    assert timedelta(0) <= record.commitment_ends_at - began < timedelta(minutes=1)
    assert (action.action, action.resource) == ("capacity.release", ARN)
    assert action.operator
    assert action.detail == {"commitment_ends_at": ENDS_AT.isoformat()}
    again = run(capacity, "capacity", "release", ARN, code=1)
    assert "is not committed any more" in again.stderr
    assert asyncio.run(stored(tmp_path)) == (record, [action])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["release", ARN[:-1] + "x"], "There is no provisioned throughput"),
        (["measure", "nobody"], "No engine 'nobody' runs on CPUs here"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    capacity: typer.Typer, arguments: list[str], sentence: str
) -> None:
    result = run(capacity, "capacity", *arguments, code=1)
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_measuring_needs_a_cpu_that_nobody_holds(capacity: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "outcrop.toml"
    file.write_text("[capacity]\ncpus = 0\n", encoding="utf-8")
    result = run(capacity, "capacity", "measure", "--config", str(file), code=1)
    assert "No CPU is free to measure on" in result.stderr
