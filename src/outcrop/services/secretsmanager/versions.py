"""The versions of a secret and their staging labels."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from outcrop.errors import ServiceError, ValidationException
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.secretsmanager.references import (
    get_secret,
    invalid_parameter,
    invalid_request,
    not_found,
)
from outcrop.services.secretsmanager.stages import CURRENT, labels_of, moved
from outcrop.services.secretsmanager.values import touch, with_stages
from outcrop.stores.resources import Item
from outcrop.stores.secret_records import Secret, SecretVersion
from outcrop.stores.secret_store import list_versions
from outcrop.wire.paging import page
from outcrop.wire.spec import Pagination

# botocore describes no paginator for it.
_PAGES = Pagination("NextToken", "NextToken", "MaxResults", "Versions")


@operation
async def list_secret_version_ids(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        secret = await get_secret(call, params["SecretId"], view=view, deleted=True)
        versions = await list_versions(view, secret)
    labelled = set(secret.record.stages.values())
    shown = [
        _describe(secret, version)
        for version in versions
        if version.record.id in labelled or params.get("IncludeDeprecated")
    ]
    try:
        result = page(replace(call.operation, pagination=_PAGES), params, shown)
    except ValidationException as error:
        raise ServiceError("InvalidNextTokenException", error.message) from error
    return {**result, "ARN": secret.arn, "Name": secret.name}


@operation
async def update_secret_version_stage(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    stage, target = params["VersionStage"], params.get("MoveToVersionId")
    source = params.get("RemoveFromVersionId")
    async with call.stores.resources.writing() as transaction:
        secret = await get_secret(call, params["SecretId"], view=transaction)
        known = {version.record.id for version in await list_versions(transaction, secret)}
        for version_id in (source, target):
            if version_id is not None and version_id not in known:
                raise not_found()
        stages = secret.record.stages
        _require_move(stages.get(stage), stage, source, target)
        stages = (
            {label: version_id for label, version_id in stages.items() if label != stage}
            if target is None
            else moved(stages, (stage,), target)
        )
        await touch(transaction, with_stages(secret, stages), call.now)
    return {"ARN": secret.arn, "Name": secret.name}


def _require_move(held: str | None, stage: str, source: str | None, target: str | None) -> None:
    if source is None and target is None:
        raise invalid_parameter("Specify RemoveFromVersionId, MoveToVersionId or both.")
    if target is None and stage == CURRENT:
        raise invalid_parameter(
            "You can only move staging label AWSCURRENT to a different secret version. It can't "
            "be completely removed."
        )
    if held is not None and held not in (source, target):
        raise invalid_parameter(
            f"The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently "
            f"attached to version {held}, so you must explicitly reference that version in "
            "RemoveFromVersionId."
        )
    if source is not None and source != held:
        raise invalid_request(f"Staging label {stage} is not attached to version {source}.")


def _describe(secret: Item[Secret], version: Item[SecretVersion]) -> dict[str, Any]:
    described = {
        "VersionId": version.record.id,
        "VersionStages": labels_of(secret, version.record.id) or None,
        "LastAccessedDate": version.record.accessed_on,
        "CreatedDate": version.created_at,
        "KmsKeyIds": [version.record.value.key_arn],
    }
    return {name: value for name, value in described.items() if value is not None}
