"""``outcrop serve`` runs a gateway in this process."""

import asyncio
import shlex
import sys
from collections import Counter
from typing import Annotated

import typer

from outcrop.catalog.catalog import Catalog
from outcrop.cli.options import ConfigOption, DataDirOption, plain_errors
from outcrop.config import load
from outcrop.server.deployment import Deployment
from outcrop.server.run import serve as run_gateway
from outcrop.stores.model_access import accounts_without

if sys.platform == "win32":
    _run = asyncio.run
else:
    import uvloop

    _run = uvloop.run


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    overrides = {
        "server.host": host,
        "server.port": port,
        "data_dir": str(data_dir) if data_dir else None,
    }
    with plain_errors():
        settings = load(config, overrides=overrides)
        _run(run_gateway(settings, _announce))


def _announce(url: str, deployment: Deployment) -> None:
    foundation = deployment.state.foundation
    data_dir = deployment.config.data_dir
    typer.echo(f"Outcrop listens on {url} (state in {data_dir}).")
    if foundation.is_new:
        typer.echo(f"A new account {foundation.account} with an administrator was created.")
    place = f"--data-dir {shlex.quote(str(data_dir))}"
    typer.echo(f'Use it:  eval "$(outcrop env {place})"')
    without = _without_access(deployment)
    if len(without) == 1:
        grant = f"outcrop access grant --all --account {without[0]} {place}"
        typer.echo(f"Account {without[0]} may use no model yet. Grant access:  {grant}")
    elif without:
        grant = f"outcrop access grant --all {place}"
        typer.echo(f"{len(without)} accounts may use no model yet. Grant access:  {grant}")
    for line in _served_by(deployment.catalog):
        typer.echo(line)


def _without_access(deployment: Deployment) -> list[str]:
    if deployment.config.access.default == "all":
        return []
    stores = deployment.state.stores
    return accounts_without(stores.models, (item.name for item in stores.directory.accounts()))


def _served_by(catalog: Catalog) -> list[str]:
    """How many models each engine serves, so that nobody takes them for the named ones."""
    counts = Counter((regions, model.engine or "no engine") for model, regions in catalog.ways())
    return [
        f"  {count:4} model IDs{' in ' if regions else ''}{', '.join(regions)} "
        f"are served by: {engine}"
        for (regions, engine), count in counts.items()
    ]
