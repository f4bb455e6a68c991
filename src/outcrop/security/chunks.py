"""The ``aws-chunked`` coding of S3: pieces with a signature each, checksums in a trailer.

A signed chunk is passed on when its signature holds, not before; so one is held whole, and its
size is bounded. SDKs send 64 KiB to 1 MiB. An unsigned chunk passes as it comes, however large.

    400;chunk-signature=<64 hex>\r\n<1024 bytes>\r\n … 0;chunk-signature=<64 hex>\r\n
    x-amz-checksum-crc32c:<base64>\r\nx-amz-trailer-signature:<64 hex>\r\n\r\n
"""

import hmac
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from hashlib import sha256

from outcrop.errors import ServiceError
from outcrop.identity import PayloadProof

MAX_SIGNED_CHUNK_BYTES = 16 * 1024 * 1024
MIN_CHUNK_BYTES = 8192
"""Of every chunk but the last one, as S3 has it."""

MAX_LINE_BYTES = 4096
MAX_TRAILERS = 16

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
_SIGNED = re.compile(rb"([0-9A-Fa-f]{1,16});chunk-signature=([0-9a-f]{64})")
_TRAILER = re.compile(rb"([A-Za-z0-9-]{1,128}):([ -~]{0,1024})\n?")
_SIGNATURE = "x-amz-trailer-signature"
_EMPTY = sha256(b"").hexdigest()


class ChunkedBody:
    """Reads one coded body. ``trailers`` are there when ``pieces`` has ended, and all of them were
    announced; what is wrong raises S3's error before the chunk that holds it is passed on."""

    def __init__(
        self,
        coded: AsyncIterator[bytes],
        proof: PayloadProof,
        *,
        decoded_bytes: int,
        announced: Iterable[str],
    ) -> None:
        self.trailers: dict[str, str] = {}
        self._reader = _Reader(coded)
        self._proof = proof
        self._is_signed = proof.kind != "unsigned-trailer"
        self._previous = proof.signature
        self._decoded_bytes = decoded_bytes
        self._announced = frozenset(announced)
        self._number = 0
        self._total_bytes = 0
        self._last_bytes = MIN_CHUNK_BYTES

    async def pieces(self) -> AsyncGenerator[bytes]:
        while True:
            size_bytes, signature = self._read_head(await self._reader.line())
            if size_bytes == 0:
                break
            self._check_size(size_bytes)
            if self._is_signed:
                yield await self._proven(size_bytes, signature)
            else:
                async for piece in self._reader.take(size_bytes):
                    yield piece
            await self._reader.expect_line_end()
        if self._is_signed:
            self._check("PAYLOAD", f"{_EMPTY}\n{_EMPTY}", signature)
        await self._read_trailers()
        await self._reader.expect_end()
        if self._total_bytes != self._decoded_bytes:
            raise wrong_length(self._decoded_bytes, self._total_bytes)

    def _read_head(self, line: bytes) -> tuple[int, str]:
        match = (_SIGNED if self._is_signed else _SIZE).fullmatch(line)
        if match is None:
            raise incomplete()
        if self._is_signed:
            return int(match[1], 16), match[2].decode()
        return int(match[0], 16), ""

    def _check_size(self, size_bytes: int) -> None:
        self._number += 1
        if self._last_bytes < MIN_CHUNK_BYTES:
            raise ServiceError(
                "InvalidChunkSizeError",
                f"Only the last chunk is allowed to have a size less than {MIN_CHUNK_BYTES} bytes",
                status=403,
                Chunk=str(self._number),
                BadChunkSize=str(self._last_bytes),
            )
        if self._is_signed and size_bytes > MAX_SIGNED_CHUNK_BYTES:
            raise ServiceError(
                "InvalidChunkSizeError",
                f"A signed chunk has at most {MAX_SIGNED_CHUNK_BYTES} bytes.",
                status=403,
                Chunk=str(self._number),
                BadChunkSize=str(size_bytes),
            )
        self._last_bytes = size_bytes
        self._total_bytes += size_bytes
        if self._total_bytes > self._decoded_bytes:
            raise wrong_length(self._decoded_bytes, self._total_bytes)

    async def _proven(self, size_bytes: int, signature: str) -> bytes:
        digest = sha256()
        # Not a list: a hostile sender cuts a chunk into pieces of one byte.
        held = bytearray()
        async for piece in self._reader.take(size_bytes):
            digest.update(piece)
            held += piece
        self._check("PAYLOAD", f"{_EMPTY}\n{digest.hexdigest()}", signature)
        return bytes(held)

    def _check(self, what: str, hashes: str, signature: str) -> None:
        text = (
            f"AWS4-HMAC-SHA256-{what}\n{self._proof.timestamp}\n{self._proof.scope}\n"
            f"{self._previous}\n{hashes}"
        )
        computed = hmac.digest(self._proof.key, text.encode(), "sha256").hex()
        if not hmac.compare_digest(computed.encode(), signature.encode()):
            raise mismatch()
        self._previous = computed

    async def _read_trailers(self) -> None:
        """Lines to the first empty one; before the signature of trailers, empty ones do not count
        (AWS's own example has one there)."""
        awaits_signature = self._proof.kind == "chunks-trailer"
        found: dict[str, str] = {}
        while True:
            line = await self._reader.line()
            if not line and not (awaits_signature and found and _SIGNATURE not in found):
                break
            if line:
                self._take_trailer(line, found)
        signature = found.pop(_SIGNATURE, None)
        if found.keys() != self._announced or awaits_signature == (signature is None):
            raise malformed_trailer()
        if signature is not None:
            lines = "".join(f"{name}:{found[name]}\n" for name in sorted(found))
            self._check("TRAILER", sha256(lines.encode()).hexdigest(), signature)
        self.trailers = found

    def _take_trailer(self, line: bytes, found: dict[str, str]) -> None:
        match = _TRAILER.fullmatch(line)
        if match is None or len(found) == MAX_TRAILERS:
            raise malformed_trailer()
        name = match[1].decode().lower()
        if name in found:
            raise malformed_trailer()
        found[name] = match[2].decode().strip()


class _Reader:
    """Lines and counted bytes out of pieces of any size, none of them empty."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""
        self._at = 0

    async def line(self) -> bytes:
        """Without its end, which is CR LF."""
        while (end := self._piece.find(b"\r\n", self._at)) < 0:
            if len(self._piece) - self._at > MAX_LINE_BYTES or not await self._more():
                raise incomplete()
        line = self._piece[self._at : end]
        if len(line) > MAX_LINE_BYTES:
            raise incomplete()
        self._at = end + 2
        return line

    async def take(self, size_bytes: int) -> AsyncGenerator[bytes]:
        while size_bytes:
            if self._at == len(self._piece) and not await self._more():
                raise incomplete()
            taken = self._piece[self._at : self._at + size_bytes]
            self._at += len(taken)
            size_bytes -= len(taken)
            yield taken

    async def expect_line_end(self) -> None:
        while len(self._piece) - self._at < 2:
            if not await self._more():
                raise incomplete()
        if self._piece[self._at : self._at + 2] != b"\r\n":
            raise incomplete()
        self._at += 2

    async def expect_end(self) -> None:
        if self._at < len(self._piece) or await self._more():
            raise incomplete()

    async def _more(self) -> bool:
        piece = await anext(self._pieces, b"")
        self._piece = self._piece[self._at :] + piece
        self._at = 0
        return bool(piece)


def incomplete() -> ServiceError:
    return ServiceError("IncompleteBody", "The request body terminated unexpectedly", status=400)


def wrong_length(expected_bytes: int, provided_bytes: int) -> ServiceError:
    return ServiceError(
        "IncompleteBody",
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
        status=400,
        NumberBytesExpected=str(expected_bytes),
        NumberBytesProvided=str(provided_bytes),
    )


def mismatch() -> ServiceError:
    return ServiceError(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
        status=403,
    )


def malformed_trailer() -> ServiceError:
    return ServiceError(
        "MalformedTrailerError",
        "The request contained trailing data that was not well-formed or did not conform to our "
        "published schema.",
        status=400,
    )
