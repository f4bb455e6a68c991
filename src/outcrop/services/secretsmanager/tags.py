"""Tags of secrets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.secretsmanager.references import get_secret, invalid_parameter
from outcrop.services.secretsmanager.values import touch

_MAX_TAGS = 50


@operation
async def tag_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    added = read_new_tags(params["Tags"])
    async with call.stores.resources.writing() as transaction:
        secret = await get_secret(call, params["SecretId"], view=transaction)
        tags = {**secret.tags, **added}
        _require_few(tags)
        await touch(transaction, replace(secret, tags=tags), call.now)
    return {}


@operation
async def untag_resource(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        secret = await get_secret(call, params["SecretId"], view=transaction)
        removed = set(params["TagKeys"])
        tags = {key: value for key, value in secret.tags.items() if key not in removed}
        await touch(transaction, replace(secret, tags=tags), call.now)
    return {}


def read_new_tags(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    read: dict[str, str] = {}
    for tag in tags:
        key = tag.get("Key", "")
        if key in read:
            raise invalid_parameter(f"The tag key {key!r} is given twice.")
        if not key or key.lower().startswith("aws:"):
            raise invalid_parameter(f"{key!r} is no tag key: those beginning with aws: are taken.")
        read[key] = tag.get("Value", "")
    _require_few(read)
    return read


def _require_few(tags: Mapping[str, str]) -> None:
    if len(tags) > _MAX_TAGS:
        raise invalid_parameter(f"A secret has at most {_MAX_TAGS} tags.")
