"""Subscriptions: made, left, listed. One is pending until its endpoint confirms."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import msgspec

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sns.deliveries import submit_delivery
from outcrop.services.sns.endpoints import check_endpoint, shown
from outcrop.services.sns.requests import (
    Params,
    get_topic,
    invalid,
    is_anonymous,
    list_subscriptions_of,
    not_authorized,
    require_arn,
)
from outcrop.services.sns.subscription_settings import with_all
from outcrop.stores.resources import Item, Place, Transaction
from outcrop.stores.topic_records import Subscription, Topic, topic_of
from outcrop.topics.arns import read_queue_arn
from outcrop.topics.messages import Delivery, Kind, Message, encode_message
from outcrop.wire.paging import page

TOKEN_VALID: Final = timedelta(days=3)
PENDING: Final = "PendingConfirmation"
_PAGE: Final = 100
_TOKEN_BYTES: Final = 128
"""Random ones, after the 16 of the subscription's ID."""


@operation
async def subscribe(call: Call, params: Params) -> dict[str, Any]:
    topic_arn, attributes = params["TopicArn"], params.get("Attributes", {})
    require_arn(topic_arn, "TopicArn")
    endpoint = params.get("Endpoint", "")
    protocol = check_endpoint(call, params["Protocol"], endpoint)
    plain = Subscription(
        protocol=protocol, endpoint=endpoint, state="pending", principal=call.caller.arn
    )
    wanted = with_all(plain, attributes, topic_arn)
    async with call.stores.resources.writing() as transaction:
        topic = await get_topic(transaction, call, topic_arn)
        held = await _held(transaction, topic, wanted, call.now)
        if held is None:
            item = await _make(transaction, call, topic, wanted)
        else:
            if with_all(held.record, attributes, topic_arn) != held.record:
                raise invalid(
                    "Attributes Reason: Subscription already exists with different attributes"
                )
            item = held
        if item.record.state == "pending":
            await ask_to_confirm(transaction, item, topic.arn or "", call.now)
    is_known = item.record.state == "confirmed" or params.get("ReturnSubscriptionArn")
    return {"SubscriptionArn": item.arn if is_known else "pending confirmation"}


@operation
async def unsubscribe(call: Call, params: Params) -> dict[str, Any]:
    """By its link, without a signature, anyone whom the message reached may."""
    arn = params["SubscriptionArn"]
    require_arn(arn, "SubscriptionArn")
    async with call.stores.resources.writing() as transaction:
        item = await transaction.find_arn(Subscription, arn)
        if item is None and is_anonymous(call):
            # Its account's trail would tell of what nobody did to nothing.
            raise ServiceError("NotFound", "Subscription does not exist")
        if item is None or item.record.state == "cancelled":
            return {}
        _require_leave(call, item)
        if item.record.state == "confirmed" and not _is_owner(call, item):
            await _cancel(transaction, call, item)
        else:
            await transaction.remove(Subscription, item.place)
    return {}


@operation
async def list_subscriptions(call: Call, params: Params) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        items = await view.list(Subscription, account=call.account, region=call.region)
    return page(call.operation, params, _listed(items, call.now), _PAGE)


@operation
async def list_subscriptions_by_topic(call: Call, params: Params) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        topic = await get_topic(view, call, params["TopicArn"])
        items = await list_subscriptions_of(view, topic.arn or "")
    return page(call.operation, params, _listed(items, call.now), _PAGE)


async def ask_to_confirm(
    transaction: Transaction,
    item: Item[Subscription],
    topic_arn: str,
    now: datetime,
    kind: Kind = "SubscriptionConfirmation",
) -> None:
    message = Message(id=str(uuid4()), topic_arn=topic_arn, body=_ASKING[kind], at=now, kind=kind)
    delivery = Delivery(topic_arn=topic_arn, message=encode_message(message))
    await submit_delivery(transaction, item.arn or "", delivery)


_ASKING: Final[dict[Kind, str]] = {
    "SubscriptionConfirmation": "This endpoint was subscribed to the topic TopicArn. To confirm "
    "the subscription, visit SubscribeURL.",
    "UnsubscribeConfirmation": "This endpoint is no longer subscribed to the topic TopicArn. To "
    "subscribe it again, visit SubscribeURL.",
}


async def _held(
    transaction: Transaction, topic: Item[Topic], wanted: Subscription, now: datetime
) -> Item[Subscription] | None:
    """The endpoint's subscription; those that have ended on the way are removed."""
    found: Item[Subscription] | None = None
    for item in await list_subscriptions_of(transaction, topic.arn or ""):
        record = item.record
        is_same = (record.protocol, record.endpoint) == (wanted.protocol, wanted.endpoint)
        if not record.is_there(now) and (is_same or _has_ended(record, now)):
            await transaction.remove(Subscription, item.place)
        elif is_same:
            found = item
    return found


def _has_ended(record: Subscription, now: datetime) -> bool:
    return record.expires_at is not None and record.expires_at <= now


async def _make(
    transaction: Transaction, call: Call, topic: Item[Topic], wanted: Subscription
) -> Item[Subscription]:
    id = uuid4()
    arn = f"{topic.arn}:{id}"
    queue = read_queue_arn(wanted.endpoint) if wanted.protocol == "sqs" else None
    if queue is not None and queue.account == call.account:
        # Who subscribes a queue of the own account has confirmed for it.
        record = msgspec.structs.replace(wanted, state="confirmed", was_authenticated=True)
    else:
        record = with_token(call, wanted, arn)
    place = Place(call.account, call.region, f"{topic.place.account}:{topic.name}:{id}")
    return await transaction.add(record, place, parent=topic.arn or "", arn=arn)


def with_token(call: Call, record: Subscription, arn: str) -> Subscription:
    token = arn.rpartition(":")[2].replace("-", "") + secrets.token_hex(_TOKEN_BYTES)
    return msgspec.structs.replace(
        record,
        token=call.stores.sealer.seal(token.encode(), arn.encode()),
        expires_at=call.now + TOKEN_VALID,
    )


def _require_leave(call: Call, item: Item[Subscription]) -> None:
    topic = topic_of(item.arn or "")
    owners = (item.place.account, topic.account if topic else None)
    if is_anonymous(call):
        if item.record.needs_authentication or item.record.state == "pending":
            raise not_authorized("The subscription is ended by its owner only, who signs for it.")
    elif call.account not in owners:
        raise not_authorized("Only the owners of the topic and of the subscription may end it.")


def _is_owner(call: Call, item: Item[Subscription]) -> bool:
    return not is_anonymous(call) and call.account == item.place.account


async def _cancel(transaction: Transaction, call: Call, item: Item[Subscription]) -> None:
    """The endpoint is told, and may come back."""
    record = with_token(call, item.record, item.arn or "")
    record = msgspec.structs.replace(record, state="cancelled")
    cancelled = await transaction.put(replace(item, record=record))
    await ask_to_confirm(
        transaction, cancelled, item.parent, call.now, kind="UnsubscribeConfirmation"
    )


def _listed(items: Sequence[Item[Subscription]], now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "SubscriptionArn": item.arn if item.record.state == "confirmed" else PENDING,
            "Owner": item.place.account,
            "Protocol": item.record.protocol,
            "Endpoint": shown(item.record.endpoint),
            "TopicArn": item.parent,
        }
        for item in items
        if item.record.is_there(now)
    ]
