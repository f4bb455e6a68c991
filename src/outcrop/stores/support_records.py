"""Support: plans of accounts, cases, what was written about them, and files. The topic is
``support``; none of it belongs to a region."""

from datetime import datetime
from typing import ClassVar, Final, Literal

import msgspec

from outcrop.stores.resources import Record

TOPIC: Final = "support"

Plan = Literal["developer", "business", "enterprise"]
Severity = Literal["low", "normal", "high", "urgent", "critical"]
IssueType = Literal["customer-service", "technical"]
Status = Literal[
    "unassigned",
    "opened",
    "work-in-progress",
    "pending-customer-action",
    "customer-action-completed",
    "reopened",
    "resolved",
]

SERVICE_LIMITS: Final = "service-limit-increase"
"""The service code of cases about quotas: they are opened for a request of Service Quotas."""


class SupportPlan(Record, frozen=True, kw_only=True):
    """``Place(account, "", "plan")``. An account without this record has no plan."""

    KIND: ClassVar[str] = "support:plan"

    plan: Plan


class SupportCase(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Named by its case ID; ``display_id`` is what people call it. ``communications`` counts what
    was written."""

    KIND: ClassVar[str] = "support:case"

    display_id: str
    subject: str
    service: str
    category: str
    severity: Severity
    issue_type: IssueType
    language: str
    submitted_by: str
    status: Status = "unassigned"
    cc: tuple[str, ...] = ()
    communications: int = 0


class AttachedFile(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` names the ``SupportFile`` that holds it."""

    id: str
    file_name: str


class SupportCommunication(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Its parent is the case ID; its name ends in its number, so that names are in order."""

    KIND: ClassVar[str] = "support:communication"

    body: str
    submitted_by: str
    files: tuple[AttachedFile, ...] = ()


class AttachmentSet(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Files that are uploaded and wait for the case or communication they go with."""

    KIND: ClassVar[str] = "support:attachment-set"

    expires_at: datetime
    files: tuple[AttachedFile, ...] = ()


class SupportFile(Record, frozen=True, kw_only=True):
    """Named by its attachment ID."""

    KIND: ClassVar[str] = "support:file"

    file_name: str
    data: bytes


HELD: Final[tuple[type[Record], ...]] = (
    SupportPlan,
    SupportCase,
    SupportCommunication,
    AttachmentSet,
    SupportFile,
)
"""What an account holds of it."""
