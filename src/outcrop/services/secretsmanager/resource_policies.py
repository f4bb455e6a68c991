"""Resource policies of secrets."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import msgspec

from outcrop.errors import ServiceError
from outcrop.security.policy.document import MalformedPolicy, Policy, parse_policy
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.secretsmanager.references import get_secret, invalid_parameter
from outcrop.services.secretsmanager.values import touch


@operation
async def get_resource_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_names(params)
    secret = await get_secret(call, params["SecretId"], deleted=True)
    answer = {"ARN": secret.arn, "Name": secret.name}
    policy = secret.record.policy
    return answer if policy is None else {**answer, "ResourcePolicy": policy}


@operation
async def put_resource_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_names(params)
    text = params["ResourcePolicy"]
    try:
        policy = _parse(text)
    except MalformedPolicy as error:
        raise ServiceError("MalformedPolicyDocumentException", str(error)) from error
    if params.get("BlockPublicPolicy") and _is_public(policy):
        raise ServiceError(
            "PublicPolicyException", "The resource policy lets everyone have the secret."
        )
    return await _set_policy(call, params, text)


@operation
async def delete_resource_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_names(params)
    return await _set_policy(call, params, None)


@operation
async def validate_resource_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    if "SecretId" in params:
        await get_secret(call, params["SecretId"])
    errors: list[dict[str, str]] = []
    try:
        policy = _parse(params["ResourcePolicy"])
    except MalformedPolicy as error:
        errors.append({"CheckName": "SYNTAX", "ErrorMessage": str(error)})
    else:
        if _is_public(policy):
            message = "The resource policy lets everyone have the secret."
            errors.append({"CheckName": "PUBLIC_ACCESS", "ErrorMessage": message})
    return {"PolicyValidationPassed": not errors, "ValidationErrors": errors}


async def _set_policy(call: Call, params: Mapping[str, Any], text: str | None) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        secret = await get_secret(call, params["SecretId"], view=transaction)
        record = msgspec.structs.replace(secret.record, policy=text)
        await touch(transaction, replace(secret, record=record), call.now)
    return {"ARN": secret.arn, "Name": secret.name}


def _parse(text: str) -> Policy:
    return parse_policy(text, "resource")


def _is_public(policy: Policy) -> bool:
    """Everyone is allowed something, on no condition."""
    document = msgspec.json.decode(policy.text)
    statements: Any = document["Statement"]
    listed = cast("list[Any]", statements if isinstance(statements, list) else [statements])
    return any(_allows_everyone(statement) for statement in listed)


def _allows_everyone(statement: Mapping[str, Any]) -> bool:
    if statement["Effect"] != "Allow" or statement.get("Condition"):
        return False
    principal = statement.get("Principal", {})
    named = principal if isinstance(principal, str) else principal.get("AWS", ())
    return "NotPrincipal" in statement or "*" in ([named] if isinstance(named, str) else named)


def _refuse_names(params: Mapping[str, Any]) -> None:
    if "PolicyName" in params:
        raise invalid_parameter("PolicyName is not supported: a secret has one resource policy.")
