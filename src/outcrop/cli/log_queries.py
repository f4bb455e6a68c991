"""``outcrop logs query``: SQL over the invocation logs of an account, read through its server."""

import asyncio
import csv
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
import typer

from outcrop.cli.env import client_variables
from outcrop.cli.invocation_records import Server, configured_group, read_group, read_objects
from outcrop.cli.invocation_tables import Table, run_query
from outcrop.cli.options import (
    AccountOption,
    ConfigOption,
    DataDirOption,
    plain_errors,
    read_config,
)
from outcrop.cli.tables import print_table

_FORMATS: Final = ("table", "json", "csv")


def query(
    sql: Annotated[str, typer.Argument(help="One SELECT from the table invocations.")],
    s3: Annotated[
        str | None, typer.Option("--s3", help="Where logs lie in S3: s3://BUCKET/PREFIX.")
    ] = None,
    log_group: Annotated[
        str | None,
        typer.Option("--log-group", help="A log group; the one of the account without it."),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="table, json or csv.")] = "table",
    account: AccountOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Ask the invocation logs with SQL: what was called, by whom, with which tokens."""
    if form not in _FORMATS or (s3 is not None and log_group is not None):
        wrong = "--format is table, json or csv" if form not in _FORMATS else "name one source"
        typer.echo(f"outcrop: {wrong}.", err=True)
        raise typer.Exit(1)
    with plain_errors():
        read = read_config(data_dir, config)
        server = Server(asyncio.run(client_variables(read, account, None)))
        found = run_query(sql, _records(server, s3, log_group))
    _print(found, form)


def _records(server: Server, s3: str | None, log_group: str | None) -> Iterator[bytes]:
    if s3 is not None:
        return read_objects(server, s3)
    return read_group(server, log_group or configured_group(server))


def _print(table: Table, form: str) -> None:
    if form == "json":
        for row in table.rows:
            line = dict(zip(table.columns, map(_plain, row), strict=True))
            typer.echo(msgspec.json.encode(line).decode())
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows([_text(value) for value in row] for row in table.rows)
    else:
        rows = [[_printable(_text(value)) for value in row] for row in table.rows]
        print_table(table.columns, rows, table.columns)


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    return msgspec.to_builtins(value, enc_hook=str)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _printable(text: str) -> str:
    """What callers wrote moves no cursor."""
    return "".join(one if one.isprintable() else " " for one in text)
