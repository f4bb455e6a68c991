"""Decisions of requests that nobody made: what a user, group or role may, and by which statement.

Only what is given or follows from the principal is in the request. Everything else that a policy
asks for is reported as missing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from outcrop.authorization.access import KeyValues
from outcrop.security.policy.document import Kind, Policy, Statement, parse_policy
from outcrop.security.policy.evaluate import (
    Explanation,
    Layers,
    Request,
    Subject,
    decide,
    explain,
)
from outcrop.stores.iam_records import GroupRecord, RoleRecord, UserRecord
from outcrop.stores.identities import IdentityDirectory
from outcrop.stores.principal_policies import NamedText
from outcrop.stores.resources import Item

Holder = Item[UserRecord] | Item[GroupRecord] | Item[RoleRecord]

_EVERYTHING: Final = parse_policy(
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}',
    "identity",
)


@dataclass(frozen=True, slots=True)
class Attached:
    """A policy of a user, group or role: its ARN or the name of an inline one, and whose it is."""

    name: str
    text: str
    holder: str
    holder_kind: str
    is_inline: bool

    @property
    def source(self) -> str:
        """How IAM names it in a simulation."""
        if self.is_inline:
            return f"{self.holder_kind}_{self.holder}_{self.name}"
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Scene:
    """Who asks, with which policies. ``resource_account`` owns what its ARN gives no account to;
    None: the subject's own."""

    subject: Subject
    layers: Layers
    keys: KeyValues = field(default_factory=dict[str, "str | tuple[str, ...]"])
    resource_account: str | None = None

    def play(self, action: str, resource: str) -> "Outcome":
        account = _account_of(resource) or self.resource_account or self.subject.account
        request = Request(self.subject, action, resource, account, self.keys)
        return Outcome(request, self.layers, explain(request, self.layers))


@dataclass(frozen=True, slots=True)
class Outcome:
    request: Request
    layers: Layers
    explanation: Explanation

    @property
    def allowed_by_organization(self) -> bool | None:
        """None where no service control policy bounds the account."""
        bounds = self.layers.service_control
        if not bounds:
            return None
        alone = Layers(service_control=bounds, identity=(_EVERYTHING,))
        return decide(replace(self.request, resource_account=None), alone).allowed

    @property
    def allowed_by_boundary(self) -> bool | None:
        boundary = self.layers.boundary
        if boundary is None:
            return None
        alone = Layers(boundary=boundary, identity=(_EVERYTHING,))
        return decide(replace(self.request, resource_account=None), alone).allowed

    @property
    def missing_keys(self) -> list[str]:
        """Condition keys that statements about this action ask for and the request lacks. Those
        of service control policies are not told, as IAM does not."""
        found: dict[str, str] = {}
        for each in self.explanation.statements:
            if each.layer == "service-control" or not each.action:
                continue
            resources = each.statement.resources
            variables = resources.variables if resources else frozenset[str]()
            if each.resource or variables - self.request.keys.keys():
                found |= {key.lower(): key for key in _asked_keys(each.statement)}
        missing = found.keys() - self.request.keys.keys()
        return sorted((found[key] for key in missing), key=str.lower)


def find_holder(directory: IdentityDirectory, arn: str) -> Holder | None:
    """A user, group or role by its ARN."""
    account, _, resource = arn.removeprefix("arn:aws:iam::").partition(":")
    noun, _, rest = resource.partition("/")
    name = rest.rpartition("/")[2]
    found: Holder | None
    match noun:
        case "user":
            found = directory.find_user(account, name)
        case "group":
            found = directory.find_group(account, name)
        case "role":
            found = directory.find_role(account, name)
        case _:
            return None
    return found if found is not None and found.arn == arn else None


def policies_of(directory: IdentityDirectory, holder: Holder) -> list[Attached]:
    """Its own and, of a user, those of its groups."""
    found = [*_attached(directory, holder)]
    if isinstance(holder.record, UserRecord):
        for name in holder.record.groups:
            group = directory.find_group(holder.place.account, name)
            found += _attached(directory, group) if group else ()
    return found


def boundary_of(directory: IdentityDirectory, holder: Holder) -> NamedText | None:
    """What bounds it; a boundary whose policy is gone allows nothing."""
    if isinstance(holder.record, GroupRecord) or holder.record.boundary is None:
        return None
    arn = holder.record.boundary
    return directory.boundary(arn)


def subject_of(holder: Holder) -> Subject:
    """A group stands for a user with its policies alone."""
    arn, account = holder.arn or "", holder.place.account
    if isinstance(holder.record, RoleRecord):
        return Subject(arn=arn, account=account, kind="role", role_arn=arn)
    return Subject(arn=arn, account=account, kind="user")


def keys_of(holder: Holder) -> dict[str, str | tuple[str, ...]]:
    """The condition keys that follow from who asks."""
    record = holder.record
    keys: dict[str, str | tuple[str, ...]] = {
        "aws:principalaccount": holder.place.account,
        "aws:principalisawsservice": "false",
    }
    if isinstance(record, GroupRecord):
        return keys
    keys["aws:principalarn"] = holder.arn or ""
    keys |= {f"aws:principaltag/{name.lower()}": value for name, value in holder.tags.items()}
    if isinstance(record, RoleRecord):
        return keys | {"aws:principaltype": "AssumedRole"}
    return keys | {
        "aws:principaltype": "User",
        "aws:username": holder.name,
        "aws:userid": record.id,
    }


def keys_at(now: datetime) -> dict[str, str | tuple[str, ...]]:
    now = now.astimezone(UTC)
    return {
        "aws:currenttime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:epochtime": str(int(now.timestamp())),
    }


def scene_of(
    directory: IdentityDirectory, holder: Holder, now: datetime, policies: Sequence[Attached]
) -> Scene:
    """``policies`` are those that count of the holder's own."""
    boundary = boundary_of(directory, holder)
    layers = Layers(
        identity=tuple(parse_policy(each.text, "identity", name=each.source) for each in policies),
        boundary=None
        if boundary is None
        else parse_policy(boundary.text, "boundary", name=boundary.name.rpartition("/")[2]),
        service_control=service_control_of(directory, holder.place.account),
    )
    return Scene(subject_of(holder), layers, keys_of(holder) | keys_at(now))


def service_control_of(
    directory: IdentityDirectory, account: str
) -> tuple[tuple[Policy, ...], ...]:
    levels = directory.service_control_of(account)
    return tuple(
        tuple(parse_policy(each.text, "service-control", name=each.name) for each in level)
        for level in levels
    )


def named(texts: Iterable[str], kind: Kind, prefix: str) -> tuple[Policy, ...]:
    """Policies of an input list, named as IAM names them (``PolicyInputList.1``)."""
    return tuple(
        parse_policy(text, kind, name=f"{prefix}.{number}")
        for number, text in enumerate(texts, start=1)
    )


def context_keys(policies: Iterable[Policy]) -> list[str]:
    """Every key that they ask for, as they spell it."""
    spelled: dict[str, str] = {}
    for policy in policies:
        for statement in policy.statements:
            for key in _asked_keys(statement):
                spelled.setdefault(key.lower(), key)
    return sorted(spelled.values(), key=str.lower)


def _asked_keys(statement: Statement) -> list[str]:
    """By conditions as they spell them, then by variables."""
    variables = set[str](statement.resources.variables if statement.resources else ())
    for condition in statement.conditions:
        variables |= condition.compared.variables
    named = [condition.key for condition in statement.conditions]
    return [*named, *sorted(variables - {key.lower() for key in named})]


def _account_of(arn: str) -> str | None:
    parts = arn.split(":", 5)
    return parts[4] if len(parts) == 6 and parts[4].isdigit() else None


def _attached(directory: IdentityDirectory, item: Item[Any]) -> Iterable[Attached]:
    record: UserRecord | GroupRecord | RoleRecord = item.record
    kind = record.KIND.partition(":")[2]
    for arn in record.attached:
        policy = directory.managed_policy(arn)
        if policy is not None:
            yield Attached(arn, policy.text, item.name, kind, is_inline=False)
    for name, text in record.inline.items():
        yield Attached(name, text, item.name, kind, is_inline=True)
