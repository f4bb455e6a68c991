"""Frames of application/vnd.amazon.eventstream, both ways.

u32 total length · u32 headers length · u32 CRC of those 8 bytes
headers: u8 name length · name · u8 type · value …
payload · u32 CRC of everything before          (all big-endian)
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID
from zlib import crc32

MAX_HEADERS_BYTES = 128 * 1024
MAX_PAYLOAD_BYTES = 24 * 1024 * 1024
_PRELUDE = struct.Struct(">III")
_LENGTHS = struct.Struct(">II")
_U32 = struct.Struct(">I")
_OVERHEAD = _PRELUDE.size + _U32.size
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_VARIABLE_BYTES = 32_767


class EventStreamError(Exception):
    """Bytes that are no frame, or a frame that cannot be written."""


class FrameTooLarge(EventStreamError):
    """A length above the limits."""


class FrameTooShort(EventStreamError):
    """The lengths of the prelude leave no room for what they announce."""


class PreludeChecksumMismatch(EventStreamError):
    pass


class MessageChecksumMismatch(EventStreamError):
    pass


class MalformedHeader(EventStreamError):
    """A header's name, type or value is broken or cut off."""


class DuplicateHeader(MalformedHeader):
    pass


class TruncatedStream(EventStreamError):
    """The stream ended inside a frame."""


@dataclass(frozen=True, slots=True)
class Byte:
    """A header value of 8 bits; a plain ``int`` travels as 64 bits."""

    value: int


@dataclass(frozen=True, slots=True)
class Short:
    """A header value of 16 bits."""

    value: int


@dataclass(frozen=True, slots=True)
class Int32:
    """A header value of 32 bits."""

    value: int


HeaderValue = bool | Byte | Short | Int32 | int | bytes | str | datetime | UUID


@dataclass(frozen=True, slots=True)
class Frame:
    headers: Mapping[str, HeaderValue] = field(default_factory=dict[str, HeaderValue])
    payload: bytes = b""


def encode(headers: Mapping[str, HeaderValue], payload: bytes) -> bytes:
    return frame(encode_headers(headers), payload)


def encode_headers(headers: Mapping[str, HeaderValue]) -> bytes:
    encoded = b"".join(_encode_header(name, value) for name, value in headers.items())
    if len(encoded) > MAX_HEADERS_BYTES:
        raise FrameTooLarge(f"headers of {len(encoded)} bytes; {MAX_HEADERS_BYTES} are allowed")
    return encoded


@lru_cache(maxsize=256)
def event_headers(event_type: str, content_type: str = "application/json") -> bytes:
    """The encoded headers of an event, in the order the real service sends."""
    return encode_headers(
        {":event-type": event_type, ":content-type": content_type, ":message-type": "event"}
    )


@lru_cache(maxsize=256)
def exception_headers(exception_type: str) -> bytes:
    return encode_headers(
        {
            ":exception-type": exception_type,
            ":content-type": "application/json",
            ":message-type": "exception",
        }
    )


def frame(encoded_headers: bytes, payload: bytes) -> bytes:
    """One frame from headers that are encoded already."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise FrameTooLarge(f"payload of {len(payload)} bytes; {MAX_PAYLOAD_BYTES} are allowed")
    header_bytes = len(encoded_headers)
    lengths = _LENGTHS.pack(_OVERHEAD + header_bytes + len(payload), header_bytes)
    body = b"".join((lengths, _U32.pack(crc32(lengths)), encoded_headers, payload))
    return body + _U32.pack(crc32(body))


def _sized(kind: int, value: bytes) -> bytes:
    if len(value) > _MAX_VARIABLE_BYTES:
        raise MalformedHeader(f"value of {len(value)} bytes; {_MAX_VARIABLE_BYTES} are allowed")
    return struct.pack(">BH", kind, len(value)) + value


def _encode_value(value: HeaderValue) -> bytes:
    match value:
        case bool():
            return b"\x00" if value else b"\x01"
        case Byte(number):
            return struct.pack(">Bb", 2, number)
        case Short(number):
            return struct.pack(">Bh", 3, number)
        case Int32(number):
            return struct.pack(">Bi", 4, number)
        case int():
            return struct.pack(">Bq", 5, value)
        case bytes():
            return _sized(6, value)
        case str():
            return _sized(7, value.encode())
        case datetime():
            return struct.pack(">Bq", 8, (value - _EPOCH) // timedelta(milliseconds=1))
        case UUID():
            return b"\x09" + value.bytes


def _encode_header(name: str, value: HeaderValue) -> bytes:
    try:
        encoded_name = name.encode()
        encoded_value = _encode_value(value)
    except (struct.error, UnicodeError, TypeError, OverflowError) as error:
        raise MalformedHeader(f"header {name!r}: {error}") from error
    if not 0 < len(encoded_name) < 256:
        raise MalformedHeader(f"header name of {len(encoded_name)} bytes; 1 to 255 are allowed")
    return bytes((len(encoded_name),)) + encoded_name + encoded_value


class Decoder:
    """Feed bytes as they come; take the frames that are whole. After an error it is spent."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take ``data`` in, and give the frames that are complete by now."""
        self._buffer += data
        return self._frames()

    def finish(self) -> None:
        """The stream has ended; what is left over was cut off."""
        if self._buffer:
            raise TruncatedStream(f"{len(self._buffer)} bytes of an unfinished frame")

    def _frames(self) -> Iterator[Frame]:
        while len(self._buffer) >= _PRELUDE.size:
            total, header_bytes = _check_prelude(self._buffer)
            if len(self._buffer) < total:
                return
            data = bytes(self._buffer[:total])
            del self._buffer[:total]
            yield _decode_frame(data, header_bytes)


def _check_prelude(data: bytearray) -> tuple[int, int]:
    total, header_bytes, checksum = _PRELUDE.unpack_from(data)
    # The checksum first: lengths of a broken prelude mean nothing.
    if crc32(data[:8]) != checksum:
        raise PreludeChecksumMismatch("the prelude's checksum is wrong")
    if header_bytes > MAX_HEADERS_BYTES:
        raise FrameTooLarge(f"headers of {header_bytes} bytes; {MAX_HEADERS_BYTES} are allowed")
    payload_bytes = total - header_bytes - _OVERHEAD
    if payload_bytes < 0:
        raise FrameTooShort(f"{total} bytes cannot hold {header_bytes} bytes of headers")
    if payload_bytes > MAX_PAYLOAD_BYTES:
        raise FrameTooLarge(f"payload of {payload_bytes} bytes; {MAX_PAYLOAD_BYTES} are allowed")
    return total, header_bytes


def _decode_frame(data: bytes, header_bytes: int) -> Frame:
    if crc32(data[:-4]) != _U32.unpack_from(data, len(data) - 4)[0]:
        raise MessageChecksumMismatch("the message's checksum is wrong")
    end = _PRELUDE.size + header_bytes
    return Frame(_decode_headers(data[_PRELUDE.size : end]), data[end:-4])


def _decode_headers(data: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    position = 0
    while position < len(data):
        try:
            name, value, position = _decode_header(data, position)
        except (struct.error, UnicodeError, IndexError, OverflowError) as error:
            raise MalformedHeader(f"header at byte {position}: {error}") from error
        if name in headers:
            raise DuplicateHeader(f"header {name!r} comes twice")
        headers[name] = value
    return headers


def _decode_header(data: bytes, position: int) -> tuple[str, HeaderValue, int]:
    size = data[position]
    position += 1
    if size == 0:
        raise MalformedHeader("a header has no name")
    name = _take(data, position, size).decode()
    position += size
    value, used = _decode_value(data[position], data, position + 1)
    return name, value, position + 1 + used


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


_NUMBERS: dict[int, Any] = {
    2: (struct.Struct(">b"), Byte),
    3: (struct.Struct(">h"), Short),
    4: (struct.Struct(">i"), Int32),
    5: (struct.Struct(">q"), int),
    8: (struct.Struct(">q"), _moment),
}


def _decode_value(kind: int, data: bytes, position: int) -> tuple[HeaderValue, int]:
    if kind in (0, 1):
        return kind == 0, 0
    if kind in _NUMBERS:
        layout, make = _NUMBERS[kind]
        return make(layout.unpack_from(data, position)[0]), layout.size
    if kind in (6, 7):
        size = struct.unpack_from(">H", data, position)[0]
        if size > _MAX_VARIABLE_BYTES:
            raise MalformedHeader(f"value of {size} bytes; {_MAX_VARIABLE_BYTES} are allowed")
        value = _take(data, position + 2, size)
        return (value if kind == 6 else value.decode()), size + 2
    if kind == 9:
        return UUID(bytes=_take(data, position, 16)), 16
    raise MalformedHeader(f"unknown header type {kind}")


def _take(data: bytes, position: int, size: int) -> bytes:
    value = data[position : position + size]
    if len(value) < size:
        raise MalformedHeader("a header is cut off")
    return value
