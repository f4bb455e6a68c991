"""Bodies on their way to the store whose checksum is known at their end: it follows as a trailer,
so that the store checks it again and keeps it with the object."""

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final

from outcrop.security.checksums import CHECKSUMS
from outcrop.services.s3.forwarding import Upload

_CHUNK_BYTES = 256 << 10
# What stores keep of an object besides its MD5.
KEPT: Final = frozenset({"crc32", "crc32c", "crc64nvme", "sha1", "sha256"})


def with_trailer(
    upload: Upload, algorithm: str, checksum: Callable[[], str]
) -> tuple[Upload, dict[str, str]]:
    """The coded body and the headers that go with it. ``checksum`` tells it in base64 once the
    body was read to its end."""
    name = f"x-amz-checksum-{algorithm}"
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": str(upload.size_bytes),
        "x-amz-trailer": name,
    }
    size_bytes = _coded_bytes(upload.size_bytes) + len(_end(name, _blank(algorithm)))
    return Upload(_coded(upload.pieces, name, checksum), size_bytes), headers


def _blank(algorithm: str) -> str:
    return base64.b64encode(CHECKSUMS[algorithm]().digest()).decode()


def _coded_bytes(size_bytes: int) -> int:
    whole, rest = divmod(size_bytes, _CHUNK_BYTES)
    coded_bytes = whole * (len(_head(_CHUNK_BYTES)) + _CHUNK_BYTES + 2)
    return coded_bytes + (len(_head(rest)) + rest + 2 if rest else 0)


async def _coded(
    pieces: AsyncIterator[bytes], name: str, checksum: Callable[[], str]
) -> AsyncGenerator[bytes]:
    held = bytearray()
    async for piece in pieces:
        held += piece
        while len(held) >= _CHUNK_BYTES:
            yield _chunk(bytes(held[:_CHUNK_BYTES]))
            del held[:_CHUNK_BYTES]
    yield (_chunk(bytes(held)) if held else b"") + _end(name, checksum())


def _chunk(data: bytes) -> bytes:
    return b"%b%b\r\n" % (_head(len(data)), data)


def _head(size_bytes: int) -> bytes:
    return b"%x\r\n" % size_bytes


def _end(name: str, checksum: str) -> bytes:
    return f"0\r\n{name}:{checksum}\r\n\r\n".encode()
