"""Messages sent to queues, one or ten at a time. What was answered is on disk."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from outcrop.errors import AWSError, ServiceError
from outcrop.queues import messages
from outcrop.queues.attributes import MAX_MESSAGE_BYTES, Settings
from outcrop.queues.contents import (
    Attribute,
    content_digest,
    md5,
    md5_of,
    read_attributes,
    read_body,
    read_system_attributes,
    read_token,
    size_bytes,
)
from outcrop.queues.faults import invalid_value, missing, not_for_this_queue
from outcrop.queues.messages import Envelope, Outgoing
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sqs.batches import failed, read_entries
from outcrop.services.sqs.references import get_queue, no_such_queue, settings_of
from outcrop.services.sqs.sealing import seal_body
from outcrop.stores.queue_records import Queue
from outcrop.stores.resources import Item, Transaction
from outcrop.stores.tables import now_ms

_MAX_DELAY_S: Final = 900
_NO_DEDUPLICATION: Final = (
    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId "
    "provided explicitly"
)


@operation
async def send_message(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        queue = await get_queue(call, params, view)
    if settings_of(queue).is_fifo and params.get("MessageGroupId") is None:
        raise missing("MessageGroupId")
    message = await _read(call, queue, params)
    (answer,) = await _send(call, queue, [message])
    return answer


@operation
async def send_message_batch(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        queue = await get_queue(call, params, view)
    entries = read_entries(params, "SendMessageBatchRequestEntry")
    _check_batch_size(entries)
    if settings_of(queue).is_fifo:
        # Recorded: these two are told of the request, not of the entry.
        for entry in entries:
            if entry.get("MessageGroupId") is None:
                message = "The request must contain the parameter MessageGroupId."
                raise ServiceError("InvalidParameterValue", message)
            _deduplication_id(settings_of(queue), entry)
    read: list[tuple[str, Outgoing]] = []
    failures: list[dict[str, Any]] = []
    for entry in entries:
        try:
            read.append((entry["Id"], await _read(call, queue, entry)))
        except AWSError as error:
            failures.append(failed(entry, error))
    answers = await _send(call, queue, [message for _, message in read]) if read else []
    sent = [{"Id": id, **answer} for (id, _), answer in zip(read, answers, strict=True)]
    return {"Successful": sent, "Failed": failures}


async def _read(call: Call, queue: Item[Queue], params: Mapping[str, Any]) -> Outgoing:
    settings = settings_of(queue)
    body = read_body(params["MessageBody"])
    attributes = read_attributes(params.get("MessageAttributes"))
    _check_size(body, attributes, settings.number("MaximumMessageSize"))
    group = read_token("MessageGroupId", params.get("MessageGroupId"))
    message_id = str(uuid4())
    sealed, seal = await seal_body(call, queue, message_id, body.encode())
    envelope = Envelope(
        sender=call.caller.principal.id or call.caller.principal.name,
        body_md5=md5(body.encode()),
        attributes=attributes,
        system=read_system_attributes(params.get("MessageSystemAttributes")),
        seal=seal,
    )
    return Outgoing(
        message_id=message_id,
        body=sealed,
        envelope=envelope,
        delay_s=_delay(settings, params.get("DelaySeconds")),
        group=group or "",
        deduplication_id=_deduplication_id(settings, params),
    )


def _check_size(body: str, attributes: Mapping[str, Attribute], most: int) -> None:
    if size_bytes(body, attributes) > most:
        raise ServiceError(
            "InvalidParameterValue",
            "One or more parameters are invalid. Reason: Message must be shorter than "
            f"{most} bytes.",
        )


def _check_batch_size(entries: Any) -> None:
    # Attributes with faults are told of by their entries.
    size = sum(len((entry["MessageBody"] or "").encode()) for entry in entries)
    if size > MAX_MESSAGE_BYTES:
        raise ServiceError(
            "BatchRequestTooLong",
            f"Batch requests cannot be longer than {MAX_MESSAGE_BYTES} bytes. You have sent {size} "
            "bytes.",
        )


def _delay(settings: Settings, given: int | None) -> int:
    if given is None:
        return settings.number("DelaySeconds")
    if not 0 <= given <= _MAX_DELAY_S:
        reason = f"DelaySeconds must be >= 0 and <= {_MAX_DELAY_S}."
        raise invalid_value("DelaySeconds", given, reason)
    if settings.is_fifo and given:
        raise not_for_this_queue("DelaySeconds", given)
    return given


def _deduplication_id(settings: Settings, params: Mapping[str, Any]) -> str:
    given = params.get("MessageDeduplicationId")
    if not settings.is_fifo:
        if given is not None:
            raise not_for_this_queue("MessageDeduplicationId", given)
        return ""
    token = read_token("MessageDeduplicationId", given)
    if token is not None:
        return token
    if not settings.deduplicates_by_content:
        raise ServiceError("InvalidParameterValue", _NO_DEDUPLICATION)
    return content_digest(params["MessageBody"])


async def _send(call: Call, queue: Item[Queue], outgoing: list[Outgoing]) -> list[dict[str, Any]]:
    async with call.stores.resources.writing() as transaction:
        if await transaction.find(Queue, queue.place) is None:
            raise no_such_queue(call)
        answers = [await _send_one(transaction, queue, message) for message in outgoing]
    call.observing.queues.wake(queue.arn or "")
    return answers


async def _send_one(
    transaction: Transaction, queue: Item[Queue], message: Outgoing
) -> dict[str, Any]:
    settings, arn, now = settings_of(queue), queue.arn or "", now_ms()
    connection, known = transaction.connection, None
    if settings.is_fifo:
        group = message.group if settings.deduplicates_by_group else None
        known = await messages.find_sent(connection, arn, message.deduplication_id, group, now)
    if known is not None:
        return _sent(known.message_id, known.envelope, known.seq)
    seq = await messages.add(connection, arn, message, now)
    return _sent(message.message_id, message.envelope, seq if settings.is_fifo else None)


def _sent(message_id: str, envelope: Envelope, seq: int | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"MessageId": message_id, "MD5OfMessageBody": envelope.body_md5}
    if envelope.attributes:
        answer["MD5OfMessageAttributes"] = md5_of(envelope.attributes)
    if envelope.system:
        answer["MD5OfMessageSystemAttributes"] = md5_of(envelope.system)
    if seq is not None:
        answer["SequenceNumber"] = messages.sequence_number(seq)
    return answer
