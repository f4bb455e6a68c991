"""The policies that bound a user or role, read from the records that the directory holds.

A boundary or service control policy that is gone allows nothing; an attached policy that is gone
grants nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from outcrop.stores.iam_items import Held
from outcrop.stores.iam_names import FULL_ACCESS
from outcrop.stores.iam_records import (
    AccountRecord,
    GroupRecord,
    PolicyRecord,
    RoleRecord,
    ServiceControlPolicyRecord,
    UserRecord,
)
from outcrop.stores.resources import Item, Record

FULL_ACCESS_TEXT: Final = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
)
# No statement at all would be no policy.
_ALLOWS_NOTHING: Final = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":"*","Resource":"*"}]}'
)


@dataclass(frozen=True, slots=True)
class NamedText:
    """A policy's text; ``name`` is its ARN, or the name of an inline or service control policy."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class PrincipalPolicies:
    """What bounds a user or role, whatever it asks. ``tags`` are those of the user or role;
    ``service_control`` is empty where the account is not restricted."""

    identity: tuple[NamedText, ...]
    boundary: NamedText | None
    tags: Mapping[str, str]
    service_control: tuple[tuple[NamedText, ...], ...]


class PolicyTexts:
    """``aws_managed`` gives the text of a policy that AWS manages, by its ARN."""

    def __init__(
        self, held: Mapping[type[Record], Held[Any]], aws_managed: Callable[[str], str | None]
    ) -> None:
        self._accounts: Held[AccountRecord] = held[AccountRecord]
        self._service_control: Held[ServiceControlPolicyRecord] = held[ServiceControlPolicyRecord]
        self._groups: Held[GroupRecord] = held[GroupRecord]
        self._policies: Held[PolicyRecord] = held[PolicyRecord]
        self._aws_managed = aws_managed

    def managed(self, arn: str) -> NamedText | None:
        """The default version of a policy of a customer or of AWS."""
        item = self._policies.find_arn(arn)
        if item is not None:
            return NamedText(arn, item.record.versions[item.record.default_version].document)
        text = self._aws_managed(arn)
        return None if text is None else NamedText(arn, text)

    def boundary(self, arn: str) -> NamedText:
        return self.managed(arn) or NamedText(arn, _ALLOWS_NOTHING)

    def service_control(self, account: str) -> tuple[tuple[NamedText, ...], ...]:
        """Empty where the account is not restricted."""
        item = self._accounts.find(account, account)
        names = (item.record.service_control if item else ()) or (FULL_ACCESS,)
        if names == (FULL_ACCESS,):
            return ()
        return (tuple(self._service_control_text(name) for name in names),)

    def gather(self, subject: Item[UserRecord] | Item[RoleRecord]) -> PrincipalPolicies:
        account, record = subject.place.account, subject.record
        identity = self._policies_in(record)
        for name in record.groups if isinstance(record, UserRecord) else ():
            group = self._groups.find(account, name)
            identity += self._policies_in(group.record) if group else ()
        boundary = None if record.boundary is None else self.boundary(record.boundary)
        return PrincipalPolicies(identity, boundary, subject.tags, self.service_control(account))

    def _policies_in(self, record: UserRecord | GroupRecord | RoleRecord) -> tuple[NamedText, ...]:
        attached = (self.managed(arn) for arn in record.attached)
        inline = (NamedText(name, text) for name, text in record.inline.items())
        return (*(policy for policy in attached if policy), *inline)

    def _service_control_text(self, name: str) -> NamedText:
        if name == FULL_ACCESS:
            return NamedText(name, FULL_ACCESS_TEXT)
        item = self._service_control.find("", name)
        return NamedText(name, item.record.document if item else _ALLOWS_NOTHING)
