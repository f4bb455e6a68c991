"""``outcrop support``: the cases of the accounts, and the operator's side of them.

Written to the data directory itself. Whatever changes something is recorded with who ran it.
"""

from textwrap import indent
from typing import Annotated, Any, cast, get_args

import typer

from outcrop.cli.operators import operator_name
from outcrop.cli.options import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    plain_errors,
    print_json,
    read_config,
)
from outcrop.cli.state import with_state
from outcrop.cli.tables import print_table
from outcrop.server.state import State
from outcrop.stores.failures import StoreError
from outcrop.stores.operator_actions import record_action
from outcrop.stores.resources import Place
from outcrop.stores.support_cases import (
    OPERATOR,
    Case,
    Communication,
    answer as answer_case,
    communications_of,
    find_plan,
    get_case,
    resolve as resolve_case,
    set_plan,
)
from outcrop.stores.support_records import Plan, Status, SupportCase

app = typer.Typer(no_args_is_help=True)

_PLANS = cast("tuple[Plan, ...]", get_args(Plan))
_ANSWERED = cast("tuple[Status, ...]", ("pending-customer-action", "work-in-progress", "opened"))
_MOST_BODY = 8000

CaseArgument = Annotated[
    str, typer.Argument(metavar="CASE", help="A case ID, or the number that people call it by.")
]


@app.command()
def cases(
    account: Annotated[
        str | None, typer.Option("--account", help="An account's ID; every account without it.")
    ] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Resolved ones as well.")] = False,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List the open cases, the oldest first."""

    async def work(state: State) -> list[Case]:
        async with state.stores.resources.reading() as view:
            found = await view.list(SupportCase, account=account)
        wanted = [each for each in found if resolved or each.record.status != "resolved"]
        return sorted(wanted, key=lambda each: (each.created_at, each.name))

    with plain_errors():
        rows = [_row(each) for each in with_state(read_config(data_dir, config), work)]
        if as_json:
            print_json(rows)
        elif not rows:
            typer.echo("No case is open. Resolved ones: outcrop support cases --resolved")
        else:
            columns = ("number", "account", "status", "severity", "about", "subject")
            cells = ([_in_a_line(row[each]) for each in columns] for row in rows)
            print_table([each.capitalize() for each in columns], cells, ("About", "Subject"))


@app.command()
def show(
    case: CaseArgument,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Show a case with all that was written about it, the oldest first."""

    async def work(state: State) -> tuple[Case, list[Communication]]:
        async with state.stores.resources.reading() as view:
            found = await get_case(view, case)
            return found, (await communications_of(view, found))[::-1]

    with plain_errors():
        found, written = with_state(read_config(data_dir, config), work)
        if as_json:
            print_json({**_row(found), "communications": [_plain(each) for each in written]})
            return
        for name, value in _row(found).items():
            typer.echo(f"{name + ':':<12}{_in_a_line(value)}")
        for each in written:
            record = each.record
            typer.echo(f"\n--- {each.created_at:%Y-%m-%d %H:%M:%S} UTC, {record.submitted_by}")
            # So that no line of it is taken for one of ours.
            typer.echo(indent(_harmless(record.body), "    "))
            for file in record.files:
                typer.echo(f"[{_in_a_line(file.file_name)}: {file.id}]")


@app.command()
def answer(
    case: CaseArgument,
    text: Annotated[str, typer.Argument(help="What the account reads.")],
    status: Annotated[
        str,
        typer.Option(
            "--status",
            help="How the case stands then: pending-customer-action, work-in-progress or opened.",
        ),
    ] = "pending-customer-action",
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Answer a case."""

    async def work(state: State) -> Case:
        chosen = _status(status)
        async with state.stores.resources.writing() as transaction:
            found = await get_case(transaction, case)
            answered = await answer_case(transaction, found, _body(text), OPERATOR, chosen)
            detail = {"status": chosen}
            await record_action(transaction, found.place, "support.answer", operator_name(), detail)
        return answered

    with plain_errors():
        answered = with_state(read_config(data_dir, config), work)
        typer.echo(f"{answered.name}: {answered.record.status}.", err=True)


@app.command()
def resolve(
    case: CaseArgument,
    text: Annotated[
        str | None, typer.Option("--answer", help="What the account reads about it.")
    ] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Resolve a case. The account may write to it again, which opens it again."""

    async def work(state: State) -> Case:
        async with state.stores.resources.writing() as transaction:
            found = await get_case(transaction, case)
            if text is None:
                resolved = await resolve_case(transaction, found)
            else:
                body = _body(text)
                resolved = await answer_case(transaction, found, body, OPERATOR, "resolved")
            detail = {"was": found.record.status}
            await record_action(
                transaction, found.place, "support.resolve", operator_name(), detail
            )
        return resolved

    with plain_errors():
        typer.echo(f"{with_state(read_config(data_dir, config), work).name}: resolved.", err=True)


@app.command()
def plan(
    account: Annotated[str, typer.Argument(help="An account's ID.")],
    name: Annotated[
        str | None,
        typer.Argument(metavar="[PLAN]", help="developer, business, enterprise, or none."),
    ] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Tell the support plan of an account, or give it one: with one it may open technical cases."""

    async def work(state: State) -> Plan | None:
        place = Place((await state.stores.identities.get_account(account)).name, "", "plan")
        if name is None:
            async with state.stores.resources.reading() as view:
                return await find_plan(view, place.account)
        chosen = _plan(name)
        async with state.stores.resources.writing() as transaction:
            detail = {"plan": name, "was": await find_plan(transaction, place.account) or "none"}
            await set_plan(transaction, place.account, chosen)
            await record_action(transaction, place, "support.plan", operator_name(), detail)
        return chosen

    with plain_errors():
        typer.echo(with_state(read_config(data_dir, config), work) or "none")


def _plan(name: str) -> Plan | None:
    for plan in _PLANS:
        if plan == name:
            return plan
    if name == "none":
        return None
    raise StoreError(f"A support plan is {', '.join(_PLANS)} or none, not {name!r}.")


def _status(name: str) -> Status:
    for status in _ANSWERED:
        if status == name:
            return status
    raise StoreError(f"An answered case is {', '.join(_ANSWERED)}, not {name!r}.")


def _body(text: str) -> str:
    if not text.strip() or len(text) > _MOST_BODY:
        raise StoreError(f"An answer has 1 to {_MOST_BODY} characters.")
    return text


def _row(case: Case) -> dict[str, str]:
    record = case.record
    return {
        "case": case.name,
        "number": record.display_id,
        "account": case.place.account,
        "status": record.status,
        "severity": record.severity,
        "about": f"{record.service}/{record.category}",
        "language": record.language,
        "from": record.submitted_by,
        "created": case.created_at.isoformat(),
        "subject": record.subject,
    }


def _plain(communication: Communication) -> dict[str, Any]:
    record = communication.record
    return {
        "from": record.submitted_by,
        "created": communication.created_at.isoformat(),
        "body": record.body,
        "files": [{"id": file.id, "name": file.file_name} for file in record.files],
    }


def _harmless(text: str) -> str:
    """Without what a terminal obeys, such as escape sequences."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)


def _in_a_line(text: str) -> str:
    return _harmless(text).replace("\n", " ")
