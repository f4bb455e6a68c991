"""``outcrop models``: the files of local models. Nothing is downloaded but by ``pull``."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress as Bar,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from outcrop.cli import bindings
from outcrop.cli.options import ConfigOption, JsonOption, plain_errors, print_json, read_config
from outcrop.engines.modelfiles import ModelFileError, ModelStore, Progress, known_models

app = typer.Typer(no_args_is_help=True)
app.command("list")(bindings.list_models)
app.command("bind")(bindings.bind)
app.command("unbind")(bindings.unbind)


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    title: str
    kind: str
    license: str
    size_bytes: int
    path: str | None


@app.command()
def pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Known models; without, those used by default.")
    ] = None,
    folder: Annotated[
        list[Path] | None, typer.Option("--from", help="Look for the files in this folder first.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Fetch the files of models: resumed where cut off, verified by SHA-256."""
    with plain_errors():
        store = ModelStore(read_config(None, config).cache_dir, local=folder or ())
    try:
        asyncio.run(_pull(store, names or sorted(known_models())))
    except ModelFileError as error:
        typer.echo(f"outcrop: {error}", err=True)
        raise typer.Exit(1) from error


@app.command()
def files(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the known local models and whether their files are on this machine."""
    with plain_errors():
        store = ModelStore(read_config(None, config).cache_dir)
    rows = [_describe(store, name) for name in sorted(known_models())]
    if as_json:
        print_json(rows)
        return
    table = Table("Model", "Engine", "License", "Size", "Here")
    for row in rows:
        here = row.path or f"no: outcrop models pull {row.name}"
        size = f"{row.size_bytes / 1e6:.0f} MB"
        table.add_row(row.name, row.kind, row.license, size, here)
    Console().print(table)


async def _pull(store: ModelStore, names: list[str]) -> None:
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
    )
    with bar:
        for name in names:
            found = await store.ensure(name, _Report(bar))
            typer.echo(f"{name}: {found.paths['model'].parent}")


class _Report:
    """Shows one line for each file and source."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        key = (progress.file, progress.source)
        if key not in self._tasks:
            self._tasks[key] = self._bar.add_task(
                f"{progress.file} ({progress.source})", total=progress.total_bytes
            )
        self._bar.update(self._tasks[key], completed=progress.done_bytes)


def _describe(store: ModelStore, name: str) -> _Row:
    model = known_models()[name]
    found = store.find(name)
    path = str(found.paths["model"].parent) if found else None
    return _Row(name, model.title, model.kind, model.license, model.size_bytes, path)
