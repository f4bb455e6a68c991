"""Messages received: at once, or as soon as there is one within the time to wait."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from outcrop.errors import AWSError, ServiceError
from outcrop.queues import messages, receipts
from outcrop.queues.attributes import READ_ONLY, SETTABLE
from outcrop.queues.contents import md5_of, select
from outcrop.queues.faults import in_bounds, invalid_value, not_for_this_queue, unknown_attribute
from outcrop.queues.hub import LOOK_S
from outcrop.queues.messages import Received, Taking
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sqs.references import find_queue, get_queue, settings_of
from outcrop.services.sqs.sealing import open_body
from outcrop.stores.queue_records import Queue
from outcrop.stores.resources import Item, View
from outcrop.stores.tables import now_ms

_MAX_WAIT_S: Final = 20
_MAX_MESSAGES: Final = 10
_MAX_VISIBILITY_S: Final = 43200
_ATTRIBUTES: Final = frozenset(
    {
        *("All", "SenderId", "SentTimestamp", "ApproximateReceiveCount"),
        *("ApproximateFirstReceiveTimestamp", "SequenceNumber", "MessageDeduplicationId"),
        *("MessageGroupId", "AWSTraceHeader", "DeadLetterQueueSourceArn"),
        # The older of the two parameters takes the names of a queue's attributes, too.
        *(*SETTABLE, *READ_ONLY),
    }
)


@operation
async def receive_message(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _check(params)
    async with call.stores.resources.reading() as view:
        queue = await get_queue(call, params, view)
    _refuse_attempt_id(queue, params.get("ReceiveRequestAttemptId"))
    wait_s = params.get("WaitTimeSeconds")
    if wait_s is None:
        wait_s = settings_of(queue).number("ReceiveMessageWaitTimeSeconds")
    received = await _wait_for_some(call, queue, params, wait_s)
    try:
        shown = [await _shown(call, queue, params, one) for one in received]
    except AWSError:
        async with call.stores.resources.writing() as transaction:
            arn = queue.arn or ""
            await messages.give_back(transaction.connection, arn, received, now_ms())
        raise
    return {"Messages": shown} if shown else {}


async def _wait_for_some(
    call: Call, queue: Item[Queue], params: Mapping[str, Any], wait_s: int
) -> list[Received]:
    hub, arn = call.observing.queues, queue.arn or ""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + wait_s
    received = await _take(call, params)
    if received or wait_s == 0:
        return received
    event = hub.enter(arn)
    try:
        while not received and not hub.is_closing and (left_s := until_s - loop.time()) > 0:
            look_s = await _look_in_s(call, arn) if hub.is_first(arn, event) else left_s
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, look_s)):
                    await event.wait()
            event.clear()
            received = await _take(call, params)
    finally:
        hub.leave(arn, event)
    return received


async def _take(call: Call, params: Mapping[str, Any]) -> list[Received]:
    """The queue is read anew: a wait may outlive it, or a change of its attributes."""
    async with call.stores.resources.reading() as view:
        taking = await _taking(call, params, view)
        if not await messages.has_visible(view.connection, taking):
            return []
    async with call.stores.resources.writing() as transaction:
        taking = await _taking(call, params, transaction)
        received, has_moved = await messages.take(transaction.connection, taking)
    if has_moved and taking.dead_letters is not None:
        call.observing.queues.wake(taking.dead_letters)
    return received


async def _taking(call: Call, params: Mapping[str, Any], view: View) -> Taking:
    queue = await get_queue(call, params, view)
    settings, now = settings_of(queue), now_ms()
    visibility_s = params.get("VisibilityTimeout")
    if visibility_s is None:
        visibility_s = settings.number("VisibilityTimeout")
    taking = Taking(
        queue=queue.arn or "",
        most=params.get("MaxNumberOfMessages") or 1,
        now_ms=now,
        visibility_ms=1000 * visibility_s,
        since_ms=now - 1000 * settings.number("MessageRetentionPeriod"),
        is_fifo=settings.is_fifo,
    )
    redrive = settings.redrive
    # Without its dead-letter queue a message stays where it is.
    if redrive is None or await find_queue(view, redrive.target) is None:
        return taking
    return replace(taking, dead_letters=redrive.target, max_receives=redrive.max_receives)


async def _look_in_s(call: Call, arn: str) -> float:
    now = now_ms()
    async with call.stores.resources.reading() as view:
        next_ms = await messages.find_next_visible_ms(view.connection, arn, now)
    return LOOK_S if next_ms is None else min(LOOK_S, max(0.001, (next_ms - now) / 1000))


async def _shown(
    call: Call, queue: Item[Queue], params: Mapping[str, Any], message: Received
) -> dict[str, Any]:
    envelope = message.envelope
    body = await open_body(call, queue, message.message_id, message.body, envelope.seal)
    shown: dict[str, Any] = {
        "MessageId": message.message_id,
        "ReceiptHandle": receipts.render(queue.arn or "", message.receipt),
        "MD5OfBody": envelope.body_md5,
        "Body": body.decode(),
    }
    wanted = _wanted(params)
    system = _system(queue, message)
    asked = {name: value for name, value in system.items() if name in wanted or "All" in wanted}
    if asked:
        shown["Attributes"] = asked
    attributes = select(envelope.attributes, params.get("MessageAttributeNames") or ())
    if attributes:
        shown["MessageAttributes"] = {name: one.shown() for name, one in attributes.items()}
        shown["MD5OfMessageAttributes"] = md5_of(attributes)
    return shown


def _wanted(params: Mapping[str, Any]) -> set[str]:
    return {
        *(params.get("AttributeNames") or ()),
        *(params.get("MessageSystemAttributeNames") or ()),
    }


def _system(queue: Item[Queue], message: Received) -> dict[str, str]:
    held = {
        "SenderId": message.envelope.sender,
        "SentTimestamp": str(message.sent_at_ms),
        "ApproximateReceiveCount": str(message.receives),
        "ApproximateFirstReceiveTimestamp": str(message.first_received_ms),
        "MessageGroupId": message.group,
        "MessageDeduplicationId": message.deduplication_id,
        "DeadLetterQueueSourceArn": message.source,
    }
    held |= {name: one.text or "" for name, one in message.envelope.system.items()}
    if settings_of(queue).is_fifo:
        held["SequenceNumber"] = messages.sequence_number(message.receipt.seq)
    return {name: value for name, value in held.items() if value}


def _refuse_attempt_id(queue: Item[Queue], given: str | None) -> None:
    if given is None:
        return
    if not settings_of(queue).is_fifo:
        raise not_for_this_queue("ReceiveRequestAttemptId", given)
    raise ServiceError(
        "UnsupportedOperation",
        "Outcrop does not have ReceiveRequestAttemptId. Leave it out: what a lost answer held is "
        "visible again after its visibility timeout.",
    )


def _check(params: Mapping[str, Any]) -> None:
    most = params.get("MaxNumberOfMessages")
    if most is not None and not 1 <= most <= _MAX_MESSAGES:
        reason = f"Must be between 1 and {_MAX_MESSAGES}, if provided."
        raise invalid_value("MaxNumberOfMessages", most, reason)
    in_bounds("WaitTimeSeconds", params.get("WaitTimeSeconds"), 0, _MAX_WAIT_S)
    in_bounds("VisibilityTimeout", params.get("VisibilityTimeout"), 0, _MAX_VISIBILITY_S)
    for name in sorted(_wanted(params) - _ATTRIBUTES):
        raise unknown_attribute(name)
