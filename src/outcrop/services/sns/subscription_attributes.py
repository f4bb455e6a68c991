"""GetSubscriptionAttributes and SetSubscriptionAttributes."""

from dataclasses import replace
from typing import Any

from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sns.endpoints import shown
from outcrop.services.sns.requests import Params, not_authorized, not_found, require_arn
from outcrop.services.sns.subscription_settings import set_one
from outcrop.stores.resources import Item, View
from outcrop.stores.topic_records import Subscription, topic_of


@operation
async def get_subscription_attributes(call: Call, params: Params) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        item = await _get(view, call, params["SubscriptionArn"])
    record = item.record
    attributes = {
        "SubscriptionArn": item.arn or "",
        "TopicArn": item.parent,
        "Protocol": record.protocol,
        "Endpoint": shown(record.endpoint),
        "Owner": item.place.account,
        "SubscriptionPrincipal": record.principal,
        "PendingConfirmation": _flag(record.state == "pending"),
        "ConfirmationWasAuthenticated": _flag(record.was_authenticated),
        "RawMessageDelivery": _flag(record.raw),
    }
    if record.filter_policy is not None:
        attributes["FilterPolicy"] = record.filter_policy
        attributes["FilterPolicyScope"] = record.filter_scope
    if record.delivery_policy is not None:
        attributes["DeliveryPolicy"] = record.delivery_policy
    if record.redrive_policy is not None:
        attributes["RedrivePolicy"] = record.redrive_policy
    return {"Attributes": attributes}


@operation
async def set_subscription_attributes(call: Call, params: Params) -> dict[str, Any]:
    name, value = params["AttributeName"], params.get("AttributeValue", "")
    async with call.stores.resources.writing() as transaction:
        item = await _get(transaction, call, params["SubscriptionArn"])
        record = set_one(item.record, name, value, item.parent)
        await transaction.put(replace(item, record=record))
    return {}


async def _get(view: View, call: Call, arn: str) -> Item[Subscription]:
    require_arn(arn, "SubscriptionArn")
    item = await view.find_arn(Subscription, arn)
    topic = topic_of(arn)
    owners = (topic.account if topic else call.account, item.place.account if item else None)
    if call.account not in owners:
        raise not_authorized("The subscription is of another account.")
    if item is None or not item.record.is_there(call.now):
        raise not_found("Subscription does not exist")
    return item


def _flag(value: bool) -> str:
    return "true" if value else "false"
