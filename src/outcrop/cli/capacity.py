"""``outcrop capacity``: the CPUs that can be reserved, what was bought, and commitments.

It reads and writes the data directory, so that it works beside a running server and without one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from outcrop.capacity.cpus import CpuLedger
from outcrop.capacity.rates import Rates, machine_id
from outcrop.cli.operators import operator_name
from outcrop.cli.options import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    plain_errors,
    print_json,
    read_config,
)
from outcrop.cli.state import with_state
from outcrop.cli.tables import print_table
from outcrop.config import Config, ConfigError, Llama, Onnx
from outcrop.engines.pool import EnginePool
from outcrop.engines.protocol import EngineError
from outcrop.server.state import State
from outcrop.stores.commitments import end_commitment
from outcrop.stores.model_records import EngineRate, EngineReservation, ProvisionedModel
from outcrop.stores.resources import Item

app = typer.Typer(no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class _Held:
    items: Sequence[Item[ProvisionedModel]]
    reservations: Sequence[Item[EngineReservation]]
    rates: Sequence[Item[EngineRate]]

    @property
    def cpus(self) -> frozenset[int]:
        """Of this machine."""
        here = (each.record for each in self.reservations if each.record.machine == machine_id())
        return frozenset(cpu for record in here for cpu in record.cpus)


@app.command("list")
def list_capacity(
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the CPUs that can be reserved, how fast engines are on one, and what was bought."""
    with plain_errors():
        settings = read_config(data_dir, config)
        held = with_state(settings, _read)
        pool, rows = _pool(settings, held), _rows(held)
        if as_json:
            print_json({**pool, "throughputs": rows})
            return
        _print_pool(pool)
        _print_rows(rows)


@app.command()
def release(
    arn: Annotated[str, typer.Argument(metavar="ARN", help="Of the provisioned throughput.")],
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """End the commitment of provisioned throughput now, so that its account can delete it. It is
    recorded who did so."""

    async def work(state: State) -> Item[ProvisionedModel]:
        resources = state.stores.resources
        return await end_commitment(resources, arn, operator_name(), datetime.now(UTC))

    with plain_errors():
        item = with_state(read_config(data_dir, config), work)
        typer.echo(
            f"The commitment of {item.name} has ended. Account {item.place.account} can delete it: "
            f"aws bedrock delete-provisioned-model-throughput --provisioned-model-id {arn}"
        )


@app.command()
def measure(
    engine: Annotated[
        str | None, typer.Argument(help="An engine's name; all that run on CPUs without it.")
    ] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Measure how fast engines are on one CPU of this machine, in place of what was measured. What
    was bought before keeps what it has."""
    with plain_errors():
        settings = read_config(data_dir, config)
        names = _measurable(settings, engine)

        async def work(state: State) -> None:
            await _measure(settings, state, names)

        with_state(settings, work)


def _measurable(config: Config, engine: str | None) -> list[str]:
    on_cpus = [
        name
        for name, each in config.engine_configs().items()
        if isinstance(each, Onnx) or (isinstance(each, Llama) and not each.gpu_layers)
    ]
    if engine is None:
        return on_cpus
    if engine not in on_cpus:
        raise ConfigError(
            f"No engine {engine!r} runs on CPUs here; there are {', '.join(on_cpus) or 'none'}."
        )
    return [engine]


async def _measure(config: Config, state: State, names: Sequence[str]) -> None:
    taken = (await _read(state)).cpus
    reservable = CpuLedger(config.capacity.cpus).reservable
    free = [cpu for cpu in reservable if cpu not in taken]
    if not free:
        raise ConfigError(
            f"No CPU is free to measure on: of {len(reservable)} that can be reserved, all are "
            "([capacity] cpus in the configuration says how many those are)."
        )
    engines = EnginePool(
        config.engine_configs(), cache_dir=config.cache_dir, memory_mib=config.engine_memory_mib
    )
    rates = Rates(engines, state.stores.resources)
    try:
        for name in names:
            rate = await rates.measure(name, free[-1])
            typer.echo(f"{name}: {_speed(rate.input_per_s, rate.output_per_s)}")
    except EngineError as error:
        raise ConfigError(str(error)) from error
    finally:
        await engines.close()


async def _read(state: State) -> _Held:
    async with state.stores.resources.reading() as view:
        return _Held(
            await view.list(ProvisionedModel),
            await view.list(EngineReservation),
            await view.list(EngineRate),
        )


def _pool(config: Config, held: _Held) -> dict[str, Any]:
    ledger = CpuLedger(config.capacity.cpus)
    rates: dict[str, Any] = {}
    # Of an engine whose file was changed the last measurement counts.
    for item in sorted(held.rates, key=lambda item: item.record.measured_at):
        machine, engine, _ = item.name.split("/", 2)
        if machine == machine_id():
            rates[engine] = {
                "input_per_s": item.record.input_per_s,
                "output_per_s": item.record.output_per_s,
                "measured_at": item.record.measured_at.isoformat(),
            }
    return {
        "cpus": list(ledger.cpus),
        "reservable": list(ledger.reservable),
        "reserved": sorted(held.cpus),
        "rates": rates,
    }


def _rows(held: _Held) -> list[dict[str, Any]]:
    reservations = {each.name: each.record for each in held.reservations}
    rows: list[dict[str, Any]] = []
    for item in held.items:
        record, holds = item.record, reservations.get(str(item.arn))
        # What failed can be deleted at once.
        ends_at = None if record.status == "Failed" else record.commitment_ends_at
        rows.append(
            {
                "arn": item.arn,
                "name": item.name,
                "account": item.place.account,
                "region": item.place.region,
                "model": record.model,
                "status": record.status,
                "failure": record.failure,
                "units": record.units,
                "input_tokens_per_minute": record.units * record.unit.input_tokens,
                "output_tokens_per_minute": record.units * record.unit.output_tokens,
                "committed_until": ends_at.isoformat() if ends_at else None,
                "engine": holds.engine if holds else None,
                "cpus": list(holds.cpus) if holds else [],
            }
        )
    return rows


def _print_pool(pool: dict[str, Any]) -> None:
    typer.echo(
        f"{len(pool['reservable'])} of {len(pool['cpus'])} CPUs can be reserved, "
        f"{len(pool['reserved'])} are."
    )
    for name, rate in pool["rates"].items():
        typer.echo(f"{name}: {_speed(rate['input_per_s'], rate['output_per_s'])}")


def _print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """The ARN, which the other commands take, comes last: a narrow terminal breaks only it."""
    if not rows:
        typer.echo("No throughput was bought.")
        return
    headings = ("Name", "Status", "Units", "Tokens in, out a minute", "CPUs", "Until", "ARN")
    print_table(headings, map(_cells, rows))
    for row in rows:
        if row["failure"]:
            typer.echo(f"{row['name']}: {row['failure']}")


def _cells(row: dict[str, Any]) -> Sequence[str]:
    return (
        row["name"],
        row["status"],
        str(row["units"]),
        f"{row['input_tokens_per_minute']:,}, {row['output_tokens_per_minute']:,}",
        ", ".join(map(str, row["cpus"])) or "-",
        (row["committed_until"] or "-")[:16],
        row["arn"] or "-",
    )


def _speed(input_per_s: float, output_per_s: float) -> str:
    made = f", writes {output_per_s:,.0f}" if output_per_s else ""
    return f"reads {input_per_s:,.0f} tokens a second on one CPU{made}"
