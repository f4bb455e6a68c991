"""``outcrop access``: which models accounts may use, given and taken by an operator.

Written to the data directory itself, in one transaction; a running server goes by it within half a
second. An operator needs neither a use case nor leave of the Marketplace, and leaves a record.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

import typer

from outcrop.catalog.catalog import Catalog
from outcrop.catalog.load import load_catalog
from outcrop.catalog.model import Model
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
from outcrop.config import Config
from outcrop.server.state import State
from outcrop.services.bedrock.dependents import dependents_by_place
from outcrop.stores.failures import StoreError
from outcrop.stores.model_access import put_accesses
from outcrop.stores.model_records import ModelAccess
from outcrop.stores.operator_actions import record_action
from outcrop.stores.resources import Place, Transaction, View

app = typer.Typer(no_args_is_help=True)

ModelsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODEL...", help="Model IDs, or patterns of them: 'anthropic.*'"),
]
AllOption = Annotated[bool, typer.Option("--all", help="Every model.")]
AccountOption = Annotated[
    str | None, typer.Option("--account", help="An account's ID; every account without it.")
]
RegionsOption = Annotated[
    list[str] | None,
    typer.Option("--region", help="A region, any number of times; all without it."),
]


_REGION: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The places of access that a command is about."""

    models: Sequence[str]
    regions: Sequence[str]
    accounts: Sequence[str]
    places: Sequence[Place]


@app.command("list")
def list_access(
    account: AccountOption = None,
    region: RegionsOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List which models each account may use, and in which regions."""
    with plain_errors():
        settings = read_config(data_dir, config)
        catalog = load_catalog(settings)

        async def work(state: State) -> list[dict[str, Any]]:
            async with state.stores.resources.reading() as view:
                known = await _known(view)
            wanted = region or _regions(settings, known)
            chosen = _choose(state, catalog, ["*"], account, wanted)
            return _rows(place for place in chosen.places if _is_open(known, place, settings))

        rows = with_state(settings, work)
    if as_json:
        print_json(rows)
    elif not rows:
        typer.echo("No model may be used. Grant access: outcrop access grant --all")
    else:
        every = [] if region else sorted(settings.regions)
        cells = (
            (
                row["account"],
                row["modelId"],
                "all configured" if sorted(row["regions"]) == every else ", ".join(row["regions"]),
            )
            for row in rows
        )
        print_table(("Account", "Model ID", "Regions"), cells, folded=["Regions"])


@app.command()
def grant(
    models: ModelsArgument = None,
    every: AllOption = False,
    account: AccountOption = None,
    region: RegionsOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Let accounts use models; a variant goes with its base model."""
    with plain_errors():
        settings = read_config(data_dir, config)
        catalog = load_catalog(settings)
        patterns = _patterns(models, every)

        async def work(state: State) -> tuple[_Chosen, int]:
            chosen = _choose(state, catalog, patterns, account, region or settings.regions)
            async with state.stores.resources.writing() as transaction:
                changed = await _put(transaction, chosen, chosen.places, "granted")
            return chosen, changed

        chosen, changed = with_state(settings, work)
    _tell("granted", chosen, changed)


@app.command()
def revoke(
    models: ModelsArgument = None,
    every: AllOption = False,
    account: AccountOption = None,
    region: RegionsOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Take access to models back; not while anything that accounts have made of them is there."""
    with plain_errors():
        settings = read_config(data_dir, config)
        catalog = load_catalog(settings)
        patterns = _patterns(models, every)

        async def work(state: State) -> tuple[_Chosen, int]:
            async with state.stores.resources.writing() as transaction:
                known = await _known(transaction)
                wanted = region or _regions(settings, known)
                chosen = _choose(state, catalog, patterns, account, wanted)
                places = [each for each in chosen.places if _is_open(known, each, settings)]
                await _require_unused(transaction, catalog, places)
                changed = await _put(transaction, chosen, places, "removed")
            return chosen, changed

        chosen, changed = with_state(settings, work)
    _tell("revoked", chosen, changed)


def _patterns(models: Sequence[str] | None, every: bool) -> Sequence[str]:
    if every == bool(models):
        raise StoreError("Name the models, or say --all.")
    return ["*"] if every else list(models or ())


async def _known(view: View) -> Mapping[Place, ModelAccess]:
    return {item.place: item.record for item in await view.list(ModelAccess)}


def _regions(settings: Config, known: Mapping[Place, ModelAccess]) -> list[str]:
    """The configured ones, and those where somebody was given access besides."""
    return list(dict.fromkeys((*settings.regions, *sorted(place.region for place in known))))


def _choose(
    state: State,
    catalog: Catalog,
    patterns: Sequence[str],
    account: str | None,
    regions: Sequence[str],
) -> _Chosen:
    accounts = [item.name for item in state.stores.directory.accounts()]
    if account is not None:
        if account not in accounts:
            raise StoreError(f"There is no account {account}. See: outcrop accounts list")
        accounts = [account]
    wanted = list(dict.fromkeys(regions))
    for region in wanted:
        if not _REGION.fullmatch(region):
            raise StoreError(f"{region!r} is not the name of a region, such as us-east-1.")
    bases = _bases(catalog.all(), patterns)
    offered = [
        (region, base)
        for region in wanted
        for base in _bases(catalog.all(region), ["*"])
        if base in bases
    ]
    missing = bases - {base for _, base in offered}
    if missing and patterns != ["*"]:
        names = ", ".join(sorted(missing))
        raise StoreError(f"None of {', '.join(wanted)} offers {names}.")
    places = [Place(each, region, base) for each in accounts for region, base in offered]
    return _Chosen(sorted(bases), wanted, accounts, places)


def _bases(models: Iterable[Model], patterns: Sequence[str]) -> set[str]:
    known = list(models)
    found: set[str] = set()
    for pattern in patterns:
        matching = {each.base_id or each.id for each in known if fnmatchcase(each.id, pattern)}
        if not matching and pattern != "*":
            raise StoreError(f"No model is named {pattern}. See: outcrop models list")
        found |= matching
    return found


def _is_open(known: Mapping[Place, ModelAccess], place: Place, settings: Config) -> bool:
    record = known.get(place)
    if record is None:
        return settings.access.default == "all"
    return record.status == "granted"


async def _require_unused(
    transaction: Transaction, catalog: Catalog, places: Sequence[Place]
) -> None:
    dependents = await dependents_by_place(transaction, catalog)
    found = [arn for place in places for arn in dependents.get(place, ())]
    if found:
        raise StoreError(
            "No access was revoked, since resources use the models. Delete them first: "
            f"{', '.join(found)}"
        )


async def _put(
    transaction: Transaction, chosen: _Chosen, places: Sequence[Place], status: Any
) -> int:
    record = ModelAccess(status=status, by="operator")
    changed = await put_accesses(transaction, places, record)
    action = "access.grant" if status == "granted" else "access.revoke"
    detail = {"models": ",".join(chosen.models), "regions": ",".join(chosen.regions)}
    for account in sorted({place.account for place in changed}):
        place = Place(account, "", "model-access")
        await record_action(transaction, place, action, operator_name(), detail)
    return len(changed)


def _rows(places: Iterable[Place]) -> list[dict[str, Any]]:
    regions: dict[tuple[str, str], list[str]] = {}
    for place in places:
        regions.setdefault((place.account, place.name), []).append(place.region)
    return [
        {"account": account, "modelId": model, "regions": found}
        for (account, model), found in sorted(regions.items())
    ]


def _tell(done: str, chosen: _Chosen, changed: int) -> None:
    models = chosen.models[0] if len(chosen.models) == 1 else f"{len(chosen.models)} models"
    accounts = ", ".join(chosen.accounts)
    typer.echo(f"Access {done}: {models} in {', '.join(chosen.regions)}, for account {accounts}.")
    if changed < len(chosen.places):
        typer.echo(f"{len(chosen.places) - changed} of {len(chosen.places)} were so already.")
