"""``outcrop health``: what does not work, and what did not lately."""

import asyncio
from collections.abc import Sequence

import msgspec
import typer

from outcrop.cli.endpoints import read_endpoints
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
from outcrop.server import status
from outcrop.stores.health_records import HealthEventRecord
from outcrop.stores.network_records import VpcEndpoint
from outcrop.stores.resources import Item

_SHOWN = 20


def health(
    data_dir: DataDirOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Tell the state of the service: issues that are open, and the last ones that were.

    Exits with 1 while an issue is open or no server runs."""
    with plain_errors():
        settings = read_config(data_dir, config)
        events = asyncio.run(_events(settings))
        failed = asyncio.run(_failed_endpoints(settings))
        running = status.find(settings.data_dir)
    if as_json:
        plain = [*map(_plain, events), *map(_plain_endpoint, failed)]
        print_json(plain)
    else:
        _print(events, failed, running)
    if running is None or failed or any(each.record.status == "open" for each in events):
        raise typer.Exit(1)


async def _events(config: Config) -> list[Item[HealthEventRecord]]:
    """The open ones and then the newest."""
    async with (
        state_of(config) as state,
        state.stores.resources.reading() as view,
    ):
        events = await view.list(HealthEventRecord)
    events.sort(key=lambda each: each.record.started_at, reverse=True)
    events.sort(key=lambda each: each.record.status != "open")
    return events[:_SHOWN]


async def _failed_endpoints(config: Config) -> list[Item[VpcEndpoint]]:
    """No health events: those are shown to every account, and an endpoint is one account's."""
    return [each for each in await read_endpoints(config) if each.record.state == "failed"]


def _plain_endpoint(endpoint: Item[VpcEndpoint]) -> dict[str, object]:
    return {
        "region": endpoint.place.region,
        "service": "EC2",
        "source": f"endpoint:{endpoint.name}",
        "description": endpoint.record.failure,
        "ended_at": None,
    }


def _plain(event: Item[HealthEventRecord]) -> dict[str, object]:
    return {"region": event.place.region, **msgspec.structs.asdict(event.record)}


def _print(
    events: Sequence[Item[HealthEventRecord]],
    failed: Sequence[Item[VpcEndpoint]],
    running: status.Status | None,
) -> None:
    if running is None:
        typer.echo("!!  no server runs on this data directory: outcrop serve")
    else:
        typer.echo(f"ok  a server runs: {running.url}")
    for endpoint in failed:
        typer.echo(f"!!  private endpoint {endpoint.name}: {endpoint.record.failure}")
    if not failed and not any(each.record.status == "open" for each in events):
        typer.echo("ok  no issue is open")
    for each in events:
        record = each.record
        mark = "!!" if record.status == "open" else "--"
        until = "now" if record.ended_at is None else f"{record.ended_at:%Y-%m-%d %H:%M:%S}"
        place = record.zone or each.place.region
        typer.echo(f"{mark}  {record.started_at:%Y-%m-%d %H:%M:%S} to {until} UTC, {place}")
        typer.echo(f"      {record.description} ({len(record.entities)} models)")
