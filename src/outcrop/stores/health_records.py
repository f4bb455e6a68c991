"""What went wrong with the service, and when it was well again. The topic is ``health``."""

from datetime import datetime
from typing import ClassVar, Literal

from outcrop.stores.resources import Record

TOPIC = "health"


class HealthEventRecord(Record, frozen=True, kw_only=True):
    """An operational issue of a service, for every account. Its place is of its region; its name
    ends the ARN. ``source`` is what it is about (``engine:smollm2``), ``entities`` whom it hits:
    model IDs, or names of what does not work."""

    KIND: ClassVar[str] = "health:event"
    service: str
    code: str
    source: str
    description: str
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None
    zone: str | None = None
    category: Literal["issue", "scheduledChange", "accountNotification"] = "issue"
    entities: tuple[str, ...] = ()

    @property
    def status(self) -> Literal["open", "closed"]:
        return "open" if self.ended_at is None else "closed"


ISSUE_CODES = {
    "BEDROCK": "AWS_BEDROCK_OPERATIONAL_ISSUE",
    "S3": "AWS_S3_OPERATIONAL_ISSUE",
}
"""By service, as AWS Health names the type of such events."""
