"""Tags of alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.cloudwatch.refusals import invalid_value
from outcrop.services.operation import operation
from outcrop.stores.alarm_records import Alarm
from outcrop.stores.resources import Item, View

_MOST_TAGS: Final = 50


@operation
async def tag_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    added = read_tags(params["Tags"])
    async with call.stores.resources.writing() as transaction:
        alarm = await _get(transaction, call, params["ResourceARN"])
        tags = {**alarm.tags, **added}
        _require_few(tags)
        await transaction.put(replace(alarm, tags=tags))
    return {}


@operation
async def untag_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        alarm = await _get(transaction, call, params["ResourceARN"])
        removed = set(params["TagKeys"])
        tags = {key: value for key, value in alarm.tags.items() if key not in removed}
        await transaction.put(replace(alarm, tags=tags))
    return {}


@operation
async def list_tags_for_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        alarm = await _get(view, call, params["ResourceARN"])
    return {"Tags": [{"Key": key, "Value": value} for key, value in alarm.tags.items()]}


def read_tags(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    read: dict[str, str] = {}
    for tag in tags:
        key = tag["Key"]
        if key in read:
            raise invalid_value(f"The tag key {key!r} is given twice.")
        if key.lower().startswith("aws:"):
            raise invalid_value(f"The tag key {key!r} begins with aws:, which is reserved.")
        read[key] = tag["Value"]
    _require_few(read)
    return read


def _require_few(tags: Mapping[str, str]) -> None:
    if len(tags) > _MOST_TAGS:
        raise invalid_value(f"An alarm has at most {_MOST_TAGS} tags.")


async def _get(view: View, call: Call, arn: str) -> Item[Alarm]:
    alarm = await view.find_arn(Alarm, arn)
    if alarm is None or (alarm.place.account, alarm.place.region) != (call.account, call.region):
        raise ServiceError(
            "ResourceNotFoundException",
            f"There is no alarm {arn!r}.",
            ResourceType="alarm",
            ResourceId=arn,
        )
    return alarm
