"""KMS keys: made, described, listed. Keys are symmetric, of AWS_KMS origin and of one region."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import msgspec

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.kms.grant_tokens import require_grant_tokens
from outcrop.services.kms.listing import page_of
from outcrop.services.kms.policies import accept_policy
from outcrop.services.kms.references import (
    change_key,
    get_key,
    keyring_of,
    read_key_id,
    require_not_pending,
)
from outcrop.services.kms.tags import read_new_tags
from outcrop.services.operation import operation
from outcrop.stores.keyring import make_material
from outcrop.stores.kms_managed import MANAGED, default_policy, ensure_managed_key
from outcrop.stores.kms_records import KmsKey, key_arn
from outcrop.stores.resources import Item, Place

SYMMETRIC = "SYMMETRIC_DEFAULT"


@operation
async def create_key(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_other_kinds(params)
    tags = read_new_tags(params.get("Tags", ()))
    key_id = str(uuid4())
    arn = key_arn(call.region, call.account, key_id)
    policy = params.get("Policy")
    if policy is None:
        policy = default_policy(call.account)
    else:
        await accept_policy(call, arn, params)
    record = KmsKey(
        policy=policy,
        materials=(make_material(call.stores.sealer, key_id, call.now),),
        description=params.get("Description", ""),
    )
    await keyring_of(call)
    async with call.stores.resources.writing() as transaction:
        place = Place(call.account, call.region, key_id)
        key = await transaction.add(record, place, arn=arn, tags=tags)
    return {"KeyMetadata": describe(key)}


@operation
async def describe_key(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await require_grant_tokens(call, params)
    reference = read_key_id(call, params["KeyId"])
    # The alias of an AWS service has its key from the first time that someone asks for it.
    service = reference.name.removeprefix("alias/aws/")
    if reference.account == call.account and reference.is_alias and service in MANAGED:
        await ensure_managed_key(call.stores, call.account, call.region, service, call.now)
    key = await get_key(call, params["KeyId"], by_alias=True, of_others=True)
    return {"KeyMetadata": describe(key)}


@operation
async def list_keys(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    if params.get("ResourceOwners"):
        raise _unsupported("ResourceOwners")
    keyring = await keyring_of(call)
    keys = sorted(keyring.keys(call.account, call.region), key=lambda key: key.name)
    items = [{"KeyId": key.name, "KeyArn": key.arn} for key in keys]
    return page_of(call, params, items, default_limit=100)


@operation
async def update_key_description(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def edit(key: Item[KmsKey]) -> KmsKey:
        require_not_pending(key)
        return msgspec.structs.replace(key.record, description=params["Description"])

    await change_key(call, params["KeyId"], edit)
    return {}


def describe(key: Item[KmsKey]) -> dict[str, Any]:
    record = key.record
    pending = record.deletes_at is not None
    usable = record.enabled and not pending
    metadata: dict[str, Any] = {
        "AWSAccountId": key.place.account,
        "KeyId": key.name,
        "Arn": key.arn,
        "CreationDate": key.created_at,
        "Enabled": usable,
        "Description": record.description,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "PendingDeletion" if pending else "Enabled" if usable else "Disabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER" if record.service is None else "AWS",
        "CustomerMasterKeySpec": SYMMETRIC,
        "KeySpec": SYMMETRIC,
        "EncryptionAlgorithms": [SYMMETRIC],
        "MultiRegion": False,
        "CurrentKeyMaterialId": record.materials[-1].id,
    }
    if pending:
        metadata["DeletionDate"] = record.deletes_at
    return metadata


def _refuse_other_kinds(params: Mapping[str, Any]) -> None:
    """Keys that are not kept here are refused, never made as something else."""
    expected = {
        "KeySpec": SYMMETRIC,
        "CustomerMasterKeySpec": SYMMETRIC,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "Origin": "AWS_KMS",
        "MultiRegion": False,
    }
    for member, value in expected.items():
        if params.get(member, value) != value:
            raise _unsupported(f"{member} {params[member]!r}")
    for member in ("CustomKeyStoreId", "XksKeyId"):
        if member in params:
            raise _unsupported(member)


def _unsupported(what: str) -> ServiceError:
    return ServiceError(
        "UnsupportedOperationException",
        f"{what} is not supported: keys here are symmetric (SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT), "
        "of origin AWS_KMS and of one region.",
    )
