"""``outcrop keys``: access keys and Bedrock API keys, on the data directory itself.

A running server notices within a second. A new secret is shown once, when it is made.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from outcrop.cli.options import (
    AccountOption,
    ConfigOption,
    DataDirOption,
    JsonOption,
    plain_errors,
    print_json,
    read_config,
)
from outcrop.cli.state import with_state
from outcrop.identity import AccessKey, ApiKey, KeyStatus
from outcrop.server.state import State
from outcrop.stores.bootstrap import ADMIN_NAME
from outcrop.stores.key_uses import KeyUse

app = typer.Typer(no_args_is_help=True)

KeyArgument = Annotated[str, typer.Argument(help="The key's ID, as `outcrop keys list` shows it.")]
MAX_DAYS = 36_500


@app.command()
def create(
    user: Annotated[str, typer.Option(help="Whose key it becomes.")] = ADMIN_NAME,
    account: AccountOption = None,
    bearer: Annotated[bool, typer.Option("--bearer", help="A Bedrock API key.")] = False,
    days: Annotated[
        int | None, typer.Option(min=1, max=MAX_DAYS, help="A bearer key ends after this long.")
    ] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Make an access key, or a Bedrock API key (--bearer), and show its secret once."""
    if days is not None and not bearer:
        typer.echo("outcrop: --days is for bearer keys: add --bearer, or leave it out.", err=True)
        raise typer.Exit(1)

    async def work(state: State) -> dict[str, str]:
        chosen = await choose_account(state, account)
        owner = await state.stores.identities.get_user(chosen, user)
        if not bearer:
            made = await state.stores.keys.create_access_key(owner)
            return {"AWS_ACCESS_KEY_ID": made.id, "AWS_SECRET_ACCESS_KEY": made.secret}
        expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
        key, token = await state.stores.keys.create_api_key(owner, name=user, expires_at=expires_at)
        return {"id": key.id, "AWS_BEARER_TOKEN_BEDROCK": token}

    with plain_errors():
        shown = with_state(read_config(data_dir, config), work)
        if as_json:
            print_json(shown)
            return
        for name, value in shown.items():
            typer.echo(f"{name}={value}")
        typer.echo("The secret is not shown again.", err=True)


@app.command("list")
def list_keys(
    account: AccountOption = None,
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List all keys, without their secrets."""

    async def work(state: State) -> list[dict[str, str | None]]:
        chosen = await choose_account(state, account)
        directory = state.stores.directory
        rows = [
            *(
                _describe_access_key(key, directory.last_use(key.id))
                for key in directory.list_access_keys(chosen)
            ),
            *map(_describe_api_key, directory.list_api_keys(chosen)),
        ]
        return [row for row in rows if user in (None, row["user"])]

    with plain_errors():
        rows = with_state(read_config(data_dir, config), work)
        if as_json:
            print_json(rows)
        else:
            Console().print(_table(rows))


@app.command()
def disable(
    key: KeyArgument,
    account: AccountOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Refuse requests made with a key until it is enabled again."""
    _set_status(key, "Inactive", account, data_dir, config)


@app.command()
def enable(
    key: KeyArgument,
    account: AccountOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Accept a disabled key again."""
    _set_status(key, "Active", account, data_dir, config)


@app.command()
def delete(
    key: KeyArgument,
    account: AccountOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Delete a key for good."""

    async def work(state: State) -> None:
        await state.stores.keys.delete(await choose_account(state, account), key)

    with plain_errors():
        with_state(read_config(data_dir, config), work)
        typer.echo(f"{key} is deleted.")


def _set_status(
    key: str,
    status: KeyStatus,
    account: AccountOption,
    data_dir: DataDirOption,
    config: ConfigOption,
) -> None:
    async def work(state: State) -> None:
        chosen = await choose_account(state, account)
        await state.stores.keys.set_status(chosen, key, status)

    with plain_errors():
        with_state(read_config(data_dir, config), work)
        typer.echo(f"{key} is {'enabled' if status == 'Active' else 'disabled'}.")


async def choose_account(state: State, account: str | None) -> str:
    """The one asked for, if it is there, else the deployment's first."""
    if account is None:
        return state.foundation.account
    return (await state.stores.identities.get_account(account)).name


def _describe_access_key(key: AccessKey, use: KeyUse | None) -> dict[str, str | None]:
    return {
        "id": key.id,
        "kind": "access key",
        "user": key.principal.name,
        "status": key.status,
        "created": _time(key.created_at),
        "expires": None,
        "last_used": _time(use.time if use else None),
    }


def _describe_api_key(key: ApiKey) -> dict[str, str | None]:
    return {
        "id": key.id,
        "kind": "bearer",
        "user": key.principal.name,
        "status": key.status,
        "created": _time(key.created_at),
        "expires": _time(key.expires_at),
        "last_used": None,
    }


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds")


def _table(rows: list[dict[str, str | None]]) -> Table:
    """The ID is what the other commands take, so it is never cut; 80 columns hold it all."""
    table = Table(box=None, pad_edge=False)
    table.add_column(
        "Key", no_wrap=True, min_width=max((len(row["id"] or "") for row in rows), default=3)
    )
    for title in ("User", "Status", "Expires", "Last used"):
        table.add_column(title, overflow="fold")
    for row in rows:
        days = [(row[name] or "-")[:10] for name in ("expires", "last_used")]
        table.add_row(row["id"], row["user"], row["status"], *days)
    return table
