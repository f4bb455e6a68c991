"""Which managed policies are used, by whom and how: attached, or as a permissions boundary."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from outcrop.authorization import managed
from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.iam.documents import limit_exceeded
from outcrop.stores.iam_records import GroupRecord, RoleRecord, UserRecord
from outcrop.stores.identities import IdentityDirectory
from outcrop.stores.resources import Item

MAX_ATTACHED: Final = 10

Holder = UserRecord | GroupRecord | RoleRecord


@dataclass(frozen=True, slots=True)
class Uses:
    """How often each policy is used in an account, by its ARN."""

    attached: Counter[str] = field(default_factory=Counter[str])
    boundaries: Counter[str] = field(default_factory=Counter[str])

    def of(self, arn: str) -> int:
        return self.attached[arn] + self.boundaries[arn]


def uses_in(directory: IdentityDirectory, account: str) -> Uses:
    uses = Uses()
    for item in holders_in(directory, account):
        uses.attached.update(item.record.attached)
        boundary = boundary_of(item.record)
        if boundary is not None:
            uses.boundaries[boundary] += 1
    return uses


def holders_in(directory: IdentityDirectory, account: str) -> Iterable[Item[Any]]:
    yield from directory.users(account)
    yield from directory.groups(account)
    yield from directory.roles(account)


def boundary_of(record: Holder) -> str | None:
    return None if isinstance(record, GroupRecord) else record.boundary


def is_policy(directory: IdentityDirectory, account: str, arn: str) -> bool:
    """A policy of AWS, or of this account."""
    if managed.find_policy(arn) is not None:
        return True
    item = directory.find_policy(arn)
    return item is not None and item.place.account == account


def with_attached(call: Call, attached: Sequence[str], arn: str, quota: str) -> tuple[str, ...]:
    """``quota`` is what IAM calls the number that one holder may have (``PoliciesPerRole``)."""
    check_arn(arn)
    if not is_policy(call.stores.directory, call.account, arn):
        raise ServiceError("NoSuchEntity", f"Policy {arn} does not exist or is not attachable.")
    if arn in attached:
        return tuple(attached)
    if len(attached) >= MAX_ATTACHED:
        raise limit_exceeded(quota, MAX_ATTACHED)
    return (*attached, arn)


def without_attached(attached: Sequence[str], arn: str) -> tuple[str, ...]:
    if arn not in attached:
        raise ServiceError("NoSuchEntity", f"Policy {arn} was not found.")
    return tuple(each for each in attached if each != arn)


def check_boundary(call: Call, arn: str) -> str:
    if not is_policy(call.stores.directory, call.account, arn):
        raise ServiceError("NoSuchEntity", f"Scope ARN: {arn} does not exist or is not attachable.")
    return arn


def render_boundary(arn: str | None) -> dict[str, Any]:
    if arn is None:
        return {}
    return {
        "PermissionsBoundary": {
            "PermissionsBoundaryType": "Policy",
            "PermissionsBoundaryArn": arn,
        }
    }


def render_attached(attached: Iterable[str], path_prefix: str = "/") -> list[dict[str, str]]:
    """``AttachedPolicies``: those whose path begins so."""
    return [
        {"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn}
        for arn in attached
        if path_of(arn).startswith(path_prefix)
    ]


def check_arn(arn: str) -> None:
    if not arn.startswith("arn:"):
        raise ServiceError("InvalidInput", f"ARN {arn} is not valid.")


def path_of(arn: str) -> str:
    """``/job-function/`` of ``arn:aws:iam::aws:policy/job-function/ViewOnlyAccess``."""
    return arn[arn.find("/") : arn.rfind("/") + 1]
