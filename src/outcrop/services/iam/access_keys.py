"""Access keys: two a user, the secret shown once. Without a name, the caller's own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from msgspec import structs

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.iam.documents import limit_exceeded
from outcrop.services.iam.listing import listed
from outcrop.services.iam.refusals import check_status
from outcrop.services.iam.users import owner_of_keys
from outcrop.services.operation import operation
from outcrop.stores.iam_names import ROOT_NAME
from outcrop.stores.iam_records import AccessKeyRecord
from outcrop.stores.resources import Item, Place, Transaction

MAX_KEYS_OF_USER: Final = 2

_NOT_AVAILABLE: Final = "N/A"


@operation
async def create_access_key(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        owner = owner_of_keys(call, params)
        if len(call.stores.directory.access_keys_of(call.account, owner)) >= MAX_KEYS_OF_USER:
            raise limit_exceeded("AccessKeysPerUser", MAX_KEYS_OF_USER)
        key, secret = await call.stores.keys.add_access_key(transaction, call.account, owner)
    return {"AccessKey": {**_summarize(key), "SecretAccessKey": secret}}


@operation
async def list_access_keys(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    owner = owner_of_keys(call, params)
    keys = call.stores.directory.access_keys_of(call.account, owner)
    return listed(call, params, [_summarize(key) for key in keys])


@operation
async def update_access_key(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    check_status(params["Status"])
    async with call.stores.resources.writing() as transaction:
        key = await _get(transaction, call, params)
        record = structs.replace(key.record, status=params["Status"])
        await transaction.put(replace(key, record=record))
    return {}


@operation
async def delete_access_key(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        key = await _get(transaction, call, params)
        await transaction.remove(AccessKeyRecord, key.place)
    return {}


@operation
async def get_access_key_last_used(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    key_id = params["AccessKeyId"]
    directory = call.stores.directory
    key = directory.find_access_key(key_id)
    if key is None or key.principal.account != call.account:
        raise _no_such_key(key_id)
    use = directory.last_use(key_id)
    last = {
        "ServiceName": (use and use.service) or _NOT_AVAILABLE,
        "Region": (use and use.region) or _NOT_AVAILABLE,
        **({"LastUsedDate": use.time.replace(second=0, microsecond=0)} if use else {}),
    }
    owner = {} if key.principal.kind == "root" else {"UserName": key.principal.name}
    return {**owner, "AccessKeyLastUsed": last}


async def _get(
    transaction: Transaction, call: Call, params: Mapping[str, Any]
) -> Item[AccessKeyRecord]:
    key_id = params["AccessKeyId"]
    owner = owner_of_keys(call, params)
    key = await transaction.find(AccessKeyRecord, Place(call.account, "", key_id))
    if key is None or key.parent != owner:
        raise _no_such_key(key_id)
    return key


def _summarize(key: Item[AccessKeyRecord]) -> dict[str, Any]:
    owner = {} if key.parent == ROOT_NAME else {"UserName": key.parent}
    return {
        **owner,
        "AccessKeyId": key.name,
        "Status": key.record.status,
        "CreateDate": key.created_at.replace(microsecond=0),
    }


def _no_such_key(key_id: str) -> ServiceError:
    return ServiceError("NoSuchEntity", f"The Access Key with id {key_id} cannot be found.")
