"""What headers promise about a body: kept, or the last piece never comes out."""

import base64
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from chunked_bodies import Arriving, crc32_of, read, refused

from outcrop.errors import ServiceError
from outcrop.identity import PayloadProof
from outcrop.security.payload import (
    MAX_UPLOAD_BYTES,
    BodyChecksum,
    VerifiedBody,
    check_body,
    proven,
    verified,
)
from outcrop.wire.http import Request

DATA = b"123456789"
UNSIGNED = PayloadProof("unsigned")
HASHED = PayloadProof("hash", hashlib.sha256(DATA).hexdigest())

# The check values of the CRC catalogue, and digests by hashlib, of the nine digits.
CHECKSUMS = {
    "crc32": bytes.fromhex("cbf43926"),
    "crc32c": bytes.fromhex("e3069283"),
    "crc64nvme": bytes.fromhex("ae8b14860a799888"),
    "sha1": hashlib.sha1(DATA, usedforsecurity=False).digest(),
    "sha256": hashlib.sha256(DATA).digest(),
    "sha512": hashlib.sha512(DATA).digest(),
    "md5": hashlib.md5(DATA, usedforsecurity=False).digest(),
}
MD5 = base64.b64encode(CHECKSUMS["md5"]).decode()


def body(
    *headers: tuple[str, str], data: bytes = DATA, proof: PayloadProof = UNSIGNED
) -> VerifiedBody:
    pieces = [data[at : at + 2] for at in range(0, len(data), 2)]
    return verified(Arriving(pieces, len(data)), headers, proof)


async def refusal(subject: VerifiedBody) -> ServiceError:
    seen, error = await refused(subject)
    assert error is not None
    assert len(seen) < subject.declared_bytes
    return error


@pytest.mark.parametrize(("name", "value"), CHECKSUMS.items(), ids=CHECKSUMS)
async def test_a_checksum_that_holds_lets_the_body_pass(name: str, value: bytes) -> None:
    text = base64.b64encode(value).decode()
    subject = body((f"x-amz-checksum-{name}", text), ("x-amz-sdk-checksum-algorithm", name.upper()))
    assert await read(subject) == DATA
    assert subject.checksums == {name: text}


@pytest.mark.parametrize("name", CHECKSUMS)
async def test_a_checksum_that_does_not_hold_keeps_the_last_piece_back(name: str) -> None:
    wrong = base64.b64encode(bytes(len(CHECKSUMS[name]))).decode()
    error = await refusal(body((f"x-amz-checksum-{name}", wrong)))
    assert (error.status, error.code) == (400, "BadDigest")
    assert error.message == (
        f"The {name.upper()} you specified did not match the calculated checksum."
    )


async def test_without_a_checksum_the_one_that_s3_makes_is_told() -> None:
    subject = body()
    assert await read(subject) == DATA
    assert subject.checksums == {"crc64nvme": base64.b64encode(CHECKSUMS["crc64nvme"]).decode()}


async def test_the_signed_hash_of_a_body_holds_or_the_last_piece_stays() -> None:
    assert await read(body(proof=HASHED)) == DATA
    error = await refusal(body(data=DATA[::-1], proof=HASHED))
    assert (error.status, error.code) == (400, "XAmzContentSHA256Mismatch")
    assert error.members["ClientComputedContentSHA256"] == HASHED.sha256


async def test_content_md5_holds_or_the_last_piece_stays() -> None:
    assert await read(body(("content-md5", MD5))) == DATA
    error = await refusal(body(("content-md5", MD5), data=DATA[::-1]))
    assert error.message == "The Content-MD5 you specified did not match what we received."


INVALID: dict[str, tuple[tuple[tuple[str, str], ...], str, str]] = {
    "no base64": (
        (("x-amz-checksum-sha1", "!"),),
        "InvalidRequest",
        "Value for x-amz-checksum-sha1 header is invalid.",
    ),
    "base64 of another length": (
        (("x-amz-checksum-crc32", "AAAA"),),
        "InvalidRequest",
        "Value for x-amz-checksum-crc32 header is invalid.",
    ),
    "a Content-MD5 of another length": (
        (("content-md5", "AAAA"),),
        "InvalidDigest",
        "The Content-MD5 you specified was invalid.",
    ),
    "two checksums": (
        (("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-crc32c", "AAAAAA==")),
        "InvalidRequest",
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    ),
    "an algorithm without its checksum": (
        (("x-amz-sdk-checksum-algorithm", "CRC32"),),
        "InvalidRequest",
        "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
        "x-amz-trailer headers were found.",
    ),
    "an algorithm and another's checksum": (
        (("x-amz-sdk-checksum-algorithm", "CRC32"), ("x-amz-checksum-crc32c", "AAAAAA==")),
        "InvalidRequest",
        "Value for x-amz-sdk-checksum-algorithm header is invalid.",
    ),
    "an algorithm that nobody knows": (
        (("x-amz-sdk-checksum-algorithm", "CRC7"),),
        "InvalidRequest",
        "Checksum algorithm provided is unsupported. Please try again with any of the valid "
        "types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
    ),
    "a checksum that nobody here can check": (
        (("x-amz-checksum-xxhash64", "AAAAAAAAAAA="),),
        "NotImplemented",
        "Outcrop cannot check a checksum of the type XXHASH64. "
        "Use CRC32, CRC32C, CRC64NVME, SHA1, SHA256, SHA512 or MD5.",
    ),
    "a trailer that is no checksum": (
        (("x-amz-trailer", "x-amz-meta-a"),),
        "InvalidRequest",
        "The value specified in the x-amz-trailer header is not supported",
    ),
}


@pytest.mark.parametrize(("headers", "code", "message"), INVALID.values(), ids=INVALID)
def test_what_headers_say_wrongly_is_refused_before_the_body_is_read(
    headers: tuple[tuple[str, str], ...], code: str, message: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        body(*headers)
    assert (caught.value.code, caught.value.message) == (code, message)


@pytest.mark.parametrize(
    ("size", "code", "status"),
    [(-1, "MissingContentLength", 411), (MAX_UPLOAD_BYTES + 1, "EntityTooLarge", 400)],
)
def test_a_body_of_no_known_or_too_great_a_length_is_refused(
    size: int, code: str, status: int
) -> None:
    with pytest.raises(ServiceError) as caught:
        verified(Arriving([], size), (), UNSIGNED)
    assert (caught.value.code, caught.value.status) == (code, status)


@pytest.mark.parametrize("said", ["", "abc", "-1", "1e3", "9" * 19])
def test_a_coded_body_says_how_long_it_is(said: str) -> None:
    headers = (("x-amz-decoded-content-length", said),)
    with pytest.raises(ServiceError) as caught:
        verified(Arriving([], 10), headers, PayloadProof("unsigned-trailer"))
    assert caught.value.code == "MissingContentLength"


@pytest.mark.parametrize("sent", [b"12345678", b"1234567890"])
async def test_a_body_of_another_length_than_declared_is_refused(sent: bytes) -> None:
    with pytest.raises(ServiceError) as caught:
        await read(verified(Arriving([sent], 9), (), UNSIGNED))
    assert caught.value.code == "IncompleteBody"


def request(*headers: tuple[str, str], data: bytes = DATA) -> Request:
    return Request("PUT", "/b/k", "", headers, data, "a")


async def test_an_empty_body_is_checked_before_it_is_handed_on() -> None:
    asked = replace(request(data=b""), incoming=Arriving([], 0))
    with pytest.raises(ServiceError):
        await proven(asked, HASHED, "optional")
    empty = PayloadProof("hash", hashlib.sha256(b"").hexdigest())
    handed = await proven(asked, empty, "optional")
    assert isinstance(handed.incoming, VerifiedBody)
    assert await read(handed.incoming) == b""


@pytest.mark.parametrize("checksum", ["optional", "required"])
def test_a_body_in_memory_is_checked_too(checksum: BodyChecksum) -> None:
    good, wrong = crc32_of(DATA), crc32_of(b"")
    check_body(request(("x-amz-checksum-crc32", good)), checksum)
    check_body(request(("content-md5", MD5)), checksum)
    for header in (("x-amz-checksum-crc32", wrong), ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")):
        with pytest.raises(ServiceError) as caught:
            check_body(request(header), checksum)
        assert caught.value.code == "BadDigest"


def test_some_operations_want_a_checksum() -> None:
    with pytest.raises(ServiceError) as caught:
        check_body(request(), "required")
    assert caught.value.message == (
        "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
    )
    check_body(request(), "optional")


def test_a_checksum_that_is_not_of_the_body_is_not_compared_with_it() -> None:
    check_body(request(("x-amz-checksum-crc32", crc32_of(b"the whole object"))), "none")


async def test_what_a_long_body_holds_in_memory_is_one_piece() -> None:
    made = taken = most_held = 0

    class Long:
        declared_bytes = 256 * 1024 * 1024

        async def pieces(self) -> AsyncGenerator[bytes]:
            nonlocal made
            piece = bytes(256 * 1024)
            for _ in range(self.declared_bytes // len(piece)):
                made += len(piece)
                yield piece

    async for piece in verified(Long(), (), UNSIGNED):
        taken += len(piece)
        most_held = max(most_held, made - taken)
    assert taken == Long.declared_bytes
    assert most_held <= 2 * 256 * 1024
