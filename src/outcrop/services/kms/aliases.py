"""Aliases: names for keys of the same account and region. ``alias/aws/`` belongs to AWS."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.kms.listing import page_of
from outcrop.services.kms.references import (
    get_key,
    keyring_of,
    not_found,
    require_not_pending,
    reread,
)
from outcrop.services.operation import operation
from outcrop.stores.failures import NameTaken
from outcrop.stores.kms_records import KmsAlias, KmsKey, alias_arn
from outcrop.stores.resources import Item, Place, Transaction

_NAME = re.compile(r"alias/[a-zA-Z0-9/_-]+")
_RESERVED = "alias/aws/"


@operation
async def create_alias(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    place = _place(call, params["AliasName"])
    key = await get_key(call, params["TargetKeyId"])
    try:
        async with call.stores.resources.writing() as transaction:
            await _require_target(transaction, key)
            arn = alias_arn(place.region, place.account, place.name)
            await transaction.add(KmsAlias(), place, parent=key.name, arn=arn)
    except NameTaken as error:
        raise ServiceError(
            "AlreadyExistsException",
            f"An alias with the name {alias_arn(place.region, place.account, place.name)} "
            "already exists",
        ) from error
    return {}


@operation
async def update_alias(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    place = _place(call, params["AliasName"])
    key = await get_key(call, params["TargetKeyId"])
    async with call.stores.resources.writing() as transaction:
        alias = await transaction.find(KmsAlias, place)
        if alias is None:
            raise _no_such(place)
        await _require_target(transaction, key)
        await transaction.put(replace(alias, parent=key.name))
    return {}


@operation
async def delete_alias(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    place = _place(call, params["AliasName"])
    async with call.stores.resources.writing() as transaction:
        if await transaction.find(KmsAlias, place) is None:
            raise _no_such(place)
        await transaction.remove(KmsAlias, place)
    return {}


@operation
async def list_aliases(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    keyring = await keyring_of(call)
    aliases = keyring.aliases(call.account, call.region)
    if "KeyId" in params:
        key = await get_key(call, params["KeyId"])
        aliases = [alias for alias in aliases if alias.parent == key.name]
    aliases.sort(key=lambda alias: alias.name)
    return page_of(call, params, [_describe(alias) for alias in aliases])


def _describe(alias: Item[KmsAlias]) -> dict[str, Any]:
    return {
        "AliasName": alias.name,
        "AliasArn": alias.arn,
        "TargetKeyId": alias.parent,
        "CreationDate": alias.created_at,
        "LastUpdatedDate": alias.changed_at,
    }


def _place(call: Call, name: str) -> Place:
    if name.startswith(_RESERVED):
        raise ServiceError(
            "InvalidAliasNameException",
            f"{name!r}: aliases beginning with alias/aws/ are reserved.",
        )
    if not name.startswith("alias/"):
        raise ServiceError(
            "ValidationException",
            'Alias must start with the prefix "alias/". Please see '
            "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        )
    if not _NAME.fullmatch(name):
        raise ServiceError(
            "InvalidAliasNameException",
            f"{name!r} is no alias: after alias/ come letters, digits, /, _ and -.",
        )
    return Place(call.account, call.region, name)


async def _require_target(transaction: Transaction, key: Item[KmsKey]) -> None:
    require_not_pending(await reread(transaction, key))


def _no_such(place: Place) -> Exception:
    return not_found(f"Alias {alias_arn(place.region, place.account, place.name)} is not found.")
