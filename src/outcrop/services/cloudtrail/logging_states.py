"""Whether a trail is logging, and what came of its deliveries."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from outcrop.services.call import Call
from outcrop.services.cloudtrail.named import get_trail, get_trail_at_home
from outcrop.services.operation import operation
from outcrop.stores.trail_records import Trail
from outcrop.trail.states import change_state, last_event, read_state


@operation
async def start_logging(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await call.observing.catch_up()
    async with call.stores.resources.writing() as transaction:
        item = await get_trail_at_home(transaction, call, params["Name"])
        if item.record.is_logging:
            return {}
        record = msgspec.structs.replace(item.record, is_logging=True, started_at=call.now)
        await transaction.put(replace(item, record=record))
        state = await read_state(transaction, item.place)
        changes: dict[str, Any] = {"is_stopping": False}
        if not state.is_stopping:
            changes["cursor"] = await last_event(transaction)
        if record.is_validated and not state.is_stopping:
            changes["digested_at"] = call.now.replace(microsecond=0)
        await change_state(transaction, item.place, **changes)
    return {}


@operation
async def stop_logging(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """What happened before is still delivered, this request the last."""
    async with call.stores.resources.writing() as transaction:
        item = await get_trail_at_home(transaction, call, params["Name"])
        if not item.record.is_logging:
            return {}
        record = msgspec.structs.replace(item.record, is_logging=False, stopped_at=call.now)
        await transaction.put(replace(item, record=record))
        await change_state(transaction, item.place, is_stopping=True)
    return {}


@operation
async def get_trail_status(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        item = await get_trail(view, call, params["Name"])
        state = await read_state(view, item.place)
    trail: Trail = item.record
    told: dict[str, Any] = {
        "IsLogging": trail.is_logging,
        "LatestDeliveryError": state.delivery_error or None,
        "LatestNotificationError": state.notification_error or None,
        "LatestDeliveryTime": state.delivered_at,
        "LatestNotificationTime": state.notified_at,
        "StartLoggingTime": trail.started_at,
        "StopLoggingTime": trail.stopped_at,
        "LatestCloudWatchLogsDeliveryError": state.logs_error or None,
        "LatestCloudWatchLogsDeliveryTime": state.logs_delivered_at,
        "LatestDigestDeliveryTime": state.digest_delivered_at,
        "LatestDigestDeliveryError": state.digest_error or None,
        "LatestDeliveryAttemptTime": _text(state.delivery_tried_at),
        "LatestNotificationAttemptTime": _text(state.notification_tried_at),
        "LatestNotificationAttemptSucceeded": _text(state.notified_at),
        "LatestDeliveryAttemptSucceeded": _text(state.delivered_at),
        "TimeLoggingStarted": _text(trail.started_at),
        "TimeLoggingStopped": _text(trail.stopped_at),
    }
    return {name: value for name, value in told.items() if value is not None}


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.strftime("%Y-%m-%dT%H:%M:%SZ")
