"""``outcrop billing``: what a month's calls, throughput and training cost, by model, caller, day or
tag."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, cast, get_args

import typer

from outcrop.billing.prices import cents, dollars
from outcrop.billing.report import (
    Grouping,
    Month,
    Sum,
    grouped,
    grouped_by_tag,
    read_month,
    total,
)
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

_GROUPINGS = cast("tuple[Grouping, ...]", get_args(Grouping))


def billing(
    month: Annotated[
        str | None, typer.Option("--month", help="Such as 2026-03, in UTC; this month without it.")
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="An account's ID; all of them without it.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="model (without it), principal, resource or day.")
    ] = None,
    by_tag: Annotated[
        str | None,
        typer.Option(
            "--by-tag", help="A tag's key, of the profiles and throughput called and of jobs."
        ),
    ] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Tell what a month cost. A running server adds what it counts every second."""
    now = datetime.now(UTC)
    with plain_errors():
        asked = _month(month, now)
        grouping = _grouping(by, by_tag)

        async def work(state: State) -> dict[str, Sum]:
            async with state.stores.resources.reading() as view:
                lines = await read_month(view, asked, account, now)
                if by_tag is not None:
                    return await grouped_by_tag(view, lines, by_tag)
                return grouped(lines, grouping)

        sums = with_state(read_config(data_dir, config), work)
        group = grouping if by_tag is None else f"tag {by_tag}"
        if as_json:
            print_json(_plain(asked, account, group, sums))
            return
        _print_table(asked, group, sums)
        if unpriced := total(sums).unpriced:
            typer.echo(
                f"{unpriced} of the ledger's lines have no price in the catalog, and cost nothing "
                "here.",
                err=True,
            )


def _month(name: str | None, now: datetime) -> Month:
    found = Month.find(name or f"{now:%Y-%m}")
    if found is None:
        raise StoreError(f"A month is a year and a month, like 2026-03, not {name!r}.")
    return found


def _grouping(by: str | None, by_tag: str | None) -> Grouping:
    if by is not None and by_tag is not None:
        raise StoreError("A bill is grouped by one thing: --by or --by-tag.")
    for grouping in _GROUPINGS:
        if grouping == (by or "model"):
            return grouping
    raise StoreError(f"A bill is grouped by {', '.join(_GROUPINGS)}, not by {by!r}.")


def _plain(month: Month, account: str | None, group: str, sums: dict[str, Sum]) -> dict[str, Any]:
    return {
        "month": month.name,
        "account": account,
        "currency": "USD",
        "grouped_by": group,
        "groups": [{"name": name, **_figures(each)} for name, each in sums.items()],
        "total": _figures(total(sums)),
    }


def _figures(of: Sum) -> dict[str, Any]:
    return {
        "requests": of.requests,
        "input_tokens": of.input_tokens,
        "output_tokens": of.output_tokens,
        "trained_tokens": of.trained_tokens,
        "provisioned_seconds": of.seconds,
        "cost": f"{dollars(of.cost):.9f}",
        "lines_without_price": of.unpriced,
    }


def _print_table(month: Month, group: str, sums: dict[str, Sum]) -> None:
    heading = group[:1].upper() + group[1:]
    figures = ("Requests", "Tokens in", "Tokens out", "Trained", "Hours", "US dollars")
    rows = [_cells(name, each) for name, each in sums.items()]
    rows.append(_cells(f"{month.name} in all", total(sums)))
    print_table((heading, *figures), rows, [heading], figures=figures)


def _cells(name: str, of: Sum) -> Sequence[str]:
    return (
        name,
        f"{of.requests:,}",
        f"{of.input_tokens:,}",
        f"{of.output_tokens:,}",
        f"{of.trained_tokens:,}",
        _hours(of),
        f"{cents(of.cost):,}" + (" +" if of.unpriced else ""),
    )


def _hours(of: Sum) -> str:
    return f"{of.seconds / 3600:,.2f}"
