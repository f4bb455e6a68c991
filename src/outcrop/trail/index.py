"""The event history: every record of the journal that has an event, as a row to be looked up.

``TrailIndex`` writes with the journal's cursor, so each event is there once; ``TrailRetention``
removes what is too old.
"""

import logging
from collections.abc import Callable, Container, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec
import sqlalchemy as sa

from outcrop.journal.records import CallRecord
from outcrop.stores.bulk import insert_rows
from outcrop.stores.periodic import Periodic
from outcrop.stores.resources import Resources, Transaction
from outcrop.stores.tables import now_ms, trail_events
from outcrop.trail.named_resources import looked_up_by
from outcrop.trail.user_identity import abridged

log = logging.getLogger(__name__)

_PRUNE_EVERY_S: Final = 3600.0
_PRUNED_AT_ONCE: Final = 5000
_SHORTEST: Final = timedelta(days=2)
"""What a bucket refuses is tried again for a day, and read from here again for it."""
_SHARED: Final = UUID("6f0c3c0e-3c2b-4f0c-9d7e-0f5c1a7b9a11")
"""Under which the IDs of other accounts' copies of events are made."""

_SHARED_MARK: Final = b'"sharedEventID":'

_COLUMNS: Final = (
    *("account", "region", "at_ms", "event_id", "event_name", "event_source", "username"),
    *("access_key_id", "read_only", "is_data", "resources", "body"),
)

Event = dict[str, Any]


class TrailIndex:
    """A sink of the journal."""

    async def take(self, records: Sequence[CallRecord], transaction: Transaction) -> None:
        rows = [row for record in records if record.trail for row in rows_of(record)]
        values = [tuple(row.values()) for row in rows]
        await insert_rows(transaction.connection, trail_events, _COLUMNS, values)

    def taken(self) -> None:
        pass


def rows_of(record: CallRecord) -> list[dict[str, Any]]:
    """One, and one more for each other account whose resource was used."""
    event = _decoded(record.trail)
    if event is None:
        return []
    rows = [_row(record, event, record.trail)]
    if "sharedEventID" in event and "errorCode" not in event:
        for account in _others(event):
            copy = _copy_for(account, event)
            rows.append(_row(record, copy, msgspec.json.encode(copy)))
    return rows


def bodies_of(record: CallRecord, accounts: Container[str]) -> list[bytes]:
    """The events of a record that these accounts get, as JSON."""
    if _SHARED_MARK in record.trail:
        return [row["body"] for row in rows_of(record) if row["account"] in accounts]
    return [record.trail] if record.trail and record.account in accounts else []


def _decoded(trail: bytes) -> Event | None:
    try:
        return msgspec.json.decode(trail, type=dict[str, Any])
    except msgspec.MsgspecError:
        log.exception("an event of the journal cannot be read; it is passed over")
        return None


def _row(record: CallRecord, event: Event, body: bytes) -> dict[str, Any]:
    """By ``_COLUMNS``, in their order."""
    identity = event["userIdentity"]
    service = event["eventSource"].partition(".")[0]
    return {
        "account": event["recipientAccountId"],
        "region": event["awsRegion"],
        "at_ms": record.began_ms,
        "event_id": event["eventID"],
        "event_name": event["eventName"],
        "event_source": event["eventSource"],
        "username": _username(identity),
        "access_key_id": identity.get("accessKeyId") or identity.get("credentialId") or "",
        "read_only": event["readOnly"],
        "is_data": event["eventCategory"] != "Management",
        "resources": msgspec.json.encode(looked_up_by(service, event)),
        "body": body,
    }


def _username(identity: Event) -> str:
    """Of a role, the session's name."""
    match identity["type"]:
        case "Root":
            return "root"
        case "IAMUser":
            return identity["userName"]
        case "AssumedRole" | "FederatedUser":
            return identity["arn"].rpartition("/")[2]
        case "AWSService":
            return identity["invokedBy"].partition(".")[0]
        case _:
            return ""


def _others(event: Event) -> list[str]:
    found = (each.get("accountId") for each in event.get("resources", ()))
    return sorted({each for each in found if each and each != event["recipientAccountId"]})


def _copy_for(account: str, event: Event) -> Event:
    return event | {
        "userIdentity": abridged(event["userIdentity"]),
        "eventID": str(uuid5(_SHARED, event["eventID"] + account)),
        "recipientAccountId": account,
    }


class TrailRetention:
    """Removes events older than ``days``, every hour and some at a time."""

    def __init__(
        self,
        resources: Resources,
        days: int,
        clock: Callable[[], int] = now_ms,
        every_s: float = _PRUNE_EVERY_S,
    ) -> None:
        self._resources = resources
        self._kept = max(timedelta(days=days), _SHORTEST)
        self._clock = clock
        self._periodic = Periodic("Removing old events of the trail", self.prune, every_s)

    def start(self) -> None:
        self._periodic.start()

    async def close(self) -> None:
        await self._periodic.close()

    async def prune(self) -> int:
        """How many were removed."""
        before = self._clock() - round(self._kept.total_seconds() * 1000)
        removed = 0
        while not self._periodic.is_closing:
            old = (
                sa.select(trail_events.c.seq)
                .where(trail_events.c.at_ms < before)
                .limit(_PRUNED_AT_ONCE)
            )
            async with self._resources.writing() as transaction:
                done = await transaction.connection.execute(
                    sa.delete(trail_events).where(trail_events.c.seq.in_(old))
                )
            removed += done.rowcount
            if done.rowcount < _PRUNED_AT_ONCE:
                break
        return removed
