"""What a request promises about its body, checked while the body passes through.

The last piece is held back until every promise holds, so whoever forwards the pieces never
completes an upload that is not what its sender signed. What fails raises S3's own error.
"""

import base64
import binascii
import hmac
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from outcrop.errors import ServiceError
from outcrop.identity import PayloadProof
from outcrop.security.checksums import CHECKSUMS, UNSUPPORTED, Checksum
from outcrop.security.chunks import ChunkedBody, wrong_length
from outcrop.wire.http import Incoming, Request

MAX_UPLOAD_BYTES = 5 * 1024**3

Headers = Sequence[tuple[str, str]]

_UNSIGNED = PayloadProof("unsigned")
_CHECKSUM_PREFIX = "x-amz-checksum-"
_PROMISES = ("content-md5", _CHECKSUM_PREFIX, "x-amz-sdk-checksum-algorithm")
_CHUNKED = frozenset({"chunks", "chunks-trailer", "unsigned-trailer"})
_NOT_VALUES = frozenset({"algorithm", "mode", "type"})
_DECIMAL = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(slots=True)
class _Promise:
    """``expected`` is None until the trailer tells it."""

    name: str
    checksum: Checksum
    expected: bytes | None = None


class VerifiedBody:
    """An ``Incoming`` whose pieces are proven. ``declared_bytes`` is the length of what comes out.

    ``checksums`` holds, after the end, what was promised and held, in base64 by algorithm; where
    no checksum was promised it is the CRC-64/NVME that S3 computes by itself.
    """

    def __init__(self, incoming: Incoming, headers: Headers, proof: PayloadProof) -> None:
        self.checksums: dict[str, str] = {}
        self.declared_bytes = _length(incoming, headers, proof)
        self._incoming = incoming
        self._headers = headers
        self._proof = proof
        self._sha256 = CHECKSUMS["sha256"]() if proof.kind == "hash" else None
        self._md5 = _md5(headers)
        self._announced = _announced(headers)
        self._promise = _promise(headers, self._announced)
        self._default = CHECKSUMS["crc64nvme"]() if self._promise is None else None
        self._is_finished = False

    @property
    def late_checksum(self) -> str | None:
        """The algorithm of the checksum that nobody knows before the body's end."""
        if self._promise is None:
            return "crc64nvme"
        return self._promise.name if self._promise.expected is None else None

    @property
    def promised_checksum(self) -> str | None:
        """The algorithm of the one that its sender promised, in a header or a trailer."""
        return self._promise.name if self._promise else None

    def __aiter__(self) -> AsyncGenerator[bytes]:
        return self.pieces()

    async def pieces(self) -> AsyncGenerator[bytes]:
        if self._is_finished:
            return
        checks = tuple(self._checksums())
        held = b""
        total_bytes = 0
        chunked = None
        if self._proof.kind in _CHUNKED:
            chunked = ChunkedBody(
                self._incoming.pieces(),
                self._proof,
                decoded_bytes=self.declared_bytes,
                announced=self._announced,
            )
        async for piece in (chunked or self._incoming).pieces():
            total_bytes += len(piece)
            if total_bytes > self.declared_bytes:
                raise wrong_length(self.declared_bytes, total_bytes)
            for check in checks:
                check.update(piece)
            if held:
                yield held
            held = piece
        if total_bytes != self.declared_bytes:
            raise wrong_length(self.declared_bytes, total_bytes)
        self._finish(chunked.trailers if chunked else {})
        if held:
            yield held

    async def settle(self) -> None:
        """Of an empty body: reads its end now, since there is no piece to hold back."""
        async for _ in self.pieces():
            pass
        self._is_finished = True

    def _checksums(self) -> Iterator[Checksum]:
        for each in (self._md5, self._promise):
            if each is not None:
                yield each.checksum
        for each in (self._sha256, self._default):
            if each is not None:
                yield each

    def _finish(self, trailers: dict[str, str]) -> None:
        if self._sha256 is not None:
            _check_sha256(self._proof.sha256, self._sha256.digest().hex())
        if self._md5 is not None:
            _check_md5(self._md5)
        if self._promise is not None:
            promise = self._promise
            if promise.expected is None:
                promise.expected = _decode(promise.name, trailers[_CHECKSUM_PREFIX + promise.name])
            _check_checksum(promise)
            self.checksums[promise.name] = base64.b64encode(promise.expected).decode()
        if self._default is not None:
            self.checksums["crc64nvme"] = base64.b64encode(self._default.digest()).decode()


def verified(incoming: Incoming, headers: Headers, proof: PayloadProof | None) -> VerifiedBody:
    """Raises at once for what the headers alone show to be wrong."""
    return VerifiedBody(incoming, headers, proof or _UNSIGNED)


BodyChecksum = Literal["none", "optional", "required"]
"""Whether an operation's ``x-amz-checksum-`` headers are about its body ("none": S3's
CompleteMultipartUpload has the object's there), and whether it must have one."""


async def proven(request: Request, proof: PayloadProof | None, checksum: BodyChecksum) -> Request:
    """The request with a body that keeps its promises: one in memory is checked now, one that
    arrives is checked as it is read."""
    if request.incoming is None:
        check_body(request, checksum)
        return request
    body = verified(request.incoming, request.headers, proof)
    if body.declared_bytes == 0:
        await body.settle()
    return replace(request, incoming=body)


def check_body(request: Request, checksum: BodyChecksum) -> None:
    """A body in memory against Content-MD5 and checksum headers; its SHA-256 is the signature's."""
    promises = [name for name, _ in request.headers if name.startswith(_PROMISES)]
    if not promises and checksum != "required":
        return
    md5 = _md5(request.headers)
    if md5 is not None:
        md5.checksum.update(request.body)
        _check_md5(md5)
    promise = None if checksum == "none" else _promise(request.headers, ())
    if promise is not None:
        promise.checksum.update(request.body)
        _check_checksum(promise)
    elif checksum == "required" and md5 is None:
        raise _invalid("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")


def _length(incoming: Incoming, headers: Headers, proof: PayloadProof) -> int:
    size_bytes = incoming.declared_bytes
    if proof.kind in _CHUNKED:
        text = _find(headers, "x-amz-decoded-content-length") or ""
        size_bytes = int(text) if _DECIMAL.fullmatch(text) else -1
    if size_bytes < 0:
        raise ServiceError(
            "MissingContentLength", "You must provide the Content-Length HTTP header.", status=411
        )
    if size_bytes > MAX_UPLOAD_BYTES:
        raise ServiceError(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed size",
            status=400,
            ProposedSize=str(size_bytes),
            MaxSizeAllowed=str(MAX_UPLOAD_BYTES),
        )
    return size_bytes


def _find(headers: Headers, wanted: str) -> str | None:
    for name, value in headers:
        if name == wanted:
            return value
    return None


def _md5(headers: Headers) -> _Promise | None:
    text = _find(headers, "content-md5")
    if text is None:
        return None
    expected = _base64(text, 16)
    if expected is None:
        raise ServiceError(
            "InvalidDigest", "The Content-MD5 you specified was invalid.", status=400
        )
    return _Promise("md5", CHECKSUMS["md5"](), expected)


def _announced(headers: Headers) -> tuple[str, ...]:
    """The trailers that will come; S3 takes checksums only."""
    values = ",".join(value for name, value in headers if name == "x-amz-trailer")
    names = tuple(name for part in values.split(",") if (name := part.strip().lower()))
    for name in names:
        if _algorithm(name) is None:
            raise _invalid("The value specified in the x-amz-trailer header is not supported")
    return names


def _algorithm(header: str) -> str | None:
    """The algorithm whose value that header or trailer holds."""
    name = header.removeprefix(_CHECKSUM_PREFIX)
    if name == header or name in _NOT_VALUES:
        return None
    return name if name in CHECKSUMS or name in UNSUPPORTED else None


def _promise(headers: Headers, announced: Sequence[str]) -> _Promise | None:
    given = {name: value for name, value in headers if _algorithm(name)}
    algorithms = [_algorithm(name) for name in (*given, *announced)]
    if len(algorithms) > 1:
        raise _invalid(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    wanted = (_find(headers, "x-amz-sdk-checksum-algorithm") or "").lower()
    name = algorithms[0] if algorithms else None
    if name in UNSUPPORTED or wanted in UNSUPPORTED:
        raise ServiceError(
            "NotImplemented",
            f"Outcrop cannot check a checksum of the type {(name or wanted).upper()}. "
            "Use CRC32, CRC32C, CRC64NVME, SHA1, SHA256, SHA512 or MD5.",
            status=501,
        )
    if wanted and wanted not in CHECKSUMS:
        raise _invalid(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid "
            "types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"
        )
    if name is None:
        if wanted:
            raise _invalid(
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* "
                "or x-amz-trailer headers were found."
            )
        return None
    if wanted and wanted != name:
        raise _invalid("Value for x-amz-sdk-checksum-algorithm header is invalid.")
    checksum = CHECKSUMS[name]()
    value = given.get(_CHECKSUM_PREFIX + name)
    return _Promise(name, checksum, None if value is None else _decode(name, value))


def _decode(name: str, text: str) -> bytes:
    decoded = _base64(text, len(CHECKSUMS[name]().digest()))
    if decoded is None:
        raise _invalid(f"Value for {_CHECKSUM_PREFIX}{name} header is invalid.")
    return decoded


def _base64(text: str, size_bytes: int) -> bytes | None:
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if len(decoded) == size_bytes else None


def _check_sha256(claimed: str, computed: str) -> None:
    if not hmac.compare_digest(claimed, computed):
        raise ServiceError(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
            status=400,
            ClientComputedContentSHA256=claimed,
            S3ComputedContentSHA256=computed,
        )


def _check_md5(promise: _Promise) -> None:
    if promise.checksum.digest() != promise.expected:
        raise ServiceError(
            "BadDigest", "The Content-MD5 you specified did not match what we received.", status=400
        )


def _check_checksum(promise: _Promise) -> None:
    if promise.checksum.digest() != promise.expected:
        raise ServiceError(
            "BadDigest",
            f"The {promise.name.upper()} you specified did not match the calculated checksum.",
            status=400,
        )


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidRequest", message, status=400)
