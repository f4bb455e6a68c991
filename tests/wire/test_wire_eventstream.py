"""Frames: tables of bytes run both ways, malformed ones by name, recordings byte for byte."""

import base64
import struct
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zlib import crc32

import msgspec
import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, strategies as st

from outcrop.wire import eventstream
from outcrop.wire.eventstream import (
    Byte,
    Decoder,
    DuplicateHeader,
    EventStreamError,
    Frame,
    FrameTooLarge,
    FrameTooShort,
    Int32,
    MalformedHeader,
    MessageChecksumMismatch,
    PreludeChecksumMismatch,
    Short,
    TruncatedStream,
)

SHARED = Path(__file__).resolve().parents[2] / "../shared"

# Header bytes by hand: name length, name, type, value.
TABLE: dict[str, tuple[Frame, str]] = {
    "empty": (Frame(), "00000010 00000000 05c248eb 7d98c8ff"),
    "payload alone": (
        Frame({}, b"{'foo':'bar'}"),
        "0000001d 00000000 fd528c5a 7b27666f6f273a27626172277d c3653936",
    ),
    "every type": (
        Frame(
            {
                "t": True,
                "f": False,
                "b": Byte(-1),
                "s": Short(-2),
                "i": Int32(40972),
                "l": 42424242,
                "y": b"\x00\xff",
                "x": "é",
                "m": datetime(1970, 1, 1, 0, 0, 8, 675000, tzinfo=UTC),
                "u": UUID("01020304-0506-0708-090a-0b0c0d0e0f10"),
            },
            b"",
        ),
        "headers: 0174 00 0166 01 0162 02 ff 0173 03 fffe 0169 04 0000a00c 016c 05 "
        "00000000028757b2 0179 06 0002 00ff 0178 07 0002 c3a9 016d 08 00000000000021e3 "
        "0175 09 0102030405060708090a0b0c0d0e0f10",
    ),
}


def bytes_of(text: str) -> bytes:
    if text.startswith("headers:"):
        return built(bytes.fromhex(text.removeprefix("headers:")))
    return bytes.fromhex(text)


def built(headers: bytes, payload: bytes = b"") -> bytes:
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return body + struct.pack(">I", crc32(body))


@pytest.mark.parametrize(("frame", "text"), TABLE.values(), ids=TABLE.keys())
def test_frames_encode_and_decode_as_the_table_says(frame: Frame, text: str) -> None:
    data = bytes_of(text)
    assert eventstream.encode(frame.headers, frame.payload) == data
    assert list(Decoder().feed(data)) == [frame]


def decode(data: bytes) -> list[Frame]:
    decoder = Decoder()
    frames = list(decoder.feed(data))
    decoder.finish()
    return frames


GOOD = built(b"\x01a\x07\x00\x01b", b"payload")


def prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", crc32(lengths))


MALFORMED: dict[str, tuple[bytes, type[EventStreamError]]] = {
    "prelude checksum": (GOOD[:8] + b"\0\0\0\0" + GOOD[12:], PreludeChecksumMismatch),
    "length changed": (b"\0\0\0\x80" + GOOD[4:], PreludeChecksumMismatch),
    "message checksum": (GOOD[:-1] + bytes((GOOD[-1] ^ 1,)), MessageChecksumMismatch),
    "payload changed": (GOOD.replace(b"payload", b"PAYLOAD"), MessageChecksumMismatch),
    "headers longer than the frame": (prelude(20, 5), FrameTooShort),
    "shorter than a frame can be": (prelude(15, 0), FrameTooShort),
    "no length": (prelude(0, 0), FrameTooShort),
    "headers above the limit": (prelude(2**31, 128 * 1024 + 1), FrameTooLarge),
    "payload above the limit": (prelude(24 * 1024 * 1024 + 17, 0), FrameTooLarge),
    "cut in the prelude": (GOOD[:7], TruncatedStream),
    "cut in the payload": (GOOD[:-6], TruncatedStream),
    "rubbish after a frame": (GOOD + b"HTTP/1.1 200", PreludeChecksumMismatch),
    "header without a name": (built(b"\x00\x00"), MalformedHeader),
    "header name cut off": (built(b"\x05ab"), MalformedHeader),
    "header without a type": (built(b"\x01a"), MalformedHeader),
    "header of unknown type": (built(b"\x01a\x0a"), MalformedHeader),
    "header number cut off": (built(b"\x01a\x05\x00"), MalformedHeader),
    "header length cut off": (built(b"\x01a\x07\x00"), MalformedHeader),
    "header text cut off": (built(b"\x01a\x07\x00\x05ab"), MalformedHeader),
    "header text above the limit": (built(b"\x01a\x07\x80\x00" + b"x" * 32768), MalformedHeader),
    "header uuid cut off": (built(b"\x01a\x09" + b"x" * 15), MalformedHeader),
    "header name not UTF-8": (built(b"\x01\xff\x00"), MalformedHeader),
    "header text not UTF-8": (built(b"\x01a\x07\x00\x01\xff"), MalformedHeader),
    "header time beyond the calendar": (built(b"\x01a\x08\x7f" + b"\xff" * 7), MalformedHeader),
    "header twice": (built(b"\x01a\x00\x01a\x01"), DuplicateHeader),
}


@pytest.mark.parametrize(("data", "error"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_frames_are_refused_by_name(data: bytes, error: type[EventStreamError]) -> None:
    with pytest.raises(error) as caught:
        decode(data)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "headers",
    [
        {"": True},
        {"n" * 256: True},
        {"a": Byte(128)},
        {"a": Short(1 << 15)},
        {"a": Int32(1 << 31)},
        {"a": 1 << 63},
        {"a": "x" * 32_768},
        {"a": b"x" * 32_768},
        {"a": "\ud800"},
    ],
    ids=str,
)
def test_headers_that_cannot_be_written_are_refused(headers: dict[str, Any]) -> None:
    with pytest.raises(MalformedHeader):
        eventstream.encode(headers, b"")


def test_frames_above_the_limits_are_not_written() -> None:
    with pytest.raises(FrameTooLarge):
        eventstream.encode({f"header{n}": b"x" * 32_000 for n in range(5)}, b"")
    with pytest.raises(FrameTooLarge):
        eventstream.frame(b"", bytes(24 * 1024 * 1024 + 1))


VALUES = st.one_of(
    st.booleans(),
    st.integers(-128, 127).map(Byte),
    st.integers(-(1 << 15), (1 << 15) - 1).map(Short),
    st.integers(-(1 << 31), (1 << 31) - 1).map(Int32),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.binary(max_size=64),
    st.text(max_size=64),
    st.uuids(),
    st.integers(0, 4_000_000_000_000).map(lambda ms: datetime.fromtimestamp(ms // 1000, UTC)),
)
NAMES = st.text(min_size=1, max_size=40)
FRAMES = st.builds(Frame, st.dictionaries(NAMES, VALUES, max_size=5), st.binary(max_size=200))


@given(st.lists(FRAMES, max_size=4), st.lists(st.integers(1, 60), max_size=20))
def test_frames_survive_any_cut_of_the_stream(frames: list[Frame], cuts: list[int]) -> None:
    data = b"".join(eventstream.encode(frame.headers, frame.payload) for frame in frames)
    decoder, seen = Decoder(), list[Frame]()
    for cut in cuts:
        seen += decoder.feed(data[:cut])
        data = data[cut:]
    seen += decoder.feed(data)
    decoder.finish()
    assert seen == frames


@given(st.binary(max_size=300))
def test_the_decoder_raises_its_own_errors_only(data: bytes) -> None:
    headers = data[: len(data) // 2]
    for stream in (data, built(headers, data)):
        with suppress(EventStreamError):
            decode(stream)


@given(st.dictionaries(NAMES, st.text(max_size=64), max_size=5), st.binary(max_size=200))
def test_botocore_reads_what_we_write(headers: dict[str, Any], payload: bytes) -> None:
    buffer: Any = EventStreamBuffer()
    buffer.add_data(eventstream.encode(headers, payload))
    (event,) = list(buffer)
    assert (event.headers, event.payload) == (headers, payload)


def recorded_streams() -> Iterator[bytes]:
    for line in (SHARED / "real-responses.jsonl").read_bytes().splitlines():
        recorded = msgspec.json.decode(line)
        if "response_body_b64" in recorded:
            yield base64.b64decode(recorded["response_body_b64"])


def test_recorded_streams_decode_and_encode_to_the_same_bytes() -> None:
    count = 0
    for data in recorded_streams():
        frames = decode(data)
        again = b"".join(eventstream.encode(frame.headers, frame.payload) for frame in frames)
        assert again == data
        count += len(frames)
    assert count > 3000


def test_the_fixed_headers_are_those_recorded() -> None:
    frames = [frame for data in recorded_streams() for frame in Decoder().feed(data)]
    for frame in frames:
        event_type = str(frame.headers[":event-type"])
        fast = eventstream.frame(eventstream.event_headers(event_type), frame.payload)
        assert fast == eventstream.encode(frame.headers, frame.payload)
