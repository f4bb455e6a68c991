"""What gateway and worker send each other: msgpack behind its length in four bytes."""

import struct
from typing import Literal

import msgspec

LENGTH = struct.Struct(">I")
LIMIT_BYTES = 256 << 20
ANY_CPU = "any"


class Job(msgspec.Struct, tag=True):
    id: int
    texts: tuple[str, ...]
    dimensions: int
    max_tokens: int
    truncate: Literal["none", "start", "end"]
    normalize: bool


class Cancel(msgspec.Struct, tag=True):
    id: int


class Ready(msgspec.Struct, tag=True):
    """The first message of a worker: it has loaded a model that makes such vectors."""

    dimensions: int


class Broken(msgspec.Struct, tag=True):
    """The first and last message of a worker that could not load its model."""

    reason: str


class Done(msgspec.Struct, tag=True):
    """``vectors`` holds little-endian float32, a vector a text. ``batches`` counts the worker's
    runs of the model since it started."""

    id: int
    vectors: bytes
    tokens: tuple[int, ...]
    batches: int


class TooLong(msgspec.Struct, tag=True):
    id: int
    limit: int
    received: int


class Failed(msgspec.Struct, tag=True):
    id: int
    reason: str


ToWorker = Job | Cancel
FromWorker = Ready | Broken | Done | TooLong | Failed

decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode


def pack(message: ToWorker | FromWorker) -> bytes:
    payload = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(payload)) + payload
