"""``outcrop quotas`` as an operator types it, on a data directory that others may serve."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from outcrop.catalog.load import load_models
from outcrop.cli.app import build
from outcrop.quotas.book import QuotaBook
from outcrop.quotas.requests import make_request
from outcrop.stores.database import Database
from outcrop.stores.model_records import OperatorAction
from outcrop.stores.resources import Place, Resources

ACCOUNT, OTHER = "123456789012", "210987654321"
ARN = f"arn:aws:iam::{ACCOUNT}:user/ann"
UNITS = "L-B826AE6A"
"""Model units with commitment across base models."""
V2_REQUESTS = "L-9815D423"


@pytest.fixture
def quotas(outcrop: typer.Typer) -> typer.Typer:
    run(outcrop, "accounts", "list")
    return build(("accounts", "quotas"))


def run(app: typer.Typer, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result


def listed(app: typer.Typer, *arguments: str) -> dict[str, dict[str, Any]]:
    rows = json.loads(run(app, "quotas", "list", "--json", *arguments).stdout)
    return {row["code"]: row for row in rows}


def requested(app: typer.Typer) -> list[dict[str, Any]]:
    return json.loads(run(app, "quotas", "requests", "--json").stdout)


def ask(folder: Path, desired: float, region: str = "us-east-1") -> str:
    """As an account asks a server that runs on the data directory; the request's ID."""

    async def asking() -> str:
        database = await Database.open(folder / "data" / "outcrop.db")
        try:
            resources = Resources(database)
            quota = QuotaBook(resources, tuple(load_models().by_id.values())).find(UNITS)
            assert quota is not None
            place = Place(ACCOUNT, region, quota.key)
            return (await make_request(resources, quota, place, desired, ARN)).name
        finally:
            await database.close()

    return asyncio.run(asking())


def actions(folder: Path) -> list[OperatorAction]:
    async def reading() -> list[OperatorAction]:
        database = await Database.open(folder / "data" / "outcrop.db")
        try:
            async with Resources(database).reading() as view:
                return [item.record for item in await view.list(OperatorAction)]
        finally:
            await database.close()

    return asyncio.run(reading())


def test_what_is_listed_is_what_the_account_has_in_the_region(quotas: typer.Typer) -> None:
    run(quotas, "accounts", "create", "other", "--id", OTHER)
    run(quotas, "quotas", "set", V2_REQUESTS, "12", "--account", OTHER, "--region", "eu-west-1")
    theirs = listed(quotas, "--account", OTHER, "--region", "eu-west-1")[V2_REQUESTS]
    assert theirs == {
        "code": V2_REQUESTS,
        "name": "On-demand InvokeModel requests per minute for Anthropic Claude V2",
        "unit": "None",
        "value": 12,
        "default": 100,
        "adjustable": False,
    }
    assert listed(quotas, "--account", OTHER)[V2_REQUESTS]["value"] == 100
    assert listed(quotas)[V2_REQUESTS]["value"] == 100
    assert V2_REQUESTS in run(quotas, "quotas", "list").stdout


def test_a_request_is_listed_and_approved(quotas: typer.Typer, tmp_path: Path) -> None:
    request = ask(tmp_path, 4)
    (row,) = requested(quotas)
    assert (row["id"], row["status"], row["value"], row["desired"]) == (request, "PENDING", 0, 4)
    assert (row["account"], row["region"], row["requester"]) == (ACCOUNT, "us-east-1", ARN)
    told = run(quotas, "quotas", "approve", request, "--value", "3").stdout
    assert told.endswith(f": 3 for {ACCOUNT} in us-east-1.\n")
    assert listed(quotas)[UNITS]["value"] == 3
    (row,) = requested(quotas)
    assert (row["status"], row["granted"], row["value"]) == ("APPROVED", 3, 3)
    assert [each.action for each in actions(tmp_path)] == ["quotas.approve"]


def test_a_request_is_denied_with_a_reason(quotas: typer.Typer, tmp_path: Path) -> None:
    request = ask(tmp_path, 4)
    run(quotas, "quotas", "deny", request, code=2)
    run(quotas, "quotas", "deny", request, "--reason", "no room")
    (row,) = requested(quotas)
    assert (row["status"], row["reason"]) == ("DENIED", "no room")
    assert listed(quotas)[UNITS]["value"] == 0
    assert "is DENIED already" in run(quotas, "quotas", "approve", request, code=1).stderr


def test_what_waits_for_an_answer_is_listed_first(quotas: typer.Typer, tmp_path: Path) -> None:
    first = ask(tmp_path, 4)
    second = ask(tmp_path, 4, "eu-central-1")
    run(quotas, "quotas", "approve", second)
    assert [row["id"] for row in requested(quotas)] == [first, second]
    lines = run(quotas, "quotas", "requests").stdout.splitlines()
    assert lines[0].split()[:2] == ["ID", "Status"]


def test_who_set_a_quota_is_on_record(
    quotas: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "olga")
    run(quotas, "quotas", "set", V2_REQUESTS, "1000")
    (action,) = actions(tmp_path)
    assert (action.action, action.operator) == ("quotas.set", "olga")
    assert action.detail == {"value": "1000", "before": "100"}


def test_mistakes_are_told_in_a_sentence(quotas: typer.Typer) -> None:
    for arguments, sentence in (
        (("set", "L-00000000", "1"), "There is no quota 'L-00000000'."),
        (
            ("set", UNITS, "nan"),
            "The value of a quota is a whole number, 0 to 10000000000, not nan.",
        ),
        (("set", UNITS, "1", "--account", "1"), "1"),
        (("approve", "nothing"), "There is no quota request 'nothing'."),
    ):
        assert sentence in run(quotas, "quotas", *arguments, code=1).stderr
