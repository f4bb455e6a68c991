"""The attributes of queues, read and set."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from outcrop.queues import messages
from outcrop.queues.attributes import COUNTS, READ_ONLY, SETTABLE, changed, check_changes
from outcrop.queues.faults import unknown_attribute
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sqs.redrives import check_redrive
from outcrop.services.sqs.references import get_own_queue, get_queue, settings_of
from outcrop.stores.tables import to_ms


@operation
async def get_queue_attributes(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    wanted = set[str](params.get("AttributeNames") or ())
    for name in wanted:
        if name not in (*SETTABLE, *READ_ONLY, "All"):
            raise unknown_attribute(name)
    now_ms = to_ms(call.now)
    async with call.stores.resources.reading() as view:
        queue = await get_queue(call, params, view)
        settings = settings_of(queue)
        since_ms = now_ms - 1000 * settings.number("MessageRetentionPeriod")
        counts = await messages.count(view.connection, queue.arn or "", now_ms, since_ms)
    held = {
        "QueueArn": queue.arn or "",
        **dict(zip(COUNTS, map(str, counts), strict=True)),
        "CreatedTimestamp": str(to_ms(queue.created_at) // 1000),
        "LastModifiedTimestamp": str(queue.record.modified_at_s),
        **settings.shown(),
    }
    found = {name: value for name, value in held.items() if name in wanted or "All" in wanted}
    return {"Attributes": found} if found else {}


@operation
async def set_queue_attributes(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    attributes = dict(params["Attributes"])
    async with call.stores.resources.writing() as transaction:
        queue = await get_own_queue(call, params, transaction)
        known = queue.record.attributes
        check_changes(attributes, known)
        merged = changed(known, attributes)
        await check_redrive(transaction, queue.arn or "", attributes, merged)
        record = msgspec.structs.replace(
            queue.record, attributes=merged, modified_at_s=to_ms(call.now) // 1000
        )
        await transaction.put(replace(queue, record=record))
    return {}
