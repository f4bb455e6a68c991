"""Client tokens: a request that comes again within a day is answered as it was the first time.

``replay`` and ``remember`` belong into the transaction that makes the resource: of many requests
with one token, one makes it and the others find its answer.
"""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, cast

import msgspec

from outcrop.errors import ConflictException, ValidationException
from outcrop.services.call import Call
from outcrop.stores.model_records import RequestToken
from outcrop.stores.request_tokens import forget_tokens
from outcrop.stores.resources import Place, Transaction

_KEPT: Final = timedelta(hours=24)

_encode = msgspec.json.Encoder(order="deterministic").encode


async def replay(
    transaction: Transaction, call: Call, params: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What this request was answered, if it came before. The same token with other parameters is
    refused."""
    place = _place(call, params)
    if place is None:
        return None
    await forget_tokens(transaction, call.account, call.region, call.now - _KEPT)
    known = await transaction.find(RequestToken, place)
    if known is None:
        return None
    if known.record.digest != _digest(call, params):
        raise _other_request(call)
    return cast("dict[str, Any]", msgspec.msgpack.decode(known.record.answer))


async def remember(
    transaction: Transaction, call: Call, params: Mapping[str, Any], answer: Mapping[str, Any]
) -> None:
    """For ``replay``. A request without a token is not remembered."""
    place = _place(call, params)
    if place is not None:
        # Unlike JSON, it keeps times and bytes what they are.
        encoded = msgspec.msgpack.encode(answer)
        record = RequestToken(digest=_digest(call, params), answer=encoded)
        await transaction.add(record, place)


def _place(call: Call, params: Mapping[str, Any]) -> Place | None:
    member = call.operation.idempotency_token
    token = None if member is None else params.get(member)
    if token is None:
        return None
    name = f"{call.operation.service.name}:{call.operation.name}:{token}"
    return Place(call.account, call.region, name)


def _digest(call: Call, params: Mapping[str, Any]) -> str:
    member = call.operation.idempotency_token
    rest = {name: value for name, value in params.items() if name != member}
    return hashlib.sha256(_encode(rest)).hexdigest()


def _other_request(call: Call) -> ConflictException | ValidationException:
    member = call.operation.idempotency_token
    text = (
        f"The {member} of this request was used with other parameters before. Use a new token for "
        "a new request."
    )
    if "ConflictException" in call.operation.errors:
        return ConflictException(text)
    return ValidationException(text)
