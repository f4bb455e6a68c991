"""Tags of topics."""

from dataclasses import replace
from typing import Any

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sns.requests import Params, place_of, read_topic
from outcrop.services.sns.topic_settings import bounded_tags, read_tags
from outcrop.stores.resources import Item, View
from outcrop.stores.topic_records import Topic


@operation
async def tag_resource(call: Call, params: Params) -> dict[str, Any]:
    added = read_tags(params["Tags"])
    async with call.stores.resources.writing() as transaction:
        topic = await _get(transaction, call, params["ResourceArn"])
        await transaction.put(replace(topic, tags=bounded_tags({**topic.tags, **added})))
    return {}


@operation
async def untag_resource(call: Call, params: Params) -> dict[str, Any]:
    removed = set(params["TagKeys"])
    async with call.stores.resources.writing() as transaction:
        topic = await _get(transaction, call, params["ResourceArn"])
        left = {key: value for key, value in topic.tags.items() if key not in removed}
        await transaction.put(replace(topic, tags=left))
    return {}


@operation
async def list_tags_for_resource(call: Call, params: Params) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        topic = await _get(view, call, params["ResourceArn"])
    return {"Tags": [{"Key": key, "Value": value} for key, value in topic.tags.items()]}


async def _get(view: View, call: Call, arn: str) -> Item[Topic]:
    topic = await view.find(Topic, place_of(read_topic(call, arn, "ResourceArn")))
    if topic is None:
        raise ServiceError("ResourceNotFound", "Resource does not exist")
    return topic
