"""``outcrop accounts``: the accounts of a deployment, each with its own root user.

Written to the data directory itself; a running server notices within a second.
"""

import re
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from outcrop.cli import service_control
from outcrop.cli.options import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    plain_errors,
    print_json,
    read_config,
)
from outcrop.cli.state import with_state
from outcrop.server.state import State
from outcrop.stores.account_removal import remove_account
from outcrop.stores.failures import StoreError
from outcrop.stores.iam_names import ROOT_NAME
from outcrop.stores.service_control import attached_to

app = typer.Typer(no_args_is_help=True)
app.add_typer(service_control.app, name="scp", help="Service control policies bound accounts.")

_ACCOUNT_ID: Final = re.compile(r"[0-9]{12}", re.ASCII)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    account: Annotated[
        str | None, typer.Option("--id", help="Its ID: 12 digits. Random without it.")
    ] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Make an account and an access key of its root user, whose secret is shown once."""

    async def work(state: State) -> dict[str, str]:
        if account is not None and not _ACCOUNT_ID.fullmatch(account):
            raise StoreError(f"An account's ID is 12 digits, not {account!r}.")
        made = await state.stores.identities.create_account(name, account)
        root = await state.stores.identities.get_user(made, ROOT_NAME)
        key = await state.stores.keys.create_access_key(root)
        return {
            "id": made,
            "AWS_ACCESS_KEY_ID": key.id,
            "AWS_SECRET_ACCESS_KEY": key.secret,
        }

    with plain_errors():
        shown = with_state(read_config(data_dir, config), work)
        if as_json:
            print_json(shown)
            return
        typer.echo(f"# account {shown.pop('id')}, its root user")
        for variable, value in shown.items():
            typer.echo(f"export {variable}={value}")
        typer.echo("The secret is not shown again.", err=True)


@app.command("list")
def list_accounts(
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List the accounts, the oldest first."""

    async def work(state: State) -> list[dict[str, Any]]:
        directory = state.stores.directory
        return [
            {
                "id": item.name,
                "name": item.record.title,
                "alias": item.record.alias,
                "users": len(directory.users(item.name)),
                "service_control_policies": list(attached_to(item)),
            }
            for item in directory.accounts()
        ]

    with plain_errors():
        rows = with_state(read_config(data_dir, config), work)
        if as_json:
            print_json(rows)
        else:
            Console().print(_table(rows))


@app.command()
def delete(
    account: Annotated[str, typer.Argument(help="Its ID.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="With everything in it, for good. Buckets stay in the way."),
    ] = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Delete an account that holds nothing any more. Its ID is not given again."""

    async def work(state: State) -> None:
        if account == state.foundation.account:
            raise StoreError(f"{account} is the deployment's own account, which stays.")
        await remove_account(state.stores.resources, account, force=force)

    with plain_errors():
        with_state(read_config(data_dir, config), work)
        typer.echo(f"Account {account} is gone.", err=True)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("Account", no_wrap=True)
    for title in ("Name", "Alias", "Users", "Service control policies"):
        table.add_column(title, overflow="fold")
    for row in rows:
        policies = ", ".join(row["service_control_policies"])
        table.add_row(row["id"], row["name"], row["alias"] or "-", str(row["users"]), policies)
    return table
