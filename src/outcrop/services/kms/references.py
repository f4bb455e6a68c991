"""Keys as requests name them: by ID, ARN, alias or the ARN of an alias, in the caller's region."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from outcrop.errors import AWSError, ServiceError
from outcrop.services.call import Call
from outcrop.stores.keyring import Keyring
from outcrop.stores.kms_records import KeyReference, KmsKey, read_reference
from outcrop.stores.resources import Item, Transaction

_KEY_ID = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|mrk-[0-9a-f]{32}")

NO_SUCH_CIPHERTEXT_KEY = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this "
    "region, or you are not allowed to access."
)


async def keyring_of(call: Call) -> Keyring:
    return await call.stores.keyring.settled(call.now)


async def get_key(
    call: Call, key_id: str, *, by_alias: bool = False, of_others: bool = False
) -> Item[KmsKey]:
    """``by_alias``: the operation takes aliases. ``of_others``: and keys of other accounts."""
    keyring = await keyring_of(call)
    reference = read_key_id(call, key_id)
    if reference.is_alias and not by_alias:
        raise not_found(f"Invalid keyId '{key_id}'")
    if reference.account != call.account and not of_others:
        raise denied(
            f"User: {call.caller.arn} is not authorized to perform: kms:{call.operation.name} on "
            f"resource: {reference.resource}: the operation takes keys of the caller's own account."
        )
    key = keyring.find(reference)
    if key is None:
        raise no_such_key(reference)
    return key


async def reread(transaction: Transaction, key: Item[KmsKey]) -> Item[KmsKey]:
    """As it is in the transaction that is about to change it."""
    found = await transaction.find(KmsKey, key.place)
    if found is None:
        raise no_such_key(KeyReference(key.place.region, key.place.account, key.name))
    return found


async def change_key(
    call: Call, key_id: str, edit: Callable[[Item[KmsKey]], KmsKey]
) -> Item[KmsKey]:
    """``edit`` runs alone, on a key that the customer manages: what it checks holds until its
    result is written."""
    key = await get_key(call, key_id)
    require_customers(key)
    async with call.stores.resources.writing() as transaction:
        key = await reread(transaction, key)
        return await transaction.put(replace(key, record=edit(key)))


def read_key_id(call: Call, key_id: str) -> KeyReference:
    reference = read_reference(key_id, call.region, call.account)
    if reference is None:
        raise ServiceError("InvalidArnException", f"Invalid arn {key_id}")
    if reference.region != call.region:
        raise not_found(f"Invalid arn {reference.region}")
    if not reference.is_alias and not _KEY_ID.fullmatch(reference.name):
        raise not_found(f"Invalid keyId '{reference.name}'")
    return reference


def no_such_key(reference: KeyReference) -> AWSError:
    if reference.is_alias:
        return not_found(f"Alias {reference.arn} is not found.")
    return not_found(f"Key '{reference.arn}' does not exist")


def not_found(message: str) -> AWSError:
    return ServiceError("NotFoundException", message)


def denied(message: str) -> AWSError:
    # KMS answers 400 here, unlike the services that answer 403.
    return ServiceError("AccessDeniedException", message, status=400)


def require_usable(key: Item[KmsKey]) -> None:
    require_not_pending(key)
    if not key.record.enabled:
        raise ServiceError("DisabledException", f"{key.arn} is disabled.")


def require_not_pending(key: Item[KmsKey]) -> None:
    if key.record.deletes_at is not None:
        raise ServiceError("KMSInvalidStateException", f"{key.arn} is pending deletion.")


def require_customers(key: Item[KmsKey]) -> None:
    """What AWS manages, its customers cannot change."""
    if key.record.service is not None:
        raise ServiceError(
            "AccessDeniedException",
            f"{key.arn} is managed by AWS for {key.record.service}: its policy, state and "
            "rotation cannot be changed.",
            status=400,
        )


def require_not_dry(params: Mapping[str, Any]) -> None:
    """Called where everything but the work itself has been done."""
    if params.get("DryRun"):
        raise ServiceError(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        )
