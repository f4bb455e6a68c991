"""What the commands on a data directory share: their options, and errors as one plain sentence."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from outcrop.config import Config, ConfigError, load
from outcrop.identity import SealedSecretError
from outcrop.stores.failures import StoreError

DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Where Outcrop keeps its state.")
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="The TOML configuration file.")]
AccountOption = Annotated[
    str | None, typer.Option("--account", help="An account's ID; the first one without it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def read_config(data_dir: Path | None, config: Path | None) -> Config:
    overrides = {"data_dir": None if data_dir is None else str(data_dir)}
    return load(config, overrides=overrides)


@contextmanager
def plain_errors() -> Generator[None]:
    """An expected failure becomes its sentence on stderr and exit code 1."""
    try:
        yield
    except (ConfigError, StoreError, SealedSecretError) as error:
        typer.echo(f"outcrop: {error}", err=True)
        raise typer.Exit(1) from error


def print_json(value: object) -> None:
    typer.echo(msgspec.json.encode(value).decode())
