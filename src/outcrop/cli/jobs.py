"""``outcrop jobs``: customization jobs of all accounts, and how far one has come."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress as Bar, TextColumn

from outcrop.cli.options import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    plain_errors,
    print_json,
    read_config,
)
from outcrop.cli.state import state_of, with_state
from outcrop.cli.tables import print_table
from outcrop.config import Config
from outcrop.server.state import State
from outcrop.stores.customization_records import CustomizationJob, PhaseStatus
from outcrop.stores.failures import NoSuchItem, StoreError
from outcrop.stores.resources import Item, View

app = typer.Typer(no_args_is_help=True)

_LOOK_S: Final = 1.0
_ENDED: Final = ("Completed", "Failed", "Stopped")
_PHASES: Final = {
    "training": "training",
    "processing": "preparing data",
    "validation": "validating data",
}
"""The last first."""

Job = Item[CustomizationJob]


@app.command("list")
def list_jobs(
    account: Annotated[
        str | None, typer.Option("--account", help="An account's ID; all of them without it.")
    ] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List customization jobs, the newest first."""

    async def work(state: State) -> list[Job]:
        async with state.stores.resources.reading() as view:
            return await view.list(CustomizationJob, account=account)

    with plain_errors():
        found = with_state(read_config(data_dir, config), work)
    found.sort(key=lambda item: item.created_at, reverse=True)
    if as_json:
        print_json([_plain(item) for item in found])
        return
    headings = ("Job", "Account", "Region", "Base model", "Status", "Done", "Loss", "Created")
    rows = [
        (
            item.name,
            item.place.account,
            item.place.region,
            item.record.base_model,
            item.record.status,
            f"{_share(item.record):.0%}",
            _loss(item.record),
            f"{item.created_at:%Y-%m-%d %H:%M}",
        )
        for item in found
    ]
    print_table(headings, rows, figures=("Done", "Loss"))


@app.command()
def watch(
    job: Annotated[str, typer.Argument(help="A job's name or ARN.")],
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Show how far a job is until it ends; exit code 1 unless it is completed."""
    with plain_errors():
        settings = read_config(data_dir, config)
        last = asyncio.run(_watch(settings, job, _show(as_json)))
    if not as_json:
        typer.echo(_epitaph(last), err=last.record.status != "Completed")
    if last.record.status != "Completed":
        raise typer.Exit(1)


async def _watch(config: Config, job: str, show: Callable[[Job], None]) -> Job:
    async with state_of(config) as state, aclosing(_changes(state, job)) as changes:
        async for item in changes:
            show(item)
            if item.record.status in _ENDED:
                return item
    raise NoSuchItem(f"The job {job!r} is gone.")


async def _changes(state: State, job: str) -> AsyncGenerator[Job]:
    """As it is now, and whenever it has changed."""
    async with state.stores.resources.reading() as view:
        item = await _get(view, job)
    yield item
    while True:
        await asyncio.sleep(_LOOK_S)
        async with state.stores.resources.reading() as view:
            found = await view.find_arn(CustomizationJob, str(item.arn))
        if found is None:
            return
        if found.record != item.record:
            item = found
            yield item


async def _get(view: View, job: str) -> Job:
    items = await view.list(CustomizationJob)
    found = [item for item in items if job in (item.name, item.arn)]
    if not found:
        raise NoSuchItem(f"There is no customization job {job!r}.")
    if len(found) > 1:
        arns = ", ".join(str(item.arn) for item in found)
        raise StoreError(f"Several jobs have the name {job!r}. Give one's ARN: {arns}")
    return found[0]


def _show(as_json: bool) -> Callable[[Job], None]:
    if as_json:
        return lambda item: print_json(_plain(item))
    console = Console(stderr=True)
    if not console.is_terminal:
        return lambda item: typer.echo(_line(item), err=True)
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
    )
    task = bar.add_task("", total=1.0, figures="")

    def show(item: Job) -> None:
        bar.update(
            task,
            completed=_share(item.record),
            description=f"{item.name}: {_doing(item.record)}",
            figures=_figures(item.record),
        )
        (bar.stop if item.record.status in _ENDED else bar.start)()

    return show


def _line(item: Job) -> str:
    return ", ".join(filter(None, (f"{item.name}: {_doing(item.record)}", _figures(item.record))))


def _doing(job: CustomizationJob) -> str:
    if job.status != "InProgress":
        return job.status.lower()
    for phase, doing in _PHASES.items():
        reached: PhaseStatus = getattr(job, phase).status
        if reached != "NotStarted":
            epochs = job.hyperparameters.get("epochCount", "?")
            return f"{doing}, epoch {job.progress.epoch}/{epochs}" if phase == "training" else doing
    return "waiting"


def _figures(job: CustomizationJob) -> str:
    progress = job.progress
    if not progress.steps:
        return ""
    figures = [f"step {progress.step}/{progress.steps}", f"loss {_loss(job)}"]
    if job.status == "InProgress":
        figures.append(f"{progress.tokens_per_s:,.0f} tokens/s")
        if progress.left_s is not None:
            figures.append(f"{timedelta(seconds=round(progress.left_s))} left")
    return ", ".join([*figures, f"{progress.tokens:,} tokens"])


def _epitaph(item: Job) -> str:
    job = item.record
    match job.status:
        case "Completed":
            losses = ", ".join(f"{loss:.4f}" for loss in job.validation_losses)
            told = [f"{job.model_name}: {job.model_arn}"]
            told += [f"validation loss {losses}"] if losses else []
            told += [job.note] if job.note else []
            return "\n".join(told)
        case "Failed":
            return f"outcrop: {item.name} has failed: {job.failure or 'nobody knows why'}"
        case _:
            return f"outcrop: {item.name} was stopped; it leaves no model."


def _share(job: CustomizationJob) -> float:
    if job.status == "Completed":
        return 1.0
    return job.progress.step / job.progress.steps if job.progress.steps else 0.0


def _loss(job: CustomizationJob) -> str:
    loss = job.training_loss if job.training_loss is not None else job.progress.loss
    return "-" if loss is None else f"{loss:.4f}"


def _plain(item: Job) -> dict[str, Any]:
    job, progress = item.record, item.record.progress
    return {
        "name": item.name,
        "arn": item.arn,
        "account": item.place.account,
        "region": item.place.region,
        "base_model": job.base_model,
        "model": job.model_name,
        "model_arn": job.model_arn if job.status == "Completed" else None,
        "status": job.status,
        "doing": _doing(job),
        "step": progress.step,
        "steps": progress.steps,
        "epoch": progress.epoch,
        "loss": progress.loss,
        "tokens": progress.tokens,
        "tokens_per_s": progress.tokens_per_s,
        "left_s": progress.left_s,
        "training_loss": job.training_loss,
        "validation_losses": list(job.validation_losses),
        "failure": job.failure,
        "note": job.note,
        "created": item.created_at,
        "ended": job.ended_at,
    }
