"""``outcrop wait`` returns when the gateway on a data directory is ready."""

import time
from typing import Annotated

import typer

from outcrop.cli.options import ConfigOption, DataDirOption, plain_errors, read_config
from outcrop.server import status

_POLL_S = 0.05


def wait(
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    timeout: Annotated[float, typer.Option(help="Seconds until giving up.")] = 30.0,
) -> None:
    """Return when the gateway on this data directory answers."""
    with plain_errors():
        settings = read_config(data_dir, config)
    deadline = time.monotonic() + timeout
    while status.find(settings.data_dir) is None:
        if time.monotonic() > deadline:
            typer.echo(f"outcrop: no server on {settings.data_dir} within {timeout:g} s.", err=True)
            raise typer.Exit(1)
        time.sleep(_POLL_S)
