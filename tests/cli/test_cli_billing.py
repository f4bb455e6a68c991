"""``outcrop billing`` as an operator types it."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from outcrop.billing.ledger import Line, add_up
from outcrop.stores.database import Database
from outcrop.stores.resources import Resources

ACCOUNT = "123456789012"
MARCH = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) // 3600
USER = f"arn:aws:iam::{ACCOUNT}:user/ada"


def run(app: typer.Typer, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["billing", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result


def shown(app: typer.Typer, *arguments: str) -> dict[str, Any]:
    return json.loads(run(app, "--month", "2026-03", "--json", *arguments).stdout)


def line(model: str, prices: str, tokens: int) -> Line:
    arn = f"arn:aws:bedrock:us-east-1::foundation-model/{model}"
    place = (ACCOUNT, MARCH, "us-east-1", "on-demand", model, arn, USER)
    return Line(*place, prices, requests=1, input_tokens=tokens, output_tokens=tokens)


async def write(folder: Path, lines: Sequence[Line]) -> None:
    database = await Database.open(folder / "data" / "outcrop.db")
    async with Resources(database).writing() as transaction:
        await add_up(transaction, lines)
    await database.close()


@pytest.fixture
def outcrop_with_bill(outcrop: typer.Typer, tmp_path: Path) -> typer.Typer:
    run(outcrop)
    lines = [line("anthropic.claude-v2", "0.008/0.024", 12_345), line("acme.chat", "-/-", 5)]
    asyncio.run(write(tmp_path, lines))
    return outcrop


def test_a_month_without_use_costs_nothing(outcrop: typer.Typer) -> None:
    bill = shown(outcrop)
    assert (bill["groups"], bill["total"]["cost"]) == ([], "0.000000000")


def test_json_has_every_nano_dollar_and_the_table_cents(outcrop_with_bill: typer.Typer) -> None:
    bill = shown(outcrop_with_bill)
    assert bill["grouped_by"] == "model"
    assert [(each["name"], each["cost"]) for each in bill["groups"]] == [
        ("anthropic.claude-v2", "0.395040000"),
        ("acme.chat", "0.000000000"),
    ]
    table = run(outcrop_with_bill, "--month", "2026-03")
    assert "12,345" in table.stdout
    assert "0.40" in table.stdout


def test_names_are_no_markup(outcrop: typer.Typer, tmp_path: Path) -> None:
    """Paths of users hold brackets, and a tag's key is whatever the operator asks for."""
    path = "[/red]/[bold]/"
    bought = line("anthropic.claude-v2", "0.008/0.024", 1)
    mean = replace(bought, principal=f"arn:aws:iam::{ACCOUNT}:user/{path}ada")
    run(outcrop)
    asyncio.run(write(tmp_path, [mean]))
    assert f"user/{path}ada" in run(outcrop, "--month", "2026-03", "--by", "principal").stdout
    assert "Tag [/CostCenter]" in run(outcrop, "--by-tag", "[/CostCenter]").stdout


def test_what_has_no_price_is_told_of(outcrop_with_bill: typer.Typer) -> None:
    assert shown(outcrop_with_bill)["total"]["lines_without_price"] == 1
    result = run(outcrop_with_bill, "--month", "2026-03")
    assert "1 of the ledger's lines have no price" in result.stderr


@pytest.mark.parametrize(
    ("by", "name"), [("principal", USER), ("day", "2026-03-01"), ("model", "anthropic.claude-v2")]
)
def test_a_bill_is_grouped_as_it_is_asked(
    outcrop_with_bill: typer.Typer, by: str, name: str
) -> None:
    assert shown(outcrop_with_bill, "--by", by)["groups"][0]["name"] == name


def test_a_bill_by_tag_names_the_tag(outcrop_with_bill: typer.Typer) -> None:
    bill = shown(outcrop_with_bill, "--by-tag", "team")
    assert (bill["grouped_by"], bill["groups"][0]["name"]) == ("tag team", "(without)")


def test_another_account_sees_nothing_of_it(outcrop_with_bill: typer.Typer) -> None:
    assert shown(outcrop_with_bill, "--account", "210987654321")["groups"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--month", "March"), "like 2026-03"),
        (("--by", "team"), "model, principal, resource, day"),
        (("--by", "day", "--by-tag", "team"), "grouped by one thing"),
    ],
)
def test_what_cannot_be_asked_is_said_plainly(
    outcrop: typer.Typer, arguments: tuple[str, ...], words: str
) -> None:
    assert words in run(outcrop, *arguments, code=1).stderr
