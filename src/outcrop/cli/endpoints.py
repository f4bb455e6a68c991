"""``outcrop endpoints list``: the private endpoints of a deployment and where each is reached."""

import asyncio
from typing import Annotated

import msgspec
import typer

from outcrop.cli.options import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    plain_errors,
    print_json,
    read_config,
)
from outcrop.cli.state import state_of
from outcrop.config import Config
from outcrop.server.address import endpoint_url
from outcrop.stores.network_records import VpcEndpoint
from outcrop.stores.resources import Item

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_endpoints(
    account: Annotated[str | None, typer.Option(help="Only this account's.")] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List the private endpoints, their state and their URL."""
    with plain_errors():
        settings = read_config(data_dir, config)
        rows = [_row(settings, item) for item in asyncio.run(read_endpoints(settings, account))]
    if as_json:
        print_json(rows)
        return
    # Plain lines: a table would cut IDs and URLs where the terminal is narrow.
    for row in rows:
        failure = row.pop("failure")
        typer.echo(
            "  ".join([*(value or "-" for value in row.values()), *([failure] if failure else [])])
        )


async def read_endpoints(config: Config, account: str | None = None) -> list[Item[VpcEndpoint]]:
    async with (
        state_of(config) as state,
        state.stores.resources.reading() as view,
    ):
        return await view.list(VpcEndpoint, account=account)


def _row(config: Config, item: Item[VpcEndpoint]) -> dict[str, str | None]:
    record = item.record
    url: str | None = None
    if record.state == "available" and record.host is not None and record.port is not None:
        server = msgspec.structs.replace(config.server, host=record.host)
        url = endpoint_url(server, record.port)
    return {
        "id": item.name,
        "account": item.place.account,
        "region": item.place.region,
        "service": record.service,
        "vpc": item.parent,
        "state": record.state,
        "url": url,
        "failure": record.failure,
    }
