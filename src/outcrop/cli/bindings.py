"""``outcrop models list | bind | unbind``: which engine serves which model, here and now.

A running server takes a change within a second.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import typer

from outcrop.catalog.catalog import Catalog
from outcrop.catalog.load import load_catalog
from outcrop.cli.options import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    plain_errors,
    print_json,
    read_config,
)
from outcrop.cli.state import state_of
from outcrop.cli.tables import print_table
from outcrop.config import Binding, Config
from outcrop.engines.pool import EnginePool, EngineStatus

PatternArgument = Annotated[str, typer.Argument(help="Model IDs, shell style: 'anthropic.*'")]


def list_models(
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List every model ID, what it is and what serves it here; a region that has an engine of its
    own for it has a row of its own."""
    with plain_errors():
        settings = read_config(data_dir, config)
        catalog = asyncio.run(_catalog(settings))
    engines = {status.name: status for status in _pool(settings).status()}
    rows = [
        {
            "modelId": model.id,
            "regions": regions,
            "provider": model.provider,
            "output": ",".join(model.output_modalities),
            "engine": model.engine,
            "servedBy": _served_by(engines.get(model.engine or ""), model.engine_model),
        }
        for model, regions in catalog.ways()
        if provider is None or model.provider.lower() == provider.lower()
    ]
    if as_json:
        print_json(rows)
        return
    divided = {str(row["modelId"]) for row in rows if row["regions"]}
    headings = ["Model ID", "Regions", "Provider", "Output", "Engine", "Served by"]
    cells = [_cells(row, divided) for row in rows]
    if not divided:
        headings.remove("Regions")
        cells = [[model, *more] for model, _, *more in cells]
    print_table(headings, cells, folded=["Served by"])


def _cells(row: Mapping[str, Any], divided: Collection[str]) -> Sequence[str]:
    rest = "all others" if row["modelId"] in divided else "all"
    return (
        row["modelId"],
        ", ".join(row["regions"]) or rest,
        row["provider"],
        row["output"],
        row["engine"] or "-",
        row["servedBy"],
    )


def bind(
    pattern: PatternArgument,
    engine: Annotated[str, typer.Argument(help="An engine of the configuration.")],
    model: Annotated[
        str | None, typer.Option(help="The model's name at that engine, if it has several.")
    ] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Let ENGINE serve the models whose ID matches PATTERN."""
    with plain_errors():
        settings = read_config(data_dir, config)
        binding = Binding(pattern=pattern, engine=engine, model=model)
        catalog = asyncio.run(_bind(settings, binding))
    served = [each.id for each in catalog.all() if each.engine == engine]
    typer.echo(f"{engine} now serves {len(served)} model IDs.")


def unbind(
    pattern: PatternArgument, data_dir: DataDirOption = None, config: ConfigOption = None
) -> None:
    """Take the binding of PATTERN back."""
    with plain_errors():
        asyncio.run(_unbind(read_config(data_dir, config), pattern))
    typer.echo(f"{pattern} is served as before.")


def _pool(config: Config) -> EnginePool:
    return EnginePool(
        config.engine_configs(), cache_dir=config.cache_dir, memory_mib=config.engine_memory_mib
    )


def _served_by(status: EngineStatus | None, model: str | None) -> str:
    if status is None:
        return "nothing here: bind an engine"
    served_by = f"{status.kind}: {model or status.model}"
    return served_by if status.ready else f"{served_by} ({status.problem})"


async def _catalog(config: Config) -> Catalog:
    async with state_of(config) as state:
        return load_catalog(config).with_bindings(await state.stores.bindings.list_bindings())


async def _bind(config: Config, binding: Binding) -> Catalog:
    """Checked as a whole before anything is written."""
    async with state_of(config) as state:
        stored = await state.stores.bindings.list_bindings()
        kept = [each for each in stored if each.pattern != binding.pattern]
        catalog = load_catalog(config).with_bindings([*kept, binding])
        await state.stores.bindings.put(binding)
        return catalog


async def _unbind(config: Config, pattern: str) -> None:
    async with state_of(config) as state:
        await state.stores.bindings.delete(pattern)
