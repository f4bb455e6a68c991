"""Key policies. A policy that would shut out its own author is refused unless that is asked for."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from outcrop.authorization.kms_facts import KeyAccess
from outcrop.errors import ServiceError
from outcrop.security.policy.document import MalformedPolicy, parse_policy
from outcrop.services.call import Call
from outcrop.services.kms.listing import page_of
from outcrop.services.kms.references import get_key, not_found, require_customers, reread
from outcrop.services.operation import operation
from outcrop.stores.known_principals import is_known

_NAME = "default"


@operation
async def get_key_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _require_default(params)
    key = await get_key(call, params["KeyId"])
    return {"Policy": key.record.policy, "PolicyName": _NAME}


@operation
async def list_key_policies(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await get_key(call, params["KeyId"])
    return page_of(call, params, [_NAME])


@operation
async def put_key_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _require_default(params)
    key = await get_key(call, params["KeyId"])
    require_customers(key)
    await accept_policy(call, key.arn or "", params)
    async with call.stores.resources.writing() as transaction:
        key = await reread(transaction, key)
        record = msgspec.structs.replace(key.record, policy=params["Policy"])
        await transaction.put(replace(key, record=record))
    return {}


async def accept_policy(call: Call, arn: str, params: Mapping[str, Any]) -> None:
    """Raises unless ``Policy`` is well-formed and leaves its author in charge of the key."""
    text = params["Policy"]
    try:
        policy = parse_policy(text, "key", name=arn)
    except MalformedPolicy as error:
        raise ServiceError("MalformedPolicyDocumentException", str(error)) from error
    named = {arn for each in policy.statements if each.principals for arn in each.principals.arns}
    if not all(is_known(call.stores.directory, each) for each in named - {"*"}):
        # Somebody who gets the name later would get the key with it.
        raise ServiceError(
            "MalformedPolicyDocumentException",
            "Policy contains a statement with one or more invalid principals.",
        )
    if params.get("BypassPolicyLockoutSafetyCheck"):
        return
    keys = {"kms:calleraccount": call.account}
    if not await call.may(KeyAccess("kms:PutKeyPolicy", arn, keys, policy=text)):
        raise ServiceError(
            "MalformedPolicyDocumentException",
            "The new key policy will not allow you to update the key policy in the future.",
        )


def _require_default(params: Mapping[str, Any]) -> None:
    if params.get("PolicyName", _NAME) != _NAME:
        raise not_found("No such policy exists")
