"""``outcrop quotas``: what accounts have, what they ask for, and the operator's answer.

Written to the data directory itself; a running server goes by it within half a second. Whatever
changes something is recorded with the name of who ran it.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

import typer

from outcrop.catalog.load import load_models
from outcrop.cli.keys import choose_account
from outcrop.cli.operators import operator_name
from outcrop.cli.options import (
    AccountOption,
    ConfigOption,
    DataDirOption,
    JsonOption,
    plain_errors,
    print_json,
    read_config,
)
from outcrop.cli.state import Result, with_state
from outcrop.cli.tables import print_table
from outcrop.config import Config
from outcrop.quotas import requests as increases
from outcrop.quotas.book import QuotaBook
from outcrop.server.state import State
from outcrop.stores.failures import NoSuchItem
from outcrop.stores.quota_records import QuotaRequest
from outcrop.stores.resources import Item, Place

app = typer.Typer(no_args_is_help=True)

RegionOption = Annotated[
    str | None, typer.Option("--region", help="The region; the configured one without it.")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The request's ID.")]


@app.command("list")
def list_quotas(
    account: AccountOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List the quotas with what an account has of them in a region."""
    with plain_errors():
        settings = read_config(data_dir, config)

        async def work(state: State, book: QuotaBook) -> list[dict[str, Any]]:
            chosen = await choose_account(state, account)
            return _quota_rows(book, chosen, region or settings.server.region)

        rows = _run(settings, work)
        if as_json:
            print_json(rows)
            return
        headings = ("Code", "Quota", "Value", "Default", "Adjustable")
        print_table(headings, map(_quota_cells, rows), folded=["Quota"])


@app.command()
def requests(
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List what the accounts have asked for: what waits for an answer first, then the newest."""

    async def work(state: State, book: QuotaBook) -> list[dict[str, Any]]:
        async with state.stores.resources.reading() as view:
            found = await increases.list_requests(view)
        return [_request_row(book, each) for each in found]

    with plain_errors():
        rows = _run(read_config(data_dir, config), work)
        if as_json:
            print_json(rows)
            return
        if not rows:
            typer.echo("No account has asked for more of a quota.")
            return
        headings = ("ID", "Status", "Account", "Region", "Quota", "Now", "Asked for")
        print_table(headings, map(_request_cells, rows), folded=["Quota"])


@app.command()
def approve(
    id: IdArgument,
    value: Annotated[
        float | None, typer.Option(help="Give this much instead of what was asked for.")
    ] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Give an account what it asked for."""

    async def work(state: State, book: QuotaBook) -> Item[QuotaRequest]:
        return await increases.approve(state.stores.resources, book, id, operator_name(), value)

    with plain_errors():
        request = _run(read_config(data_dir, config), work)
        record, place = request.record, request.place
        typer.echo(f"{record.name}: {record.granted:,.10g} for {place.account} in {place.region}.")


@app.command()
def deny(
    id: IdArgument,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Refuse what an account asked for."""

    async def work(state: State, _book: QuotaBook) -> Item[QuotaRequest]:
        return await increases.deny(state.stores.resources, id, operator_name(), reason)

    with plain_errors():
        request = _run(read_config(data_dir, config), work)
        typer.echo(f"{request.record.name}: denied for {request.place.account}.")


@app.command("set")
def set_quota(
    code: Annotated[str, typer.Argument(help="The quota's code, L-…")],
    value: Annotated[float, typer.Argument(help="What the account has from now on.")],
    account: AccountOption = None,
    region: RegionOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Set a quota of an account, also one that it cannot ask for more of."""
    with plain_errors():
        settings = read_config(data_dir, config)

        async def work(state: State, book: QuotaBook) -> str:
            quota = book.find(code)
            if quota is None:
                raise NoSuchItem(
                    f"There is no quota {code!r}. `outcrop quotas list` lists those there are."
                )
            chosen = await choose_account(state, account)
            place = Place(chosen, region or settings.server.region, quota.key)
            await increases.set_value(state.stores.resources, quota, place, value, operator_name())
            return f"{quota.name}: {value:,.10g} for {place.account} in {place.region}."

        typer.echo(_run(settings, work))


def _run(config: Config, work: Callable[[State, QuotaBook], Coroutine[Any, Any, Result]]) -> Result:
    async def working(state: State) -> Result:
        models = load_models(config.catalog).by_id.values()
        book = QuotaBook(state.stores.resources, tuple(models))
        await book.load()
        return await work(state, book)

    return with_state(config, working)


def _quota_rows(book: QuotaBook, account: str, region: str) -> list[dict[str, Any]]:
    return [
        {
            "code": quota.code,
            "name": quota.name,
            "unit": quota.unit,
            "value": book.value(account, region, quota.key),
            "default": quota.default_in(region),
            "adjustable": quota.adjustable,
        }
        for quota in book.all()
    ]


def _quota_cells(row: dict[str, Any]) -> Sequence[str]:
    unit = "" if row["unit"] == "None" else f" {row['unit']}"
    return (
        row["code"],
        row["name"],
        f"{row['value']:,.10g}{unit}",
        f"{row['default']:,.10g}{unit}",
        "yes" if row["adjustable"] else "no",
    )


def _request_row(book: QuotaBook, request: Item[QuotaRequest]) -> dict[str, Any]:
    record, place = request.record, request.place
    known = book.find_key(record.key)
    return {
        "id": request.name,
        "status": record.status,
        "account": place.account,
        "region": place.region,
        "code": record.code,
        "name": record.name,
        "value": book.value(place.account, place.region, known.key) if known else None,
        "desired": record.desired,
        "granted": record.granted,
        "requester": record.requester,
        "reason": record.reason,
        "case": record.case,
        "created": request.created_at.isoformat(),
    }


def _request_cells(row: dict[str, Any]) -> Sequence[str]:
    value = row["value"]
    return (
        *(row[name] for name in ("id", "status", "account", "region", "name")),
        "-" if value is None else f"{value:,.10g}",
        f"{row['desired']:,.10g}",
    )
