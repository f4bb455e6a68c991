"""Service-specific credentials: long-term Bedrock API keys. The token is shown once.

Only Bedrock's: the other services that have such credentials (CodeCommit, Keyspaces) are not here.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import structs

from outcrop.errors import ServiceError
from outcrop.identity import hash_api_secret, render_api_key
from outcrop.services.call import Call
from outcrop.services.iam.documents import limit_exceeded
from outcrop.services.iam.listing import listed_together
from outcrop.services.iam.refusals import check_status
from outcrop.services.iam.users import get_known_user, named_user
from outcrop.services.operation import operation
from outcrop.stores.iam_records import ServiceCredentialRecord
from outcrop.stores.keys import BEDROCK, new_api_secret
from outcrop.stores.resources import Item, Place, Transaction

MAX_CREDENTIALS_OF_USER: Final = 2


@operation
async def create_service_specific_credential(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    service, days = params["ServiceName"], params.get("CredentialAgeDays")
    async with call.stores.resources.writing() as transaction:
        user = get_known_user(call, params["UserName"]).name
        _check_service(service)
        if len(call.stores.directory.credentials_of(call.account, user)) >= MAX_CREDENTIALS_OF_USER:
            raise limit_exceeded("ServiceSpecificCredentialsPerUser", MAX_CREDENTIALS_OF_USER)
        credential, token = await call.stores.keys.add_api_key(
            transaction,
            (call.account, user),
            expires_at=None if days is None else call.now + timedelta(days=days),
            service=service,
        )
    return {"ServiceSpecificCredential": _with_secret(call, credential, token)}


@operation
async def list_service_specific_credentials(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    if params.get("AllUsers"):
        if "UserName" in params:
            raise ServiceError("InvalidInput", "UserName cannot be given together with AllUsers.")
        user = None
    else:
        user = get_known_user(call, named_user(call, params)).name
    if "ServiceName" in params:
        _check_service(params["ServiceName"])
    credentials = call.stores.directory.credentials_of(call.account, user)
    rendered = [_render(call, credential) for credential in credentials]
    return listed_together(call, params, {"ServiceSpecificCredentials": rendered})


@operation
async def update_service_specific_credential(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    check_status(params["Status"])
    async with call.stores.resources.writing() as transaction:
        credential = await _get(transaction, call, params)
        record = structs.replace(credential.record, status=params["Status"])
        await transaction.put(replace(credential, record=record))
    return {}


@operation
async def reset_service_specific_credential(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    secret = new_api_secret()
    async with call.stores.resources.writing() as transaction:
        credential = await _get(transaction, call, params)
        record = structs.replace(credential.record, secret_hash=hash_api_secret(secret))
        credential = await transaction.put(replace(credential, record=record))
    token = render_api_key(credential.record.username, secret)
    return {"ServiceSpecificCredential": _with_secret(call, credential, token)}


@operation
async def delete_service_specific_credential(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        credential = await _get(transaction, call, params)
        await transaction.remove(ServiceCredentialRecord, credential.place)
    return {}


async def _get(
    transaction: Transaction, call: Call, params: Mapping[str, Any]
) -> Item[ServiceCredentialRecord]:
    user = get_known_user(call, named_user(call, params)).name
    name = params["ServiceSpecificCredentialId"]
    credential = await transaction.find(ServiceCredentialRecord, Place(call.account, "", name))
    if credential is None or credential.parent != user:
        raise ServiceError("NoSuchEntity", f"No such credential {name} exists")
    return credential


def _check_service(service: str) -> None:
    if service != BEDROCK:
        raise ServiceError(
            "NoSuchEntity",
            f"No such service {service} is supported for Service Specific Credentials",
        )


def _render(call: Call, credential: Item[ServiceCredentialRecord]) -> dict[str, Any]:
    record = credential.record
    ends = {} if record.expires_at is None else {"ExpirationDate": record.expires_at}
    return {
        "CreateDate": credential.created_at.replace(microsecond=0),
        **ends,
        "ServiceName": record.service,
        "ServiceCredentialAlias": record.username,
        "ServiceSpecificCredentialId": credential.name,
        "UserName": credential.parent,
        "Status": _status(record, call.now),
    }


def _with_secret(
    call: Call, credential: Item[ServiceCredentialRecord], token: str
) -> dict[str, Any]:
    return {**_render(call, credential), "ServiceCredentialSecret": token}


def _status(record: ServiceCredentialRecord, now: datetime) -> str:
    has_ended = record.expires_at is not None and record.expires_at <= now
    return "Expired" if has_ended else record.status
