"""``outcrop support``: the operator's side of cases."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import typer
from typer.testing import CliRunner, Result

from outcrop.stores.database import Database
from outcrop.stores.model_records import OperatorAction
from outcrop.stores.resources import Resources, Transaction
from outcrop.stores.support_cases import NewCase, get_case, open_case, reply

ACCOUNT = "123456789012"
USER = f"arn:aws:iam::{ACCOUNT}:user/ada"
ESCAPE = "\x1b]0;owned\x07"

T = TypeVar("T")


def run(app: typer.Typer, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["support", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result


def shown(app: typer.Typer, *arguments: str) -> Any:
    return json.loads(run(app, *arguments, "--json").stdout)


def stored(folder: Path, work: Callable[[Transaction], Awaitable[T]]) -> T:
    """Done as a server beside would."""

    async def working() -> T:
        database = await Database.open(folder / "data" / "outcrop.db")
        async with Resources(database).writing() as transaction:
            done = await work(transaction)
        await database.close()
        return done

    return asyncio.run(working())


@pytest.fixture
def case_id(outcrop: typer.Typer, tmp_path: Path) -> str:
    run(outcrop, "cases")
    new = NewCase(subject=f"[red]Grey {ESCAPE}box", body=f"It is grey.{ESCAPE}", by=USER)

    async def write(transaction: Transaction) -> str:
        return (await open_case(transaction, ACCOUNT, new)).name

    return stored(tmp_path, write)


def actions(folder: Path) -> list[OperatorAction]:
    async def read(transaction: Transaction) -> list[OperatorAction]:
        items = await transaction.list(OperatorAction)
        return [each.record for each in sorted(items, key=lambda each: each.created_at)]

    return stored(folder, read)


def test_a_case_is_listed_shown_answered_and_resolved(
    outcrop: typer.Typer, case_id: str, tmp_path: Path
) -> None:
    (row,) = shown(outcrop, "cases")
    assert (row["case"], row["status"], row["about"]) == (
        case_id,
        "unassigned",
        "service-limit-increase/amazon-bedrock",
    )
    run(outcrop, "answer", row["number"], "Which region?")
    assert shown(outcrop, "show", case_id)["status"] == "pending-customer-action"
    run(outcrop, "answer", case_id, "We look.", "--status", "work-in-progress")
    run(outcrop, "resolve", case_id, "--answer", "It is not grey any more.")
    assert shown(outcrop, "cases") == []
    (row,) = shown(outcrop, "cases", "--resolved", "--account", ACCOUNT)
    assert row["status"] == "resolved"
    written = shown(outcrop, "show", case_id)["communications"]
    assert [(each["from"], each["body"]) for each in written[1:]] == [
        ("Outcrop Support", "Which region?"),
        ("Outcrop Support", "We look."),
        ("Outcrop Support", "It is not grey any more."),
    ]
    done = actions(tmp_path)
    assert [each.action for each in done] == ["support.answer", "support.answer", "support.resolve"]
    assert {each.resource for each in done} == {case_id}
    assert done[-1].detail == {"was": "work-in-progress"}
    assert all(each.operator for each in done)


def test_what_accounts_write_commands_no_terminal(outcrop: typer.Typer, case_id: str) -> None:
    for arguments in (("cases",), ("show", case_id)):
        printed = run(outcrop, *arguments).stdout
        assert "[red]Grey" in printed
        assert "\x1b]" not in printed
        assert "\x07" not in printed


def test_what_accounts_write_is_not_taken_for_what_others_did(
    outcrop: typer.Typer, tmp_path: Path
) -> None:
    forged = "--- 2026-01-01 00:00:00 UTC, Outcrop Support"
    status = "status:     resolved"
    run(outcrop, "cases")
    new = NewCase(subject=f"Boxes\n{status}", body=f"Open it.\n{forged}", by=USER)

    async def write(transaction: Transaction) -> str:
        return (await open_case(transaction, ACCOUNT, new)).name

    case_id = stored(tmp_path, write)
    lines = run(outcrop, "show", case_id).stdout.splitlines()
    assert f"subject:    Boxes {status}" in lines
    assert "    Open it." in lines
    assert not {status, forged} & set(lines)
    assert len(run(outcrop, "cases").stdout.splitlines()) == 2


def test_a_resolved_case_that_the_account_writes_to_is_open_again(
    outcrop: typer.Typer, case_id: str, tmp_path: Path
) -> None:
    run(outcrop, "resolve", case_id)

    async def write(transaction: Transaction) -> None:
        await reply(transaction, await get_case(transaction, case_id), "Still grey.", USER)

    stored(tmp_path, write)
    assert [each["status"] for each in shown(outcrop, "cases")] == ["reopened"]


def test_a_plan_is_given_told_and_taken(outcrop: typer.Typer, tmp_path: Path) -> None:
    assert run(outcrop, "plan", ACCOUNT).stdout == "none\n"
    assert run(outcrop, "plan", ACCOUNT, "business").stdout == "business\n"
    assert run(outcrop, "plan", ACCOUNT).stdout == "business\n"
    run(outcrop, "plan", ACCOUNT, "none")
    assert run(outcrop, "plan", ACCOUNT).stdout == "none\n"
    done = [each.detail for each in actions(tmp_path)]
    assert done == [{"plan": "business", "was": "none"}, {"plan": "none", "was": "business"}]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "1234"), "There is no case '1234'"),
        (("resolve", f"case-{ACCOUNT}-muen-2026-0123456789abcdef"), "There is no case"),
        (("plan", ACCOUNT, "gold"), "developer, business, enterprise or none"),
        (("plan", "210987654321", "business"), "210987654321"),
    ],
)
def test_what_is_not_there_is_said_plainly(
    outcrop: typer.Typer, arguments: tuple[str, ...], words: str
) -> None:
    assert words in run(outcrop, *arguments, code=1).stderr


@pytest.mark.parametrize("wrong", [("", "opened"), ("x" * 8001, "opened"), ("x", "resolved")])
def test_an_answer_has_words_and_leaves_a_case_open(
    outcrop: typer.Typer, case_id: str, wrong: tuple[str, str]
) -> None:
    text, status = wrong
    run(outcrop, "answer", case_id, text, "--status", status, code=1)
    assert len(shown(outcrop, "show", case_id)["communications"]) == 1
