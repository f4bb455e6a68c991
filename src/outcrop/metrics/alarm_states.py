"""Changes of alarms: written with their history, and with what is to be done about them, in one
transaction. So no change goes untold, whatever dies in between.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa

from outcrop.jobs.queue import submit
from outcrop.metrics.alarm_messages import (
    AlarmEvent,
    alarm_event,
    render_time,
    topic_message,
    topic_subject,
)
from outcrop.stores.alarm_records import Alarm, State
from outcrop.stores.resources import Item, Transaction
from outcrop.stores.tables import alarm_history, to_ms

ACTION: Final = "alarm-action"
"""The kind of jobs that publish to a topic. Its subject is the alarm's ARN."""

HistoryType = Literal["ConfigurationUpdate", "StateUpdate", "Action"]

_ACTIONS: Final[Mapping[State, str]] = {
    "OK": "OKActions",
    "ALARM": "AlarmActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}

Announce = Callable[[Transaction, AlarmEvent], Awaitable[None]]
"""Gives an event to the account's default bus, in the transaction."""
RegionName = Callable[[str], str]
"""What people call a region (``us-east-1`` is "US East (N. Virginia)")."""


@dataclass(frozen=True, slots=True)
class Telling:
    """How changes are told."""

    announce: Announce
    region_name: RegionName


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason_data`` is JSON, empty where there is none."""

    state: State
    reason: str
    reason_data: str = ""


async def change_state(
    transaction: Transaction, alarm: Item[Alarm], verdict: Verdict, now: datetime, telling: Telling
) -> Item[Alarm]:
    """Nobody is told of a state that is the one before."""
    former = alarm.record
    is_other = verdict.state != former.state
    record = msgspec.structs.replace(
        former,
        state=verdict.state,
        reason=verdict.reason,
        reason_data=verdict.reason_data,
        state_at=now,
        transitioned_at=now if is_other else former.transitioned_at,
    )
    changed = await transaction.put(replace(alarm, record=record))
    if not is_other:
        return changed
    summary = f"Alarm updated from {former.state} to {record.state}"
    data = {
        "version": "1.0",
        "oldState": _history_state(former),
        "newState": _history_state(record),
    }
    await write_history(transaction, alarm, now, "StateUpdate", summary, data)
    if record.is_enabled:
        for topic in record.settings.get(_ACTIONS[record.state], ()):
            payload = {
                "topic": topic,
                "subject": topic_subject(changed, telling.region_name(alarm.place.region)),
                "message": topic_message(changed, former, telling.region_name(alarm.place.region)),
            }
            await submit(transaction, ACTION, alarm.arn or alarm.name, payload)
    await telling.announce(transaction, alarm_event(changed, former))
    return changed


async def write_history(
    transaction: Transaction,
    alarm: Item[Alarm],
    now: datetime,
    type: HistoryType,
    summary: str,
    data: Mapping[str, Any],
) -> None:
    row = {
        "account": alarm.place.account,
        "region": alarm.place.region,
        "alarm": alarm.name,
        "at_ms": to_ms(now),
        "type": type,
        "summary": summary[:255],
        "data": msgspec.json.encode({"type": type, **data}),
    }
    await transaction.connection.execute(sa.insert(alarm_history).values(row))


def _history_state(record: Alarm) -> dict[str, Any]:
    state: dict[str, Any] = {"stateValue": record.state, "stateReason": record.reason}
    if record.reason_data:
        state["stateReasonData"] = msgspec.Raw(record.reason_data.encode())
    return {**state, "stateUpdatedTimestamp": render_time(record.state_at)}
