"""Tags of queues."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from outcrop.errors import ServiceError
from outcrop.queues.faults import missing
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sqs.references import get_own_queue

_MAX_TAGS: Final = 50
_MAX_KEY: Final = 128
_MAX_VALUE: Final = 256


@operation
async def tag_queue(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    added = check_tags(params["Tags"])
    if not added:
        raise missing("Tags")
    await _change(call, params, lambda tags: {**tags, **added})
    return {}


@operation
async def untag_queue(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    keys = set[str](params["TagKeys"])
    if not keys:
        raise ServiceError(
            "InvalidParameterValue", "Tag keys must be between 1 and 128 characters in length."
        )
    await _change(
        call, params, lambda tags: {key: value for key, value in tags.items() if key not in keys}
    )
    return {}


@operation
async def list_queue_tags(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        queue = await get_own_queue(call, params, view)
    return {"Tags": dict(queue.tags)} if queue.tags else {}


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    if len(tags) > _MAX_TAGS:
        raise ServiceError(
            "InvalidParameterValue", f"Too many tags. A queue has at most {_MAX_TAGS}."
        )
    for key, value in tags.items():
        if not 1 <= len(key) <= _MAX_KEY or len(value) > _MAX_VALUE:
            raise ServiceError(
                "InvalidParameterValue",
                "Tag keys must be between 1 and 128 characters in length, tag values at most 256.",
            )
        if key.lower().startswith("aws:"):
            raise ServiceError(
                "InvalidParameterValue",
                "aws: prefixed tag key names are not allowed for external use.",
            )
    return dict(tags)


async def _change(
    call: Call,
    params: Mapping[str, Any],
    change: Callable[[Mapping[str, str]], dict[str, str]],
) -> None:
    async with call.stores.resources.writing() as transaction:
        queue = await get_own_queue(call, params, transaction)
        await transaction.put(replace(queue, tags=check_tags(change(queue.tags))))
