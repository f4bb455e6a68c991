"""Tags of networks: in the request that makes something, and on what is there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.ec2.listing import filtered, paged
from outcrop.services.ec2.requests import (
    Params,
    Result,
    get,
    invalid,
    list_own,
    network_operation,
    place_of,
)
from outcrop.stores.network_records import TYPES, noun_of, prefix_of
from outcrop.stores.resources import Item, Record, Transaction

MAX_TAGS: Final = 50
_MAX_KEY: Final = 127
_MAX_VALUE: Final = 255
_RESERVED: Final = "aws:"


@network_operation("Resources", "Tags")
async def create_tags(call: Call, params: Params) -> Result:
    tags = parse_tags(params["Tags"])
    async with call.stores.resources.writing() as transaction:
        for item in await _items(transaction, call, params["Resources"]):
            await transaction.put(replace(item, tags=_bounded({**item.tags, **tags})))
    return {}


@network_operation("Resources", "Tags")
async def delete_tags(call: Call, params: Params) -> Result:
    """Without ``Tags`` all of them; a tag with a value only where it has this value."""
    wanted: Sequence[Mapping[str, str]] | None = params.get("Tags")
    async with call.stores.resources.writing() as transaction:
        for item in await _items(transaction, call, params["Resources"]):
            await transaction.put(replace(item, tags=_without(item.tags, wanted)))
    return {}


@network_operation("Filters", "MaxResults", "NextToken")
async def describe_tags(call: Call, params: Params) -> Result:
    tags: list[dict[str, str]] = []
    async with call.stores.resources.reading() as view:
        for type in TYPES.values():
            for item in await list_own(view, call, type):
                tags += [
                    {"ResourceId": item.name, "ResourceType": noun_of(type), **each}
                    for each in render_tags(item.tags)
                ]
    kept = filtered(
        params,
        tags,
        {
            "key": lambda tag: [tag["Key"]],
            "value": lambda tag: [tag["Value"]],
            "resource-id": lambda tag: [tag["ResourceId"]],
            "resource-type": lambda tag: [tag["ResourceType"]],
        },
        tags_of=lambda tag: {tag["Key"]: tag["Value"]},
    )
    return paged(call, params, kept)


def specified_tags(params: Params, type: type[Record]) -> dict[str, str]:
    """The tags with which a request makes something of this type."""
    tags: list[Mapping[str, str]] = []
    for specification in params.get("TagSpecifications", ()):
        noun = specification.get("ResourceType")
        if noun != noun_of(type):
            raise invalid(f"'{noun}' is not a valid taggable resource type for this operation.")
        tags += specification.get("Tags", ())
    return parse_tags(tags)


def parse_tags(tags: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    read: dict[str, str] = {}
    for tag in tags:
        key, value = tag.get("Key", ""), tag.get("Value", "")
        if not 0 < len(key) <= _MAX_KEY:
            raise invalid(f"Tag keys have 1 to {_MAX_KEY} characters.")
        if len(value) > _MAX_VALUE:
            raise invalid(f"Tag values have at most {_MAX_VALUE} characters.")
        if key.lower().startswith(_RESERVED):
            raise invalid("Tag keys starting with 'aws:' are reserved for internal use")
        if key in read:
            raise invalid(f"Duplicate tag key '{key}' specified.")
        read[key] = value
    return _bounded(read)


def render_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


async def _items(transaction: Transaction, call: Call, ids: Sequence[str]) -> list[Item[Any]]:
    items: list[Item[Any]] = []
    for each in dict.fromkeys(ids):
        type = TYPES.get(prefix_of(each) or "")
        if type is None:
            raise ServiceError("InvalidID", f"The ID '{each}' is not valid")
        items.append(await get(transaction, call, type, place_of(call, each).name))
    return items


def _without(tags: Mapping[str, str], wanted: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    if wanted is None:
        return {}
    gone = {
        tag.get("Key", "")
        for tag in wanted
        if tags.get(tag.get("Key", "")) == tag.get("Value") or "Value" not in tag
    }
    return {key: value for key, value in tags.items() if key not in gone}


def _bounded(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > MAX_TAGS:
        raise ServiceError(
            "TagLimitExceeded",
            f"The maximum number of Tags for a resource has been reached: {MAX_TAGS}.",
        )
    return tags
