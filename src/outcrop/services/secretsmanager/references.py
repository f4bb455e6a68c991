"""Secrets as requests name them, while they are there."""

from outcrop.errors import AWSError, ServiceError
from outcrop.services.call import Call
from outcrop.stores.resources import Item, View
from outcrop.stores.secret_records import Secret
from outcrop.stores.secret_store import find_secret, read_secret_id, remove_due

_MISSING = "Secrets Manager can't find the specified secret."


async def get_secret(
    call: Call, secret_id: str, *, view: View | None = None, deleted: bool = False
) -> Item[Secret]:
    """``view`` reads within a transaction; ``deleted`` takes one whose deletion is pending."""
    if view is None:
        async with call.stores.resources.reading() as reading:
            return await get_secret(call, secret_id, view=reading, deleted=deleted)
    read = read_secret_id(secret_id, call.region, call.account)
    if read is None or read[0].region != call.region:
        raise not_found()
    secret = await find_secret(view, *read)
    if secret is None or is_gone(call, secret):
        raise not_found()
    if secret.record.deletes_at is not None and not deleted:
        raise invalid_request(
            "You can't perform this operation on the secret because it was marked for deletion."
        )
    return secret


def is_gone(call: Call, secret: Item[Secret]) -> bool:
    return secret.record.deletes_at is not None and secret.record.deletes_at <= call.now


async def sweep(call: Call) -> None:
    """Removes for good what was deleted long enough ago."""
    async with call.stores.resources.reading() as view:
        secrets = await view.list(Secret)
    if any(is_gone(call, secret) for secret in secrets):
        async with call.stores.resources.writing() as transaction:
            await remove_due(transaction, call.now)


def not_found(message: str = _MISSING) -> AWSError:
    return ServiceError("ResourceNotFoundException", message)


def invalid_request(message: str) -> AWSError:
    return ServiceError("InvalidRequestException", message)


def invalid_parameter(message: str) -> AWSError:
    return ServiceError("InvalidParameterException", message)
