"""Trails, how far each has got, and the key that signs digests. The topic is ``cloudtrail``."""

from datetime import datetime
from typing import ClassVar, Literal

import msgspec

from outcrop.stores.resources import Place, Record

TOPIC = "cloudtrail"

ReadWrite = Literal["All", "ReadOnly", "WriteOnly"]


class Selector(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``objects`` are how the ARNs of S3 objects begin whose data events are wanted; ``excluded``
    the sources of management events that are not."""

    read_write: ReadWrite = "All"
    management: bool = True
    objects: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


class Trail(Record, frozen=True, kw_only=True, omit_defaults=True):
    """It lies in its home region. ``log_group`` is the ARN as CloudTrail has it, ending in ``:*``;
    None for ``selectors`` are those that every trail begins with."""

    KIND: ClassVar[str] = "cloudtrail:trail"
    bucket: str
    prefix: str = ""
    topic_arn: str | None = None
    global_events: bool = True
    is_multi_region: bool = False
    is_validated: bool = False
    log_group: str | None = None
    log_role: str | None = None
    kms_key: str | None = None
    selectors: tuple[Selector, ...] | None = None
    is_logging: bool = False
    started_at: datetime | None = None
    stopped_at: datetime | None = None

    @property
    def effective_selectors(self) -> tuple[Selector, ...]:
        return (Selector(),) if self.selectors is None else self.selectors


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """The last digest of a region, which the next one points to."""

    bucket: str
    key: str
    sha256: str
    signature: str


class TrailState(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Of the trail at the same place. ``cursor`` is the last event that was looked at.
    ``is_stopping``: what happened until it was stopped is still to be delivered. ``digested_at`` is
    when the last digests end, None where none are made. Errors are empty after a success."""

    KIND: ClassVar[str] = "cloudtrail:state"
    cursor: int = 0
    is_stopping: bool = False
    digested_at: datetime | None = None
    links: dict[str, Link] = msgspec.field(default_factory=dict[str, Link])
    delivered_at: datetime | None = None
    delivery_tried_at: datetime | None = None
    delivery_error: str = ""
    digest_delivered_at: datetime | None = None
    digest_error: str = ""
    notified_at: datetime | None = None
    notification_tried_at: datetime | None = None
    notification_error: str = ""
    logs_delivered_at: datetime | None = None
    logs_error: str = ""


class LogFile(Record, frozen=True, kw_only=True):
    """A delivered file that no digest has yet. Its place is of the file's region; its parent is the
    trail's ARN."""

    KIND: ClassVar[str] = "cloudtrail:file"
    bucket: str
    key: str
    sha256: str
    oldest_at: datetime
    newest_at: datetime


class SigningKey(Record, frozen=True, kw_only=True):
    """Of the deployment. ``private`` is sealed PKCS #8, ``public`` PKCS #1, both DER; its name is
    the fingerprint of ``public``."""

    KIND: ClassVar[str] = "cloudtrail:signing-key"
    private: bytes
    public: bytes
    starts_at: datetime
    ends_at: datetime


HELD: tuple[type[Record], ...] = (LogFile, TrailState, Trail)
"""What an account has of them."""


def trail_arn(region: str, account: str, name: str) -> str:
    return f"arn:aws:cloudtrail:{region}:{account}:trail/{name}"


def signing_key_place(fingerprint: str) -> Place:
    return Place("", "", fingerprint)
