"""Queues: created, found, listed, purged, deleted."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from outcrop.errors import ServiceError
from outcrop.queues import messages
from outcrop.queues.attributes import Settings, changed, check_name, check_new
from outcrop.queues.faults import in_bounds, invalid_value
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sqs.redrives import check_redrive
from outcrop.services.sqs.references import (
    get_own_queue,
    get_queue,
    get_queue_at,
    queue_url,
    settings_of,
)
from outcrop.services.sqs.tags import check_tags
from outcrop.stores.queue_records import Queue, queue_arn
from outcrop.stores.resources import Item, Place
from outcrop.stores.tables import to_ms
from outcrop.wire.paging import page

_MAX_LISTED: Final = 1000
_PURGE_MS: Final = 60_000
_ACCOUNT: Final = re.compile(r"[0-9]{12}", re.ASCII)


@operation
async def create_queue(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name, attributes = params["QueueName"], dict(params.get("Attributes") or {})
    check_name(name, attributes)
    check_new(attributes)
    tags = check_tags(params.get("tags") or {})
    place = Place(call.account, call.region, name)
    async with call.stores.resources.writing() as transaction:
        known = await transaction.find(Queue, place)
        if known is not None:
            _require_same(known, attributes)
            return {"QueueUrl": queue_url(call, place)}
        arn = queue_arn(call.region, call.account, name)
        await check_redrive(transaction, arn, attributes, attributes)
        record = Queue(attributes=changed({}, attributes), modified_at_s=to_ms(call.now) // 1000)
        await transaction.add(record, place, arn=arn, tags=tags)
    return {"QueueUrl": queue_url(call, place)}


@operation
async def get_queue_url(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    owner = params.get("QueueOwnerAWSAccountId") or call.account
    if not _ACCOUNT.fullmatch(owner):
        raise invalid_value("QueueOwnerAWSAccountId", owner, "An account has 12 digits.")
    place = Place(owner, call.region, params["QueueName"])
    async with call.stores.resources.reading() as view:
        await get_queue_at(call, place, view)
    return {"QueueUrl": queue_url(call, place)}


@operation
async def list_queues(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    in_bounds("MaxResults", params.get("MaxResults"), 1, _MAX_LISTED)
    prefix = params.get("QueueNamePrefix") or ""
    async with call.stores.resources.reading() as view:
        queues = await view.list(Queue, account=call.account, region=call.region)
    return _urls(call, params, [one for one in queues if one.name.startswith(prefix)])


@operation
async def list_dead_letter_source_queues(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    in_bounds("MaxResults", params.get("MaxResults"), 1, _MAX_LISTED)
    async with call.stores.resources.reading() as view:
        target = await get_queue(call, params, view)
        queues = await view.list(Queue, account=target.place.account, region=call.region)
    sources = [one for one in queues if _sends_dead_letters_to(one, target.arn or "")]
    return {"queueUrls": [], **_urls(call, params, sources)}


@operation
async def delete_queue(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        queue = await get_own_queue(call, params, transaction)
        await transaction.remove(Queue, queue.place)
        await messages.forget(transaction.connection, queue.arn or "")
    # Whoever waits is told that it is gone.
    call.observing.queues.wake(queue.arn or "")
    return {}


@operation
async def purge_queue(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    now_ms = to_ms(call.now)
    async with call.stores.resources.writing() as transaction:
        queue = await get_queue(call, params, transaction)
        if queue.record.purged_at_ms > now_ms - _PURGE_MS:
            raise ServiceError(
                "PurgeQueueInProgress",
                f"Only one PurgeQueue operation on {queue.name} is allowed every 60 seconds.",
            )
        record = msgspec.structs.replace(queue.record, purged_at_ms=now_ms)
        await transaction.put(replace(queue, record=record))
        await messages.forget(transaction.connection, queue.arn or "")
    return {}


def _require_same(known: Item[Queue], attributes: Mapping[str, str]) -> None:
    """The same request again finds its queue; what it leaves out may be anything."""
    held = Settings(known.record.attributes).shown()
    for name, value in changed({}, attributes).items():
        if held.get(name) != value:
            raise ServiceError(
                "QueueNameExists",
                "A queue already exists with the same name and a different value for attribute "
                f"{name}",
            )
    for name in ("FifoQueue",):
        if name in held and name not in attributes:
            raise ServiceError(
                "QueueNameExists",
                "A queue already exists with the same name and a different value for attribute "
                f"{name}",
            )


def _urls(call: Call, params: Mapping[str, Any], queues: list[Item[Queue]]) -> dict[str, Any]:
    answer = page(
        call.operation, params, [queue_url(call, queue.place) for queue in queues], _MAX_LISTED
    )
    return {name: value for name, value in answer.items() if value}


def _sends_dead_letters_to(queue: Item[Queue], target: str) -> bool:
    redrive = settings_of(queue).redrive
    return redrive is not None and redrive.target == target
