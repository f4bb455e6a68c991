"""Bodies in ``aws-chunked`` coding as clients send them, coded from AWS's reference by hand."""

import base64
import hmac
import zlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise

from outcrop.errors import ServiceError
from outcrop.identity import PayloadKind, PayloadProof
from outcrop.security.payload import VerifiedBody, verified

TIME = "20130524T000000Z"
SCOPE = "20130524/us-east-1/s3/aws4_request"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EMPTY = sha256(b"").hexdigest()
CRC32 = "x-amz-checksum-crc32"


def signing_key(secret: str = SECRET, scope: str = SCOPE) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def proof(kind: PayloadKind, seed: str = "5" * 64) -> PayloadProof:
    return PayloadProof(kind, "", seed, signing_key(), TIME, SCOPE)


def crc32_of(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@dataclass(frozen=True)
class Coded:
    """A body to send: its pieces of data, then the trailer."""

    kind: PayloadKind
    chunks: tuple[bytes, ...]
    trailer: tuple[str, str] | None = None
    seed: str = "5" * 64

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        length = ("x-amz-decoded-content-length", str(len(self.data)))
        return (length, *((("x-amz-trailer", self.trailer[0]),) if self.trailer else ()))

    def signatures(self) -> list[str]:
        """Of every chunk, the empty one at the end, and of the trailer."""
        made = [self.seed]
        for chunk in (*self.chunks, b""):
            made.append(_sign("PAYLOAD", made[-1], f"{EMPTY}\n{sha256(chunk).hexdigest()}"))
        if self.trailer:
            line = f"{self.trailer[0]}:{self.trailer[1]}\n"
            made.append(_sign("TRAILER", made[-1], sha256(line.encode()).hexdigest()))
        return made[1:]

    def parts(self) -> list[bytes]:
        """One part a chunk, then the empty chunk, then what follows it."""
        is_signed = self.kind != "unsigned-trailer"
        signatures = self.signatures()
        parts: list[bytes] = []
        for chunk, signature in zip((*self.chunks, b""), signatures, strict=False):
            extension = f";chunk-signature={signature}" if is_signed else ""
            end = b"\r\n" if chunk else b""
            parts.append(f"{len(chunk):x}{extension}\r\n".encode() + chunk + end)
        tail = ""
        if self.trailer:
            tail = f"{self.trailer[0]}:{self.trailer[1]}\r\n"
            if is_signed:
                tail += f"x-amz-trailer-signature:{signatures[-1]}\r\n"
        return [*parts, f"{tail}\r\n".encode()]

    def wire(self) -> bytes:
        return b"".join(self.parts())


def with_trailer(coded: Coded, value: str | None = None) -> Coded:
    return replace(coded, trailer=(CRC32, crc32_of(coded.data) if value is None else value))


def _sign(what: str, previous: str, hashes: str) -> str:
    text = f"AWS4-HMAC-SHA256-{what}\n{TIME}\n{SCOPE}\n{previous}\n{hashes}"
    return hmac.digest(signing_key(), text.encode(), "sha256").hex()


class Arriving:
    """An ``Incoming`` made of these pieces."""

    def __init__(self, pieces: Iterable[bytes], declared_bytes: int = -1) -> None:
        self.declared_bytes = declared_bytes
        self._pieces = pieces

    async def pieces(self) -> AsyncGenerator[bytes]:
        for piece in self._pieces:
            if piece:
                yield piece


def open_coded(coded: Coded, wire: bytes | None = None, cuts: Sequence[int] = ()) -> VerifiedBody:
    """``wire`` as it arrives, in pieces that end at ``cuts``."""
    sent = coded.wire() if wire is None else wire
    ends = [0, *sorted({cut for cut in cuts if 0 < cut < len(sent)}), len(sent)]
    pieces = [sent[start:end] for start, end in pairwise(ends)]
    return verified(Arriving(pieces, len(sent)), coded.headers, proof(coded.kind, coded.seed))


async def read(body: VerifiedBody) -> bytes:
    return b"".join([piece async for piece in body])


async def refused(body: VerifiedBody) -> tuple[bytes, ServiceError | None]:
    """What came out before the refusal."""
    seen = b""
    try:
        async for piece in body:
            seen += piece
    except ServiceError as error:
        return seen, error
    return seen, None
