"""What one stored record is: its content, where it lies, what belongs to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Generic, TypeVar

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of one resource. A kind is ``<topic>:<noun>``, such as ``iam:user``; fields
    added later need defaults, since rows written before do not have them. Of a ``SEALED`` kind the
    database shows no more than whose it is, where and when: name, ARN, parent, tags and content
    are encrypted."""

    KIND: ClassVar[str]
    SEALED: ClassVar[bool] = False


R = TypeVar("R", bound=Record)

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies. ``region`` is empty for what has none (IAM), ``account`` too for names
    that are unique in the deployment (buckets)."""

    account: str
    region: str
    name: str


@dataclass(frozen=True, slots=True)
class Item(Generic[R]):
    """A stored record. ``parent`` is the name of what it belongs to (the user of an access key)."""

    record: R
    place: Place
    parent: str = ""
    arn: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    created_at: datetime = _NEVER
    changed_at: datetime = _NEVER

    @property
    def name(self) -> str:
        return self.place.name
