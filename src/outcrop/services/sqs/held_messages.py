"""What the receiver of a message does with it: delete it, or change how long it is held."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from outcrop.errors import AWSError, ServiceError
from outcrop.queues import messages, receipts
from outcrop.queues.faults import in_bounds, invalid_value
from outcrop.queues.messages import MessageGone, NotInFlight
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sqs.batches import failed, read_entries
from outcrop.services.sqs.references import get_queue, settings_of
from outcrop.stores.queue_records import Queue
from outcrop.stores.resources import Item, Transaction
from outcrop.stores.tables import now_ms

_MAX_VISIBILITY_S: Final = 43200

_Change = Callable[[Transaction, Item[Queue], Mapping[str, Any]], Awaitable[None]]


@operation
async def delete_message(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _change_one(call, params, _delete)


@operation
async def delete_message_batch(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _change_each(call, params, _delete, "DeleteMessageBatchRequestEntry")


@operation
async def change_message_visibility(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _change_one(call, params, _change_visibility)


@operation
async def change_message_visibility_batch(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    noun = "ChangeMessageVisibilityBatchRequestEntry"
    return await _change_each(call, params, _change_visibility, noun)


async def _change_one(call: Call, params: Mapping[str, Any], change: _Change) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        queue = await get_queue(call, params, transaction)
        await change(transaction, queue, params)
    call.observing.queues.wake(queue.arn or "")
    return {}


async def _change_each(
    call: Call, params: Mapping[str, Any], change: _Change, noun: str
) -> dict[str, Any]:
    done: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    async with call.stores.resources.writing() as transaction:
        queue = await get_queue(call, params, transaction)
        for entry in read_entries(params, noun):
            try:
                await change(transaction, queue, entry)
                done.append({"Id": entry["Id"]})
            except AWSError as error:
                failures.append(failed(entry, error))
    call.observing.queues.wake(queue.arn or "")
    return {"Successful": done, "Failed": failures}


async def _delete(transaction: Transaction, queue: Item[Queue], params: Mapping[str, Any]) -> None:
    handle, arn = params["ReceiptHandle"], queue.arn or ""
    receipt = receipts.parse(arn, handle)
    is_fifo = settings_of(queue).is_fifo
    try:
        await messages.delete(transaction.connection, arn, receipt, now_ms(), is_fifo=is_fifo)
    except NotInFlight as error:
        reason = "The receipt handle has expired."
        raise invalid_value("ReceiptHandle", handle, reason) from error


async def _change_visibility(
    transaction: Transaction, queue: Item[Queue], params: Mapping[str, Any]
) -> None:
    handle, arn = params["ReceiptHandle"], queue.arn or ""
    timeout_s = params.get("VisibilityTimeout")
    if timeout_s is None:
        timeout_s = settings_of(queue).number("VisibilityTimeout")
    in_bounds("VisibilityTimeout", timeout_s, 0, _MAX_VISIBILITY_S)
    receipt = receipts.parse(arn, handle)
    try:
        await messages.change_visibility(transaction.connection, arn, receipt, now_ms(), timeout_s)
    except MessageGone as error:
        reason = "Message does not exist or is not available for visibility timeout change."
        raise invalid_value("ReceiptHandle", handle, reason) from error
    except NotInFlight as error:
        raise ServiceError(
            "MessageNotInflight", "The message referred to isn't in flight."
        ) from error
