"""Pages of a list, with tokens only their own operation and request take back.

A token holds a position, marks of the items on both sides of it, by which the place is found again
in a list that has changed, and a digest of the request it continues. It is no secret and needs
none: it leads nowhere that the same request could not go. Any node can read it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from outcrop.errors import ValidationException
from outcrop.wire import json
from outcrop.wire.spec import Operation, Pagination

DEFAULT_LIMIT = 100
_DIGEST_BYTES = 16
_POSITION_BYTES = 5
_MARK_BYTES = 8
_PLACE_BYTES = _POSITION_BYTES + 2 * _MARK_BYTES


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
    start = 0 if token is None else _resume(items, _place(facts, token, digest))
    end = start + _limit(facts, params, default_limit)
    result: dict[str, Any] = {facts.result_key: list(items[start:end])}
    if facts.more_key:
        result[facts.more_key] = end < len(items)
    if end < len(items):
        result[facts.output_token] = _token(items, end, digest)
    return result


def _limit(facts: Pagination, params: Mapping[str, Any], default_limit: int) -> int:
    """Not every model gives the least (EC2's give none): it is one item everywhere."""
    asked = params.get(facts.limit_key) if facts.limit_key else None
    if asked is None:
        return default_limit
    if asked < 1:
        raise ValidationException(
            f"1 validation error detected: Value '{asked}' at '{facts.limit_key}' failed to "
            "satisfy constraint: Member must have value greater than or equal to 1"
        )
    return asked


def _digest(operation: Operation, facts: Pagination, params: Mapping[str, Any]) -> bytes:
    fixed = {k: v for k, v in params.items() if k not in (facts.input_token, facts.limit_key)}
    request = [operation.service.name, operation.name, sorted(fixed.items())]
    return hashlib.blake2b(json.encode(request), digest_size=_DIGEST_BYTES).digest()


def _token(items: Sequence[Any], position: int, digest: bytes) -> str:
    place = position.to_bytes(_POSITION_BYTES, "big")
    place += _mark(items[position - 1]) + _mark(items[position])
    # Of letters and digits alone: the pattern of no service's tokens refuses those.
    return (place + _seal(place, digest)).hex()


def _mark(item: Any) -> bytes:
    return hashlib.blake2b(json.encode(item), digest_size=_MARK_BYTES).digest()


def _seal(place: bytes, digest: bytes) -> bytes:
    return hashlib.blake2b(place, key=digest, digest_size=_DIGEST_BYTES).digest()


def _place(facts: Pagination, token: str, digest: bytes) -> bytes:
    try:
        data = bytes.fromhex(token)
    except ValueError:
        data = b""
    place, seal = data[:_PLACE_BYTES], data[_PLACE_BYTES:]
    if data.hex() != token or len(place) < _PLACE_BYTES or seal != _seal(place, digest):
        raise ValidationException(
            f"The {facts.input_token} value is not valid. Use the value that the previous response "
            "to the same request returned, and try again."
        )
    return place


def _resume(items: Sequence[Any], place: bytes) -> int:
    """Where the next page begins: after the last item seen or, where that is gone, at the one that
    followed it."""
    position = int.from_bytes(place[:_POSITION_BYTES], "big")
    last = place[_POSITION_BYTES : _POSITION_BYTES + _MARK_BYTES]
    following = place[_POSITION_BYTES + _MARK_BYTES :]
    if position <= len(items) and _mark(items[position - 1]) == last:
        return position
    marks = [_mark(item) for item in items]
    if last in marks:
        return marks.index(last) + 1
    # Both are gone or changed: what is left of a list that shrank has been seen.
    return marks.index(following) if following in marks else min(position, len(items))
