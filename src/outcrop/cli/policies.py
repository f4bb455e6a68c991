"""``outcrop policy``: what somebody may and why, and whether a policy document is one.

It reads the data directory itself and changes nothing, beside a running server if there is one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, get_args

import typer

from outcrop.authorization.simulation import (
    Holder,
    Scene,
    find_holder,
    keys_at,
    policies_of,
    scene_of,
)
from outcrop.cli.explanations import describe, render
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
from outcrop.security.policy.document import Kind, MalformedPolicy, Policy, parse_policy
from outcrop.security.policy.evaluate import Layers, Subject
from outcrop.server.state import State
from outcrop.stores.failures import NoSuchItem, StoreError

app = typer.Typer(no_args_is_help=True)

KINDS: Final[Mapping[str, Kind]] = {kind: kind for kind in get_args(Kind)}

_NOBODY: Final = "000000000000"

UserOption = Annotated[str | None, typer.Option("--user", help="Ask as this user: name or ARN.")]
RoleOption = Annotated[str | None, typer.Option("--role", help="Ask as this role: name or ARN.")]
FilesOption = Annotated[
    list[Path] | None, typer.Option("--policy-file", help="An identity policy, alone or besides.")
]
ActionsOption = Annotated[list[str], typer.Option("--action", help="Such as bedrock:InvokeModel.")]
ResourcesOption = Annotated[
    list[str] | None, typer.Option("--resource", help="An ARN; * without it.")
]
ContextOption = Annotated[
    list[str] | None,
    typer.Option("--context", help="A condition key: KEY=VALUE. Twice the same makes a list."),
]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who is asked about, as the command line says it."""

    user: str | None
    role: str | None
    policies: tuple[Policy, ...]

    def check(self) -> None:
        if self.user and self.role:
            raise StoreError("Give --user or --role, not both.")
        if not (self.user or self.role or self.policies):
            raise StoreError("Say who asks: --user NAME, --role NAME or --policy-file FILE.")


@app.command()
# The options of a command are its parameters.
def simulate(  # noqa: PLR0913
    action: ActionsOption,
    user: UserOption = None,
    role: RoleOption = None,
    policy_file: FilesOption = None,
    resource: ResourcesOption = None,
    context: ContextOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Decide requests that nobody made; say which statement and which condition decided.

    Policies of resources (keys, buckets, trust) are not asked here."""
    with plain_errors():
        given = Cast(user, role, tuple(_policy(file, "identity") for file in policy_file or ()))
        given.check()
        keys = parse_context(context or ())
        scene = _scene(given, data_dir, config)
        scene = replace(scene, keys={**scene.keys, **keys})
        outcomes = [scene.play(each, wanted) for each in action for wanted in resource or ("*",)]
        if as_json:
            print_json([describe(outcome) for outcome in outcomes])
            return
        typer.echo("\n\n".join(render(outcome) for outcome in outcomes))


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A JSON document.")],
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(KINDS)}.")] = "identity",
) -> None:
    """Say whether a document is a policy of that kind, in AWS's words if it is not."""
    with plain_errors():
        known = KINDS.get(kind)
        if known is None:
            raise StoreError(f"There is no kind {kind!r}: it is one of {', '.join(KINDS)}.")
        policy = _policy(file, known)
        size = sum(map(len, policy.text.split()))
        statements = len(policy.statements)
        typer.echo(
            f"{file} is a valid {known} policy: {statements} "
            f"statement{'' if statements == 1 else 's'}, {size} characters without white space."
        )


def parse_context(entries: Sequence[str]) -> dict[str, str | tuple[str, ...]]:
    """Keys in lower case, as requests have them."""
    keys: dict[str, str | tuple[str, ...]] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals or ":" not in name:
            raise StoreError(
                f"--context takes KEY=VALUE such as aws:SourceIp=10.0.0.1, not {entry!r}."
            )
        name = name.lower()
        before = keys.get(name)
        if before is None:
            keys[name] = value
        else:
            keys[name] = (*((before,) if isinstance(before, str) else before), value)
    return keys


def _scene(given: Cast, data_dir: Path | None, config: Path | None) -> Scene:
    now = datetime.now(UTC)
    if given.user or given.role:
        return asyncio.run(_scene_here(given, read_config(data_dir, config), now))
    somebody = Subject(arn=f"arn:aws:iam::{_NOBODY}:user/nobody", account=_NOBODY, kind="user")
    return Scene(somebody, Layers(identity=given.policies), keys_at(now))


async def _scene_here(given: Cast, config: Config, now: datetime) -> Scene:
    async with state_of(config) as state:
        holder = _holder(state, given)
        directory = state.stores.directory
        scene = scene_of(directory, holder, now, policies_of(directory, holder))
    identity = (*scene.layers.identity, *given.policies)
    return replace(scene, layers=replace(scene.layers, identity=identity))


def _holder(state: State, given: Cast) -> Holder:
    noun, name = ("user", given.user) if given.user else ("role", given.role or "")
    directory, account = state.stores.directory, state.foundation.account
    if name and name.startswith("arn:"):
        found = find_holder(directory, name)
    elif given.user:
        found = directory.find_user(account, given.user)
    else:
        found = directory.find_role(account, name or "")
    if found is None:
        raise NoSuchItem(f"There is no {noun} {name!r} in account {account}.")
    return found


def _policy(file: Path, kind: Kind) -> Policy:
    try:
        return parse_policy(file.read_text(encoding="utf-8"), kind, name=str(file))
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise StoreError(f"{file} is not UTF-8 text.") from error
    except MalformedPolicy as error:
        raise StoreError(f"{file} is no valid {kind} policy: {error}") from error
