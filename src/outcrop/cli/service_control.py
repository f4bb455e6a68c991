"""``outcrop accounts scp``: policies that bound whole accounts, their root users too.

Each account begins with FullAWSAccess. Attach another one beside it to deny, detach FullAWSAccess
to allow only what the others allow.
"""

import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from outcrop.cli.options import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    plain_errors,
    print_json,
    read_config,
)
from outcrop.cli.state import Result, with_state
from outcrop.config import Config
from outcrop.security.policy.document import MalformedPolicy, parse_policy
from outcrop.stores.failures import StoreError
from outcrop.stores.service_control import ServiceControlStore

app = typer.Typer(no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="The policy's name.")]
AccountArgument = Annotated[str, typer.Argument(help="The account's ID.")]

MAX_CHARACTERS: Final = 5120

_NAME: Final = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)


@app.command()
def create(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(help="The policy document, JSON.")],
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Keep a policy under a name. It bounds nobody until it is attached."""
    with plain_errors():
        document = _read(name, file)
        _run(read_config(data_dir, config), lambda policies: policies.create(name, document))
        typer.echo(f"{name} is made.")


@app.command()
def attach(
    name: NameArgument,
    account: AccountArgument,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Bound an account by a policy."""
    with plain_errors():
        _run(read_config(data_dir, config), lambda policies: policies.attach(name, account))
        typer.echo(f"{name} bounds account {account}.")


@app.command()
def detach(
    name: NameArgument,
    account: AccountArgument,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Take that back."""
    with plain_errors():
        _run(read_config(data_dir, config), lambda policies: policies.detach(name, account))
        typer.echo(f"{name} does not bound account {account}.")


@app.command("list")
def list_policies(
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List the policies and the accounts that they bound."""
    with plain_errors():
        rows = _run(read_config(data_dir, config), lambda policies: policies.list())
        if as_json:
            print_json(rows)
            return
        table = Table(box=None, pad_edge=False)
        table.add_column("Policy", overflow="fold")
        table.add_column("Accounts", overflow="fold")
        for name, accounts in rows.items():
            table.add_row(name, ", ".join(accounts) or "-")
        Console().print(table)


@app.command()
def show(name: NameArgument, data_dir: DataDirOption = None, config: ConfigOption = None) -> None:
    """Print a policy's document."""
    with plain_errors():
        document = _run(read_config(data_dir, config), lambda policies: policies.get(name))
        typer.echo(document)


@app.command()
def delete(name: NameArgument, data_dir: DataDirOption = None, config: ConfigOption = None) -> None:
    """Delete a policy that bounds no account."""
    with plain_errors():
        _run(read_config(data_dir, config), lambda policies: policies.delete(name))
        typer.echo(f"{name} is deleted.")


def _read(name: str, file: Path) -> str:
    if not _NAME.fullmatch(name):
        raise StoreError(f"A policy's name is 1 to 128 of A-Z a-z 0-9 _ + = , . @ -, not {name!r}.")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{file} cannot be read: {error}.") from error
    if len(text) > MAX_CHARACTERS:
        raise StoreError(f"{file} has {len(text)} characters; a policy has {MAX_CHARACTERS}.")
    try:
        parse_policy(text, "service-control")
    except MalformedPolicy as error:
        raise StoreError(f"{file} is no service control policy: {error}") from error
    return text


def _run(
    config: Config, work: Callable[[ServiceControlStore], Coroutine[Any, Any, Result]]
) -> Result:
    return with_state(config, lambda state: work(ServiceControlStore(state.stores.resources)))
