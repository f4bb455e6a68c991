"""Grants: leave for one principal to use a key, given, listed, retired and revoked.

A service gets one only by a request that it makes on a caller's behalf, and so for itself alone.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any

from outcrop.errors import ServiceError
from outcrop.security.grant_tokens import GrantToken, make_grant_token
from outcrop.services.call import Call
from outcrop.services.kms.grant_tokens import get_grant, require_grant_tokens
from outcrop.services.kms.listing import page_of
from outcrop.services.kms.references import (
    get_key,
    keyring_of,
    not_found,
    require_not_dry,
    require_not_pending,
    require_usable,
    reread,
)
from outcrop.services.operation import operation
from outcrop.stores.failures import NoSuchItem
from outcrop.stores.kms_records import KmsGrant, KmsKey, key_arn
from outcrop.stores.resources import Item, Place, Transaction

_PRINCIPAL = re.compile(r"arn:aws:(iam::[0-9]{12}:(root|user/.+|role/.+)|sts::[0-9]{12}:.+)")
_SYMMETRIC_OPERATIONS = frozenset(
    {
        "CreateGrant",
        "Decrypt",
        "DescribeKey",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "ReEncryptFrom",
        "ReEncryptTo",
        "RetireGrant",
    }
)
_MAX_GRANTS = 50_000


@operation
async def create_grant(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await require_grant_tokens(call, params)
    grant = _read_grant(call, params)
    key = await get_key(call, params["KeyId"], of_others=True)
    require_usable(key)
    require_not_dry(params)
    async with call.stores.resources.writing() as transaction:
        key = await reread(transaction, key)
        require_usable(key)
        item = await _find_twin(transaction, key, grant) or await _add(transaction, key, grant)
    token = make_grant_token(GrantToken(key.place.account, key.name, item.name))
    return {"GrantId": item.name, "GrantToken": token}


@operation
async def list_grants(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_services(params)
    key = await get_key(call, params["KeyId"], of_others=True)
    require_not_pending(key)
    keyring = await keyring_of(call)
    grants = [
        grant
        for grant in keyring.grants_of(key.place)
        if params.get("GrantId", grant.name) == grant.name
        and params.get("GranteePrincipal", grant.record.grantee) == grant.record.grantee
    ]
    return page_of(call, params, _described(grants))


@operation
async def list_retirable_grants(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_services(params)
    if "RetiringPrincipal" not in params:
        raise ServiceError("ValidationException", "RetiringPrincipal is required.")
    keyring = await keyring_of(call)
    grants = [
        grant
        for grant in keyring.grants()
        if grant.place.region == call.region
        and grant.place.account == call.account
        and grant.record.retiring == params["RetiringPrincipal"]
    ]
    return page_of(call, params, _described(grants))


@operation
async def retire_grant(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    if "GrantToken" in params:
        grant = await get_grant(call, params["GrantToken"])
    elif "KeyId" in params and "GrantId" in params:
        grant = await _get(call, params)
    else:
        raise ServiceError("ValidationException", "Give a GrantToken, or a GrantId with its KeyId.")
    require_not_dry(params)
    await _remove(call, grant)
    return {}


@operation
async def revoke_grant(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    grant = await _get(call, params)
    require_not_dry(params)
    await _remove(call, grant)
    return {}


async def _get(call: Call, params: Mapping[str, Any]) -> Item[KmsGrant]:
    key = await get_key(call, params["KeyId"], of_others=True)
    grant = (await keyring_of(call)).find_grant(key.place, params["GrantId"])
    if grant is None:
        raise not_found(f"Grant ID {params['GrantId']} not found")
    return grant


async def _remove(call: Call, grant: Item[KmsGrant]) -> None:
    try:
        async with call.stores.resources.writing() as transaction:
            await transaction.remove(KmsGrant, grant.place)
    except NoSuchItem as error:
        raise not_found(f"Grant ID {grant.name} not found") from error


def _read_grant(call: Call, params: Mapping[str, Any]) -> KmsGrant:
    _require_principals(call, params)
    unusable = sorted(set(params["Operations"]) - _SYMMETRIC_OPERATIONS)
    if unusable:
        raise ServiceError(
            "ValidationException",
            f"The operations {', '.join(unusable)} are not valid for a key of spec "
            "SYMMETRIC_DEFAULT.",
        )
    constraints: Mapping[str, Any] = params.get("Constraints", {})
    _require_constraints(constraints, is_for_service=_acting_service(call) is not None)
    return KmsGrant(
        grantee=params["GranteePrincipal"],
        operations=tuple(dict.fromkeys(params["Operations"])),
        issuer=call.caller.arn,
        retiring=params.get("RetiringPrincipal"),
        equals=constraints.get("EncryptionContextEquals"),
        subset=constraints.get("EncryptionContextSubset"),
        label=params.get("Name"),
        source_arn=constraints.get("SourceArn"),
    )


def _require_principals(call: Call, params: Mapping[str, Any]) -> None:
    _refuse_services(params)
    if "GranteePrincipal" not in params:
        raise ServiceError("ValidationException", "GranteePrincipal is required.")
    service = _acting_service(call)
    for member in ("GranteePrincipal", "RetiringPrincipal"):
        named = params.get(member)
        if named not in (None, service) and not _PRINCIPAL.fullmatch(named):
            raise ServiceError("InvalidArnException", "ARN does not refer to a valid principal")


def _acting_service(call: Call) -> str | None:
    """``bedrock.us-east-1.amazonaws.com`` is the principal ``bedrock.amazonaws.com``."""
    via = call.caller.via
    return f"{via[-1].partition('.')[0]}.amazonaws.com" if via else None


def _require_constraints(constraints: Mapping[str, Any], *, is_for_service: bool) -> None:
    if len(constraints.keys() - {"SourceArn"}) > 1:
        raise ServiceError(
            "ValidationException",
            "A grant has one constraint: EncryptionContextEquals or EncryptionContextSubset.",
        )
    if "SourceArn" in constraints and not is_for_service:
        raise ServiceError(
            "ValidationException", "The SourceArn constraint is for grants of AWS services."
        )


def _refuse_services(params: Mapping[str, Any]) -> None:
    for member in ("GranteeServicePrincipal", "RetiringServicePrincipal"):
        if member in params:
            raise ServiceError(
                "ValidationException",
                f"{member} is not supported: AWS services get their grants by their own "
                "operations. Name a user or role.",
            )


async def _find_twin(
    transaction: Transaction, key: Item[KmsKey], grant: KmsGrant
) -> Item[KmsGrant] | None:
    """A repeated request with a ``Name`` gets the grant it got before."""
    grants = await transaction.list(
        KmsGrant, account=key.place.account, region=key.place.region, parent=key.name
    )
    if len(grants) >= _MAX_GRANTS:
        raise ServiceError("LimitExceededException", f"{key.arn} has {len(grants)} grants.")
    if grant.label is None:
        return None
    return next((each for each in grants if each.record == grant), None)


async def _add(transaction: Transaction, key: Item[KmsKey], grant: KmsGrant) -> Item[KmsGrant]:
    place = Place(key.place.account, key.place.region, secrets.token_hex(32))
    return await transaction.add(grant, place, parent=key.name)


def _described(grants: list[Item[KmsGrant]]) -> list[dict[str, Any]]:
    grants.sort(key=lambda grant: (grant.created_at, grant.name))
    return [_describe(grant) for grant in grants]


def _describe(item: Item[KmsGrant]) -> dict[str, Any]:
    grant, place = item.record, item.place
    constraints = {
        "EncryptionContextEquals": grant.equals,
        "EncryptionContextSubset": grant.subset,
        "SourceArn": grant.source_arn,
    }
    described = {
        "KeyId": key_arn(place.region, place.account, item.parent),
        "GrantId": item.name,
        "Name": grant.label,
        "CreationDate": item.created_at,
        "GranteePrincipal": grant.grantee,
        "RetiringPrincipal": grant.retiring,
        "IssuingAccount": f"arn:aws:iam::{place.account}:root",
        "Operations": list(grant.operations),
        "Constraints": {name: value for name, value in constraints.items() if value is not None},
    }
    return {name: value for name, value in described.items() if value is not None and value != {}}
