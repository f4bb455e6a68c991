"""Secrets: created, described, updated, deleted with a recovery window, restored."""

import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec

from outcrop.errors import ServiceError, ValidationException
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.secretsmanager.references import (
    get_secret,
    invalid_parameter,
    invalid_request,
    sweep,
)
from outcrop.services.secretsmanager.sealing import (
    open_secret,
    read_value,
    seal_digest,
    seal_secret,
)
from outcrop.services.secretsmanager.stages import CURRENT, labels_by_version
from outcrop.services.secretsmanager.tags import read_new_tags
from outcrop.services.secretsmanager.values import Value, put_version, require_same, touch
from outcrop.stores.resources import Item, Place
from outcrop.stores.secret_records import Secret, SecretVersion, secret_arn
from outcrop.stores.secret_store import list_versions, remove_secret, version_place

_NAME = re.compile(r"[A-Za-z0-9/_+=.@!-]+")
_WINDOW_DAYS = range(7, 31)


@operation
async def create_secret(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name = params["Name"]
    if not _NAME.fullmatch(name):
        raise ValidationException(
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the "
            "following: -/_+=.@!"
        )
    _refuse(params, "AddReplicaRegions", "ForceOverwriteReplicaSecret", "CrossAccountPrimaryARN")
    _refuse_types(params)
    tags, value = read_new_tags(params.get("Tags", ())), read_value(params)
    version_id = params.get("ClientRequestToken") or str(uuid4())
    await sweep(call)
    known = await _find_twin(call, name, version_id, value)
    if known is not None:
        return _created(known, version_id if value else None)
    arn = secret_arn(call.region, call.account, f"{name}-{_ending()}")
    record = Secret(
        description=params.get("Description", ""),
        kms_key=params.get("KmsKeyId"),
        stages={CURRENT: version_id} if value else {},
        changed_at=call.now,
    )
    version = await _first_version(call, record, arn, version_id, value) if value else None
    async with call.stores.resources.writing() as transaction:
        place = Place(call.account, call.region, name)
        if await transaction.find(Secret, place) is not None:
            raise _exists(name)
        secret = await transaction.add(record, place, arn=arn, tags=tags)
        if version is not None:
            await transaction.add(version, version_place(secret, version_id), parent=arn)
    return _created(secret, version_id if value else None)


@operation
async def describe_secret(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    secret = await get_secret(call, params["SecretId"], deleted=True)
    stages, described = labels_by_version(secret), describe(secret)
    return {**described, "VersionIdsToStages": stages} if stages else described


@operation
async def update_secret(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_types(params)
    value = read_value(params)
    secret = await get_secret(call, params["SecretId"])
    if params.get("KmsKeyId", secret.record.kms_key) != secret.record.kms_key:
        await _reseal(call, secret, params["KmsKeyId"])
    if "Description" in params:
        async with call.stores.resources.writing() as transaction:
            secret = await get_secret(call, secret.arn or "", view=transaction)
            record = msgspec.structs.replace(
                secret.record, description=params["Description"], changed_at=call.now
            )
            await transaction.put(replace(secret, record=record))
    secret = await get_secret(call, secret.arn or "")
    if value is None:
        return _created(secret, None)
    version_id = params.get("ClientRequestToken") or str(uuid4())
    await put_version(call, secret, version_id, value, (CURRENT,))
    return _created(secret, version_id)


@operation
async def delete_secret(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    days, force = params.get("RecoveryWindowInDays"), params.get("ForceDeleteWithoutRecovery")
    if force and days is not None:
        raise invalid_parameter(
            "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."
        )
    if days is not None and days not in _WINDOW_DAYS:
        raise invalid_parameter(
            "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."
        )
    if force:
        return await _delete_now(call, params["SecretId"])
    deletes_at = call.now + timedelta(days=days or max(_WINDOW_DAYS))
    async with call.stores.resources.writing() as transaction:
        secret = await get_secret(call, params["SecretId"], view=transaction, deleted=True)
        if secret.record.deletes_at is not None:
            raise invalid_request(
                "You can't perform this operation on the secret because it was already scheduled "
                "for deletion."
            )
        record = msgspec.structs.replace(
            secret.record, deleted_at=call.now, deletes_at=deletes_at, changed_at=call.now
        )
        await transaction.put(replace(secret, record=record))
    return {"ARN": secret.arn, "Name": secret.name, "DeletionDate": deletes_at}


@operation
async def restore_secret(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        secret = await get_secret(call, params["SecretId"], view=transaction, deleted=True)
        record = msgspec.structs.replace(secret.record, deleted_at=None, deletes_at=None)
        await touch(transaction, replace(secret, record=record), call.now)
    return {"ARN": secret.arn, "Name": secret.name}


@operation
async def rotate_secret(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """Rotation is the work of a Lambda function, and there are none yet."""
    await get_secret(call, params["SecretId"])
    if "RotationLambdaARN" not in params:
        raise invalid_request("No Lambda rotation function ARN is associated with this secret.")
    raise invalid_parameter(
        f"The rotation function {params['RotationLambdaARN']} cannot be called: Outcrop does not "
        "run Lambda functions yet. Rotate the secret with PutSecretValue."
    )


def describe(secret: Item[Secret]) -> dict[str, Any]:
    record = secret.record
    described = {
        "ARN": secret.arn,
        "Name": secret.name,
        "Description": record.description or None,
        "KmsKeyId": record.kms_key,
        "LastChangedDate": record.changed_at,
        "LastAccessedDate": record.accessed_on,
        "DeletedDate": record.deleted_at,
        "Tags": [{"Key": key, "Value": value} for key, value in secret.tags.items()],
        "CreatedDate": secret.created_at,
    }
    return {name: value for name, value in described.items() if value is not None}


async def _first_version(
    call: Call, secret: Secret, arn: str, version_id: str, value: Value
) -> SecretVersion:
    return SecretVersion(
        id=version_id,
        value=await seal_secret(call, secret.kms_key, arn, version_id, value),
        digest=seal_digest(call, arn, version_id, value),
    )


async def _find_twin(
    call: Call, name: str, version_id: str, value: Value | None
) -> Item[Secret] | None:
    """The secret that the same request made before; another one of the name is in the way."""
    async with call.stores.resources.reading() as view:
        secret = await view.find(Secret, Place(call.account, call.region, name))
        known = (
            await view.find(SecretVersion, version_place(secret, version_id)) if secret else None
        )
    if secret is None:
        return None
    if secret.record.deletes_at is not None:
        raise invalid_request(
            "You can't create this secret because a secret with this name is already scheduled "
            "for deletion."
        )
    if known is None or value is None:
        raise _exists(name)
    require_same(call, secret.arn or "", known, value)
    return secret


async def _reseal(call: Call, secret: Item[Secret], kms_key: str) -> None:
    """Another key from now on: what has a label is encrypted anew under it."""
    arn = secret.arn or ""
    async with call.stores.resources.reading() as view:
        labelled = set((await get_secret(call, arn, view=view)).record.stages.values())
        versions = [
            each for each in await list_versions(view, secret) if each.record.id in labelled
        ]
    sealed = {
        each.name: await seal_secret(
            call,
            kms_key,
            arn,
            each.record.id,
            (await open_secret(call, arn, each.record), each.record.value.is_binary),
        )
        for each in versions
    }
    async with call.stores.resources.writing() as transaction:
        secret = await get_secret(call, arn, view=transaction)
        for version in await list_versions(transaction, secret):
            if version.name in sealed:
                record = msgspec.structs.replace(version.record, value=sealed[version.name])
                await transaction.put(replace(version, record=record))
        record = msgspec.structs.replace(secret.record, kms_key=kms_key, changed_at=call.now)
        await transaction.put(replace(secret, record=record))


async def _delete_now(call: Call, secret_id: str) -> dict[str, Any]:
    try:
        async with call.stores.resources.writing() as transaction:
            secret = await get_secret(call, secret_id, view=transaction, deleted=True)
            await remove_secret(transaction, secret)
    except ServiceError as error:
        # So that a repeated request succeeds, as at AWS; without an ARN, as there is none.
        if error.code != "ResourceNotFoundException":
            raise
        return {"Name": secret_id, "DeletionDate": call.now}
    return {"ARN": secret.arn, "Name": secret.name, "DeletionDate": call.now}


def _created(secret: Item[Secret], version_id: str | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"ARN": secret.arn, "Name": secret.name}
    return {**answer, "VersionId": version_id} if version_id else answer


def _exists(name: str) -> ServiceError:
    return ServiceError(
        "ResourceExistsException",
        f"The operation failed because the secret {name} already exists.",
    )


def _ending() -> str:
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(6))


def _refuse(params: Mapping[str, Any], *members: str) -> None:
    for member in members:
        if params.get(member):
            raise invalid_parameter(f"{member} is not supported: a secret is of one region here.")


def _refuse_types(params: Mapping[str, Any]) -> None:
    if "Type" in params:
        raise invalid_parameter("Type is not supported: there are no managed external secrets.")
