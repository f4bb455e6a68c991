"""What accounts have of their quotas beyond the defaults, and what they asked for.

The topic of both is ``quotas``. A value is decided by an operator; a request only asks.
"""

from typing import ClassVar, Final, Literal

from outcrop.stores.resources import Record

TOPIC: Final = "quotas"

RequestStatus = Literal[
    "PENDING", "CASE_OPENED", "APPROVED", "DENIED", "CASE_CLOSED", "NOT_APPROVED"
]
OPEN: Final[frozenset[RequestStatus]] = frozenset(("PENDING", "CASE_OPENED"))


class QuotaValue(Record, frozen=True, kw_only=True, omit_defaults=True):
    """``Place(account, region, key)``, the key being the quota's in the book. ``request`` is the
    ID of the request it was approved for; it has none where an operator set it by hand."""

    KIND: ClassVar[str] = "quotas:value"

    value: float
    request: str | None = None


class QuotaRequest(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Named by its ID. ``code`` and ``name`` are the quota's when it was asked for; ``granted`` is
    what an operator approved, which may be less than ``desired``; ``requester`` the ARN of who
    asked; ``reason`` why it was denied; ``case`` the support case about it, if there is one."""

    KIND: ClassVar[str] = "quotas:request"

    key: str
    code: str
    name: str
    desired: float
    requester: str
    status: RequestStatus = "PENDING"
    granted: float | None = None
    reason: str | None = None
    case: str | None = None
    unit: str = "None"
