"""JSON in and out. ``decode`` raises ``MalformedJson`` for whatever is not plain JSON, and nothing
else: broken UTF-8, lone surrogates, NaN, numbers out of range, hostile nesting. Of repeated keys
the last counts.
"""

from typing import Any

import msgspec

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


class MalformedJson(Exception):
    """The bytes are not one JSON document."""


def decode(data: bytes) -> Any:
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError) as error:
        raise MalformedJson(str(error)) from error


def encode(value: object) -> bytes:
    return _encoder.encode(value)
