"""CBOR in and out, as far as Smithy RPC v2 uses it. ``decode`` raises ``MalformedCbor`` for
whatever is not that, and nothing else.

Of the tags only 1, a timestamp, is known there. The others that the library would act on (shared
values, regular expressions, decimals of any exponent …) are refused before they are read.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import cbor2

MAX_DEPTH = 100
# All that cbor2 has a decoder for, but 1.
_KNOWN_TAGS = (
    *(0, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261),
    *(1004, 43000, 55799),
)


class MalformedCbor(Exception):
    """The bytes are no CBOR item of the protocol."""


def decode(data: bytes) -> Any:
    try:
        return cbor2.loads(
            data,
            tag_hook=_refuse,
            semantic_decoders=_REFUSED,
            strict_hashable_types=True,
            max_depth=MAX_DEPTH,
        )
    except (cbor2.CBORError, ValueError, OverflowError, RecursionError) as error:
        raise MalformedCbor(str(error)) from error


def encode(value: object) -> bytes:
    return cbor2.dumps(value, datetime_as_timestamp=True)


def _refuse(*_: object) -> NoReturn:
    raise MalformedCbor("a tag that the protocol does not have")


_REFUSED: dict[int, Callable[..., Any]] = dict.fromkeys(_KNOWN_TAGS, _refuse)
