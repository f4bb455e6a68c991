"""Chunked bodies: what AWS publishes is read, what was altered on the way is refused."""

import asyncio
from dataclasses import replace

import pytest
from chunked_bodies import (
    Arriving,
    Coded,
    crc32_of,
    open_coded,
    proof,
    read,
    refused,
    with_trailer,
)
from hypothesis import given, strategies as st

from outcrop.errors import ServiceError
from outcrop.security.chunks import MAX_SIGNED_CHUNK_BYTES
from outcrop.security.payload import verified

# The examples of the S3 API reference for payloads in multiple chunks, without and with trailing
# headers: 66,560 letters "a".
PUBLISHED_SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
PUBLISHED_CHUNKS = (
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
)
PUBLISHED_TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
PUBLISHED_TRAILER_CHUNKS = (
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
)
PUBLISHED_TRAILER = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
PUBLISHED_DATA = (b"a" * 65536, b"a" * 1024)

SIGNED = Coded("chunks", (b"x" * 8192, b"y" * 9000, b"z"))
TRAILED = with_trailer(replace(SIGNED, kind="chunks-trailer"))
UNSIGNED = with_trailer(replace(SIGNED, kind="unsigned-trailer"))
ALL = pytest.mark.parametrize("coded", [SIGNED, TRAILED, UNSIGNED], ids=lambda each: each.kind)


def published(signatures: tuple[str, ...], tail: str) -> bytes:
    parts = [
        f"{len(data):x};chunk-signature={signature}\r\n".encode()
        + data
        + (b"\r\n" if data else b"")
        for data, signature in zip((*PUBLISHED_DATA, b""), signatures, strict=True)
    ]
    return b"".join(parts) + tail.encode()


async def refusal(coded: Coded, wire: bytes) -> ServiceError:
    """Also: nothing that the sender did not send comes out, and never all of it."""
    seen, error = await refused(open_coded(coded, wire))
    assert error is not None
    assert coded.data.startswith(seen) or coded.kind == "unsigned-trailer"
    assert len(seen) < len(coded.data)
    return error


async def test_the_published_example_is_read() -> None:
    wire = published(PUBLISHED_CHUNKS, "\r\n")
    assert len(wire) == 66824
    headers = (("x-amz-decoded-content-length", "66560"),)
    seed = proof("chunks", PUBLISHED_SEED)
    assert await read(verified(Arriving([wire], len(wire)), headers, seed)) == b"a" * 66560


@pytest.mark.parametrize("gap", ["", "\r\n"], ids=["as clients send it", "as AWS prints it"])
async def test_the_published_example_with_a_trailer_is_read(gap: str) -> None:
    tail = f"x-amz-checksum-crc32c:sOO8/Q==\n\r\n{gap}"
    tail += f"x-amz-trailer-signature:{PUBLISHED_TRAILER}\r\n\r\n"
    wire = published(PUBLISHED_TRAILER_CHUNKS, tail)
    headers = (
        ("x-amz-decoded-content-length", "66560"),
        ("x-amz-trailer", "x-amz-checksum-crc32c"),
    )
    body = verified(
        Arriving([wire], len(wire)), headers, proof("chunks-trailer", PUBLISHED_TRAILER_SEED)
    )
    assert await read(body) == b"a" * 66560
    assert body.checksums == {"crc32c": "sOO8/Q=="}


@ALL
async def test_a_body_is_read_wherever_it_is_cut(coded: Coded) -> None:
    body = open_coded(coded, cuts=range(len(coded.wire())))
    assert await read(body) == coded.data
    assert body.declared_bytes == len(coded.data)
    if coded.trailer:
        assert body.checksums == {"crc32": coded.trailer[1]}


@given(
    kind=st.sampled_from(["chunks", "chunks-trailer", "unsigned-trailer"]),
    sizes=st.lists(st.integers(8192, 20_000), max_size=3),
    last=st.integers(0, 100),
    cuts=st.lists(st.integers(0, 70_000), max_size=30),
)
def test_any_chunks_cut_anywhere_are_read(
    kind: str, sizes: list[int], last: int, cuts: list[int]
) -> None:
    chunks = tuple(bytes([n % 256]) * size for n, size in enumerate([*sizes, last]) if size)
    coded = Coded("chunks", chunks)
    if kind == "unsigned-trailer":
        coded = with_trailer(replace(coded, kind="unsigned-trailer"))
    elif kind == "chunks-trailer":
        coded = with_trailer(replace(coded, kind="chunks-trailer"))
    assert asyncio.run(read(open_coded(coded, cuts=cuts))) == coded.data


@given(
    coded=st.sampled_from([SIGNED, TRAILED, UNSIGNED]),
    at=st.integers(0, 1_000_000),
    flip=st.integers(1, 255),
)
def test_no_flipped_byte_passes(coded: Coded, at: int, flip: int) -> None:
    sent = bytearray(coded.wire())
    sent[at % len(sent)] ^= flip
    seen, error = asyncio.run(refused(open_coded(coded, bytes(sent))))
    if error is None:
        # Of all bytes only those that say the same in other letters may differ.
        assert seen == coded.data
        assert bytes(sent).lower().split() == coded.wire().lower().split()
    else:
        assert error.status in (400, 403)
        assert len(seen) < len(coded.data)


@given(st.sampled_from(["chunks", "chunks-trailer", "unsigned-trailer"]), st.binary(max_size=300))
def test_noise_is_refused_and_breaks_nothing(kind: str, noise: bytes) -> None:
    coded = Coded("chunks", (b"x" * 10,))
    if kind != "chunks":
        coded = replace(with_trailer(coded), kind="chunks-trailer")
    with pytest.raises(ServiceError):
        asyncio.run(read(open_coded(coded, noise)))


@ALL
async def test_a_body_that_ends_early_is_refused(coded: Coded) -> None:
    sent = coded.wire()
    for size in [*range(0, len(sent), 97), *range(len(sent) - 200, len(sent))]:
        error = await refusal(coded, sent[:size])
        assert (error.status, error.code) in {
            (400, "IncompleteBody"),
            (400, "MalformedTrailerError"),
        }


def _swapped() -> bytes:
    one, two, *rest = Coded("chunks", (b"x" * 8192, b"y" * 8192)).parts()
    return b"".join([two, one, *rest])


def _replayed() -> bytes:
    one, *rest = Coded("chunks", (b"x" * 8192, b"x" * 8192)).parts()
    return b"".join([one, one, *rest[1:]])


TWO = Coded("chunks", (b"x" * 8192, b"y" * 8192))
SAME = Coded("chunks", (b"x" * 8192, b"x" * 8192))
TAMPERED: dict[str, tuple[Coded, bytes, str]] = {
    "a byte of a chunk": (SIGNED, SIGNED.wire().replace(b"y", b"w", 1), "SignatureDoesNotMatch"),
    "a byte of a signature": (
        SIGNED,
        SIGNED.wire().replace(SIGNED.signatures()[0].encode(), b"0" * 64),
        "SignatureDoesNotMatch",
    ),
    "the last signature": (
        SIGNED,
        SIGNED.wire().replace(SIGNED.signatures()[-1].encode(), b"0" * 64),
        "SignatureDoesNotMatch",
    ),
    "chunks change places": (TWO, _swapped(), "SignatureDoesNotMatch"),
    "a chunk is sent twice": (SAME, _replayed(), "SignatureDoesNotMatch"),
    "another seed": (
        SIGNED,
        replace(SIGNED, seed="6" * 64).wire(),
        "SignatureDoesNotMatch",
    ),
    "a signed chunk without signature": (
        SIGNED,
        replace(SIGNED, kind="unsigned-trailer").wire(),
        "IncompleteBody",
    ),
    "the value of a trailer": (
        TRAILED,
        TRAILED.wire().replace(crc32_of(TRAILED.data).encode(), b"AAAAAA=="),
        "SignatureDoesNotMatch",
    ),
    "the signature of a trailer": (
        TRAILED,
        TRAILED.wire().replace(TRAILED.signatures()[-1].encode(), b"0" * 64),
        "SignatureDoesNotMatch",
    ),
    "a signed trailer without signature": (
        TRAILED,
        b"".join(TRAILED.parts()[:-1]) + f"x-amz-checksum-crc32:{TRAILED.trailer}".encode(),
        "IncompleteBody",
    ),
    "a wrong unsigned trailer": (
        UNSIGNED,
        with_trailer(UNSIGNED, "AAAAAA==").wire(),
        "BadDigest",
    ),
    "a trailer that is no checksum": (
        UNSIGNED,
        with_trailer(UNSIGNED, "!").wire(),
        "InvalidRequest",
    ),
    "a trailer that nobody announced": (
        UNSIGNED,
        UNSIGNED.wire().replace(b"checksum-crc32:", b"checksum-sha1:"),
        "MalformedTrailerError",
    ),
    "an announced trailer that never comes": (
        UNSIGNED,
        replace(UNSIGNED, trailer=None).wire(),
        "MalformedTrailerError",
    ),
    "a trailer without a colon": (
        UNSIGNED,
        UNSIGNED.wire().replace(b"crc32:", b"crc32"),
        "MalformedTrailerError",
    ),
    "a trailer twice": (
        UNSIGNED,
        UNSIGNED.wire()[:-2] + b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n",
        "MalformedTrailerError",
    ),
    "trailers without end": (
        UNSIGNED,
        UNSIGNED.wire()[:-2] + b"a:b\r\n" * 100_000,
        "MalformedTrailerError",
    ),
    "a size of five thousand digits": (SIGNED, b"1" * 5000 + b"\r\n", "IncompleteBody"),
    "a size that no body has": (
        SIGNED,
        b"f" * 16 + b";chunk-signature=" + b"0" * 64 + b"\r\n",
        "InvalidChunkSizeError",
    ),
    "a negative size": (UNSIGNED, b"-1\r\nx\r\n0\r\n\r\n", "IncompleteBody"),
    "a size with an underscore": (UNSIGNED, b"2_000\r\n", "IncompleteBody"),
    "a header without end": (SIGNED, b"a" * 1_000_000, "IncompleteBody"),
    "a chunk larger than declared": (
        UNSIGNED,
        b"ffffffff\r\nx",
        "IncompleteBody",
    ),
    "data after the end": (SIGNED, SIGNED.wire() + b"more", "IncompleteBody"),
    "no line end after a chunk": (
        UNSIGNED,
        UNSIGNED.wire().replace(b"xx\r\n", b"xx\n\n", 1),
        "IncompleteBody",
    ),
}


@pytest.mark.parametrize(("coded", "wire", "code"), TAMPERED.values(), ids=TAMPERED)
async def test_what_was_altered_is_refused(coded: Coded, wire: bytes, code: str) -> None:
    error = await refusal(coded, wire)
    assert error.code == code
    assert error.status in (400, 403)


@pytest.mark.parametrize("said", ["1", "17192", "17194"])
async def test_another_length_than_declared_is_refused(said: str) -> None:
    wire = UNSIGNED.wire()
    headers = (("x-amz-decoded-content-length", said), ("x-amz-trailer", "x-amz-checksum-crc32"))
    body = verified(Arriving([wire], len(wire)), headers, proof("unsigned-trailer"))
    with pytest.raises(ServiceError) as caught:
        await read(body)
    assert caught.value.code == "IncompleteBody"
    assert caught.value.members["NumberBytesExpected"] == said


async def test_a_short_chunk_is_the_last_one() -> None:
    coded = Coded("chunks", (b"hel", b"lo"))
    error = await refusal(coded, coded.wire())
    assert (error.code, error.members) == (
        "InvalidChunkSizeError",
        {"Chunk": "2", "BadChunkSize": "3"},
    )


async def test_a_signed_chunk_is_bounded() -> None:
    coded = Coded("chunks", (bytes(MAX_SIGNED_CHUNK_BYTES + 1),))
    assert (await refusal(coded, coded.wire())).code == "InvalidChunkSizeError"
