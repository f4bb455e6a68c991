"""Topics: made, deleted, listed, their attributes."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sns.requests import (
    Params,
    get_topic,
    invalid,
    list_subscriptions_of,
    place_of,
    read_topic,
)
from outcrop.services.sns.topic_settings import default_policy, read_tags, with_attribute
from outcrop.stores.resources import Item, Place
from outcrop.stores.topic_records import Subscription, Topic, topic_arn
from outcrop.topics.retries import effective
from outcrop.wire.paging import page

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_PAGE: Final = 100


@operation
async def create_topic(call: Call, params: Params) -> dict[str, Any]:
    name, attributes = params["Name"], params.get("Attributes", {})
    if "DataProtectionPolicy" in params:
        raise invalid("DataProtectionPolicy Reason: it is not supported by Outcrop")
    if name.endswith(".fifo") or attributes.get("FifoTopic") == "true":
        raise invalid("Topic Name Reason: FIFO topics are not supported by Outcrop")
    if not _NAME.fullmatch(name):
        raise invalid("Topic Name")
    arn = topic_arn(call.region, call.account, name)
    tags = read_tags(params.get("Tags"))
    made = _with_attributes(Topic(policy=default_policy(arn, call.account)), arn, attributes)
    place = Place(call.account, call.region, name)
    async with call.stores.resources.writing() as transaction:
        found = await transaction.find(Topic, place)
        if found is None:
            await transaction.add(made, place, arn=arn, tags=tags)
        else:
            _require_same(found, arn, attributes, tags if "Tags" in params else None)
    return {"TopicArn": arn}


@operation
async def delete_topic(call: Call, params: Params) -> dict[str, Any]:
    """With its subscriptions; one that is not there is deleted already."""
    arn = params["TopicArn"]
    place = place_of(read_topic(call, arn))
    async with call.stores.resources.writing() as transaction:
        if await transaction.find(Topic, place) is not None:
            for subscription in await list_subscriptions_of(transaction, arn):
                await transaction.remove(Subscription, subscription.place)
            await transaction.remove(Topic, place)
    return {}


@operation
async def list_topics(call: Call, params: Params) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        topics = await view.list(Topic, account=call.account, region=call.region)
    return page(call.operation, params, [{"TopicArn": topic.arn} for topic in topics], _PAGE)


@operation
async def get_topic_attributes(call: Call, params: Params) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        topic = await get_topic(view, call, params["TopicArn"])
        held = await list_subscriptions_of(view, topic.arn or "")
    record = topic.record
    there = [each.record.state for each in held if each.record.is_there(call.now)]
    attributes: dict[str, str] = {
        "TopicArn": topic.arn or "",
        "Owner": topic.place.account,
        "Policy": record.policy,
        "DisplayName": record.display_name,
        "SubscriptionsConfirmed": str(there.count("confirmed")),
        "SubscriptionsPending": str(there.count("pending")),
        "SubscriptionsDeleted": str(sum(each.record.state == "cancelled" for each in held)),
        "SignatureVersion": record.signature_version,
        "TracingConfig": "PassThrough",
    }
    if record.delivery_policy is not None:
        attributes["DeliveryPolicy"] = record.delivery_policy
        attributes["EffectiveDeliveryPolicy"] = effective_policy(record.delivery_policy)
    if record.kms_key is not None:
        attributes["KmsMasterKeyId"] = record.kms_key
    return {"Attributes": attributes}


@operation
async def set_topic_attributes(call: Call, params: Params) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        topic = await get_topic(transaction, call, params["TopicArn"])
        name, value = params["AttributeName"], params.get("AttributeValue", "")
        record = with_attribute(topic.record, topic.arn or "", name, value)
        await transaction.put(replace(topic, record=record))
    return {}


def effective_policy(text: str) -> str:
    """With AWS's defaults for what the policy leaves out."""
    return effective(text, None).topic_text()


def _with_attributes(topic: Topic, arn: str, attributes: Mapping[str, str]) -> Topic:
    for name, value in attributes.items():
        try:
            topic = with_attribute(topic, arn, name, value)
        except ServiceError as error:
            reason = error.message.removeprefix("Invalid parameter: ")
            raise invalid(f"Attributes Reason: {reason}") from error
    return topic


def _require_same(
    topic: Item[Topic], arn: str, attributes: Mapping[str, str], tags: Mapping[str, str] | None
) -> None:
    if _with_attributes(topic.record, arn, attributes) != topic.record:
        raise invalid("Attributes Reason: Topic already exists with different attributes")
    if tags is not None and tags != topic.tags:
        raise invalid("Tags Reason: Topic already exists with different tags")
