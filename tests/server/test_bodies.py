"""Bodies are bounded in size, time and memory before anybody knows whose they are."""

import asyncio
from collections.abc import Iterable

import pytest
from raw_http import connected, read_reply
from serving import preset, served

from outcrop.server.bodies import MAX_BODY_BYTES, BodyReader, BodyRefused, Message, Receive

HEAD = "POST /model/x/invoke HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n"


def sender(pieces: Iterable[bytes], *, ends: bool = True) -> Receive:
    """A client that sends these pieces, and then its end or nothing more."""
    messages: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    if ends:
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    remaining = iter(messages)

    async def receive() -> Message:
        message = next(remaining, None)
        return message if message is not None else await asyncio.Future()

    return receive


async def refusal(reader: BodyReader, receive: Receive, declared_bytes: int = 0) -> BodyRefused:
    with pytest.raises(BodyRefused) as caught:
        await reader.read(receive, declared_bytes)
    return caught.value


async def test_a_body_in_pieces_is_whole() -> None:
    reader = BodyReader()
    assert await reader.read(sender([b"one ", b"two"])) == b"one two"
    assert reader.held_bytes == 0


async def test_a_client_that_falls_silent_is_refused() -> None:
    for pieces in ([], [b"half"]):
        reader = BodyReader(piece_timeout_s=0.01)
        assert (await refusal(reader, sender(pieces, ends=False))).status == 408
        assert reader.held_bytes == 0


async def test_a_client_that_drips_is_refused() -> None:
    async def drip() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"x", "more_body": True}

    refused = await refusal(BodyReader(piece_timeout_s=60, timeout_s=0.01), drip)
    assert refused.code == "RequestTimeoutException"


async def test_all_bodies_together_are_bounded() -> None:
    reader = BodyReader(max_held_bytes=10)
    first = asyncio.create_task(reader.read(sender([b"12345678"], ends=False)))
    await asyncio.sleep(0)
    assert reader.held_bytes == 8
    refused = await refusal(reader, sender([b"123"]))
    assert (refused.status, refused.code) == (503, "ServiceUnavailableException")
    assert await reader.read(sender([b"12"])) == b"12"
    first.cancel()
    await asyncio.wait((first,))
    assert reader.held_bytes == 0


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    refused = await refusal(BodyReader(), sender([], ends=False), MAX_BODY_BYTES + 1)
    assert refused.status == 413


@pytest.mark.parametrize("size", [str(MAX_BODY_BYTES + 1), "9" * 18])
async def test_a_declared_size_is_refused_before_the_body_comes(
    size: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset(monkeypatch)
    folder = tmp_path_factory.mktemp("served")
    async with served(folder) as gateway, connected(gateway.url) as (reader, writer):
        writer.write(HEAD.format(size).encode())
        reply = await read_reply(reader)
    assert reply.status == 413
    assert reply.error == "RequestEntityTooLargeException"
