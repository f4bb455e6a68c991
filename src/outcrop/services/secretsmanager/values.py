"""The values of secrets: versions put and got."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec

from outcrop.errors import AWSError, ServiceError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.secretsmanager.references import (
    get_secret,
    invalid_parameter,
    invalid_request,
    not_found,
)
from outcrop.services.secretsmanager.sealing import (
    is_same,
    open_secret,
    read_value,
    seal_digest,
    seal_secret,
)
from outcrop.services.secretsmanager.stages import CURRENT, drop_deprecated, labels_of, moved
from outcrop.stores.resources import Item, Transaction, View
from outcrop.stores.secret_records import Secret, SecretVersion
from outcrop.stores.secret_store import list_versions, version_place

Value = tuple[bytes, bool]


@operation
async def put_secret_value(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    if "RotationToken" in params:
        raise invalid_parameter("RotationToken is not supported: rotation comes with Lambda.")
    value = read_value(params)
    if value is None:
        raise invalid_parameter("You must provide either SecretString or SecretBinary.")
    secret = await get_secret(call, params["SecretId"])
    version_id = params.get("ClientRequestToken") or str(uuid4())
    stages = params.get("VersionStages") or (CURRENT,)
    secret = await put_version(call, secret, version_id, value, stages)
    return {
        "ARN": secret.arn,
        "Name": secret.name,
        "VersionId": version_id,
        "VersionStages": labels_of(secret, version_id),
    }


@operation
async def get_secret_value(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        secret = await get_secret(call, params["SecretId"], view=view)
        version = await _get_version(view, secret, params)
    opened = await open_secret(call, secret.arn or "", version.record)
    await _note_access(call, secret, version)
    answer: dict[str, Any] = {
        "ARN": secret.arn,
        "Name": secret.name,
        "VersionId": version.record.id,
        "VersionStages": labels_of(secret, version.record.id),
        "CreatedDate": version.created_at,
    }
    if version.record.value.is_binary:
        return {**answer, "SecretBinary": opened}
    return {**answer, "SecretString": opened.decode("utf-8", "surrogatepass")}


@operation
async def batch_get_secret_value(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """Each secret is asked for as its own GetSecretValue, and fails by itself."""
    listed, filters = params.get("SecretIdList"), params.get("Filters")
    if (listed is None) == (filters is None):
        raise invalid_parameter("Specify either SecretIdList or Filters.")
    answer: dict[str, Any] = {"SecretValues": [], "Errors": []}
    if listed is None:
        asked = {name: params[name] for name in ("MaxResults", "NextToken") if name in params}
        found = await call.perform("secretsmanager", "ListSecrets", {"Filters": filters, **asked})
        listed = [secret["ARN"] for secret in found["SecretList"]]
        if "NextToken" in found:
            answer["NextToken"] = found["NextToken"]
    elif "MaxResults" in params or "NextToken" in params:
        raise invalid_parameter("MaxResults and NextToken go with Filters, not with SecretIdList.")
    for secret_id in listed:
        try:
            value = await call.perform("secretsmanager", "GetSecretValue", {"SecretId": secret_id})
            answer["SecretValues"].append(value)
        except AWSError as error:
            failed = {"SecretId": secret_id, "ErrorCode": error.code, "Message": error.message}
            answer["Errors"].append(failed)
    return answer


async def put_version(
    call: Call, secret: Item[Secret], version_id: str, value: Value, stages: Collection[str]
) -> Item[Secret]:
    """The secret with a new version of these labels, or with the one that the same request made
    before."""
    arn = secret.arn or ""
    sealed = await seal_secret(call, secret.record.kms_key, arn, version_id, value)
    record = SecretVersion(
        id=version_id, value=sealed, digest=seal_digest(call, arn, version_id, value)
    )
    async with call.stores.resources.writing() as transaction:
        secret = await get_secret(call, arn, view=transaction)
        place = version_place(secret, version_id)
        known = await transaction.find(SecretVersion, place)
        if known is not None:
            require_same(call, arn, known, value)
            return secret
        if CURRENT not in secret.record.stages:
            stages = (CURRENT, *stages)
        secret = with_stages(secret, moved(secret.record.stages, stages, version_id))
        await transaction.add(record, place, parent=arn)
        await drop_deprecated(transaction, secret, await list_versions(transaction, secret))
        await touch(transaction, secret, call.now)
    return secret


def with_stages(secret: Item[Secret], stages: dict[str, str]) -> Item[Secret]:
    return replace(secret, record=msgspec.structs.replace(secret.record, stages=stages))


async def touch(transaction: Transaction, secret: Item[Secret], now: datetime) -> None:
    record = msgspec.structs.replace(secret.record, changed_at=now)
    await transaction.put(replace(secret, record=record))


def require_same(call: Call, arn: str, known: Item[SecretVersion], value: Value) -> None:
    if not is_same(call, arn, known.record, value):
        raise ServiceError(
            "ResourceExistsException",
            f"You can't use ClientRequestToken {known.record.id} because that value is already in "
            f"use for a version of secret {arn}.",
        )


async def _get_version(
    view: View, secret: Item[Secret], params: Mapping[str, Any]
) -> Item[SecretVersion]:
    version_id, stage = params.get("VersionId"), params.get("VersionStage")
    if version_id is None:
        stage = stage or CURRENT
        version_id, asked = secret.record.stages.get(stage), f"staging label: {stage}"
    else:
        asked = f"VersionId: {version_id}"
    found = (
        await view.find(SecretVersion, version_place(secret, version_id)) if version_id else None
    )
    if found is None:
        raise not_found(f"Secrets Manager can't find the specified secret value for {asked}")
    if stage is not None and secret.record.stages.get(stage) != version_id:
        raise invalid_request(
            "You provided a VersionStage that is not associated to the provided VersionId."
        )
    return found


async def _note_access(call: Call, secret: Item[Secret], version: Item[SecretVersion]) -> None:
    """AWS tells the day of the last access only, so this writes once a day."""
    today = call.now.replace(hour=0, minute=0, second=0, microsecond=0)
    if secret.record.accessed_on == today == version.record.accessed_on:
        return
    async with call.stores.resources.writing() as transaction:
        for kind, place in ((Secret, secret.place), (SecretVersion, version.place)):
            item = await transaction.find(kind, place)
            if item is not None:
                record = msgspec.structs.replace(item.record, accessed_on=today)
                await transaction.put(replace(item, record=record))
