"""Pages of a list, with tokens only their own operation and request take back.

A token holds a position and a digest of the request it continues. It is no secret and needs none:
it leads nowhere that the same request could not go. Any node can read it.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from outcrop.errors import ValidationException
from outcrop.wire import json
from outcrop.wire.spec import Operation, Pagination

DEFAULT_LIMIT = 100
_DIGEST_BYTES = 16
_POSITION_BYTES = 5


class NotPaginated(Exception):
    """The operation's model knows no pages."""


def page(
    operation: Operation,
    params: Mapping[str, Any],
    items: Sequence[Any],
    default_limit: int = DEFAULT_LIMIT,
) -> dict[str, Any]:
    """The part of ``items`` that ``params`` ask for, and the token for the next part if any."""
    facts = operation.pagination
    if facts is None:
        raise NotPaginated(operation.name)
    digest = _digest(operation, facts, params)
    token = params.get(facts.input_token)
    start = 0 if token is None else _position(facts, token, digest)
    if start > len(items):
        # Items went away since the last page: what is left has been seen.
        start = len(items)
    end = start + _limit(facts, params, default_limit)
    result: dict[str, Any] = {facts.result_key: list(items[start:end])}
    if facts.more_key:
        result[facts.more_key] = end < len(items)
    if end < len(items):
        result[facts.output_token] = _token(end, digest)
    return result


def _limit(facts: Pagination, params: Mapping[str, Any], default_limit: int) -> int:
    asked = params.get(facts.limit_key) if facts.limit_key else None
    return asked or default_limit


def _digest(operation: Operation, facts: Pagination, params: Mapping[str, Any]) -> bytes:
    fixed = {k: v for k, v in params.items() if k not in (facts.input_token, facts.limit_key)}
    request = [operation.service.name, operation.name, sorted(fixed.items())]
    return hashlib.blake2b(json.encode(request), digest_size=_DIGEST_BYTES).digest()


def _token(position: int, digest: bytes) -> str:
    place = position.to_bytes(_POSITION_BYTES, "big")
    return base64.urlsafe_b64encode(place + _seal(place, digest)).decode()


def _seal(place: bytes, digest: bytes) -> bytes:
    return hashlib.blake2b(place, key=digest, digest_size=_DIGEST_BYTES).digest()


def _position(facts: Pagination, token: str, digest: bytes) -> int:
    try:
        data = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    place, seal = data[:_POSITION_BYTES], data[_POSITION_BYTES:]
    if seal != _seal(place, digest):
        raise ValidationException(
            f"The {facts.input_token} value is not valid. Use the value that the previous response "
            "to the same request returned, and try again."
        )
    return int.from_bytes(place, "big")
