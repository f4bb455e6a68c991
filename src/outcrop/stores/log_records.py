"""Log groups as they are kept, with what belongs to them. Streams and events have tables."""

from typing import ClassVar, Final

import msgspec

from outcrop.stores.resources import Place, Record

TOPIC: Final = "logs"


class LogGroup(Record, frozen=True, kw_only=True, omit_defaults=True):
    """``id`` is what its events are kept under: one made anew under the name has another one, and
    none of the former's events. ``kms_key`` is an ARN."""

    KIND: ClassVar[str] = "logs:group"

    id: int
    retention_days: int | None = None
    kms_key: str | None = None
    is_protected: bool = False


class LogDataKey(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Seals events of the group whose ID is its parent; ``ciphertext`` is KMS's."""

    KIND: ClassVar[str] = "logs:data-key"

    kms_key: str
    ciphertext: bytes


class Transformation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    namespace: str
    value: str
    default: float | None = None
    unit: str | None = None
    dimensions: dict[str, str] = {}


class MetricFilter(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Its parent is the name of its group."""

    KIND: ClassVar[str] = "logs:metric-filter"

    name: str
    pattern: str
    metric: Transformation


class SubscriptionFilter(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Its parent is the name of its group."""

    KIND: ClassVar[str] = "logs:subscription-filter"

    name: str
    pattern: str
    destination: str
    role: str | None = None
    distribution: str = "ByLogStream"


class LogPolicy(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A resource policy of the account, in one region."""

    KIND: ClassVar[str] = "logs:policy"

    document: str
    revision: str


class RemovedEvents(Record, frozen=True, kw_only=True, omit_defaults=True):
    """The events of a group or stream that was deleted, which are still to be removed."""

    KIND: ClassVar[str] = "logs:removed"

    group: int | None = None
    stream: int | None = None


HELD: tuple[type[Record], ...] = (
    *(MetricFilter, SubscriptionFilter, LogDataKey, LogPolicy, LogGroup, RemovedEvents),
)


def group_arn(region: str, account: str, name: str) -> str:
    """Without the ``:*`` that operations of its streams are allowed on."""
    return f"arn:aws:logs:{region}:{account}:log-group:{name}"


def stream_arn(region: str, account: str, group: str, name: str) -> str:
    return f"{group_arn(region, account, group)}:log-stream:{name}"


def filter_place(group: Place, name: str) -> Place:
    """Of a metric or subscription filter: names of groups have no colon."""
    return Place(group.account, group.region, f"{group.name}:{name}")
