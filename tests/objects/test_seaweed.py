import asyncio
import importlib.metadata
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from store_requests import (
    PlainSealer,
    arguments,
    child_of,
    exists,
    get,
    is_private,
    put,
    runs,
    send,
)

from outcrop.objects.protocol import StoreGone, StoreMissing, StoreRequest
from outcrop.objects.seaweed import SeaweedStore

pytestmark = pytest.mark.asyncio(loop_scope="session")

PARENT = """
import asyncio, sys
from pathlib import Path
from outcrop.security.masterkey import load_master_key
from outcrop.objects.seaweed import SeaweedStore

async def main():
    store = SeaweedStore(Path(sys.argv[1]), load_master_key(Path(sys.argv[1]), {}, create=True))
    await store.start()
    print(store.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def _until_gone(pid: int) -> None:
    async with asyncio.timeout(30):
        # A process that is no child of ours cannot be waited for.
        while runs(pid):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _pieces(*pieces: bytes) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece


async def _breaking_off(piece: bytes) -> AsyncGenerator[bytes]:
    yield piece
    raise ValueError("the hash does not hold")


async def test_an_object_is_read_as_it_was_written(store: SeaweedStore):
    body = os.urandom(9_000_000)
    streamed: AsyncIterator[bytes] = _pieces(body[:5], body[5:7_000_000], body[7_000_000:])
    assert (await put(store, "/things/a%20b/%C3%A4", streamed, len(body))).status == 200
    assert await get(store, "/things/a%20b/%C3%A4") == body


async def test_a_body_that_breaks_off_leaves_nothing_and_its_error_reaches_the_caller(
    store: SeaweedStore,
):
    for path in ("/things/broken-small", "/things/broken-large"):
        piece = b"x" * (5_000_000 if "large" in path else 10)
        with pytest.raises(ValueError, match="the hash does not hold"):
            await put(store, path, _breaking_off(piece), len(piece) + 10)
        answer, _ = await send(store, StoreRequest("GET", path))
        assert answer.status == 404


async def test_an_answer_that_is_closed_early_ends_its_connection(store: SeaweedStore):
    await put(store, "/things/long", b"y" * 8_000_000)
    answer = await store.send(StoreRequest("GET", "/things/long"))
    body = cast(AsyncGenerator[bytes], answer.body)
    assert await anext(body)
    await body.aclose()
    assert (await get(store, "/things/long"))[:1] == b"y"


async def test_after_a_crash_the_next_request_finds_everything_that_was_acknowledged(
    store: SeaweedStore,
):
    bodies = {f"/things/kept-{number}": os.urandom(2_000_000) for number in range(4)}
    for path, body in bodies.items():
        assert (await put(store, path, body)).status == 200
    keeper = store.pid
    assert keeper is not None
    killed = child_of(keeper)
    os.kill(killed, signal.SIGKILL)
    await _until_gone(keeper)
    for path, body in bodies.items():
        try:
            found = await get(store, path)
        except StoreGone:
            # The first request may still have met the dying process.
            found = await get(store, path)
        assert found == body
    assert store.pid not in (None, keeper)


async def test_when_the_gateway_is_killed_the_store_ends_and_leaves_no_secret(tmp_path: Path):
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=subprocess.PIPE
    )
    assert gateway.stdout is not None
    keeper = int(await gateway.stdout.readline())
    weed = child_of(keeper)
    (folder,) = [one.partition("=")[2] for one in arguments(weed) if one.startswith("-config_dir=")]
    assert is_private(folder)
    gateway.kill()
    await gateway.wait()
    await _until_gone(weed)
    await _until_gone(keeper)
    assert not exists(folder)


async def test_when_its_keeper_is_killed_the_store_ends(tmp_path: Path):
    store = SeaweedStore(tmp_path, PlainSealer())
    try:
        await store.start()
        assert store.pid is not None
        weed = child_of(store.pid)
        os.kill(store.pid, signal.SIGKILL)
        await _until_gone(weed)
    finally:
        await store.close()


async def test_a_second_store_on_the_same_data_waits_for_the_first(tmp_path: Path):
    first, second = SeaweedStore(tmp_path, PlainSealer()), SeaweedStore(tmp_path, PlainSealer())
    try:
        assert (await put(first, "/shared")).status == 200
        starting = asyncio.create_task(second.start())
        await first.close()
        await starting
        answer, _ = await send(second, StoreRequest("HEAD", "/shared"))
        assert answer.status == 200
    finally:
        await second.close()


async def test_without_seaweedfs_the_error_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    store = SeaweedStore(tmp_path, PlainSealer())
    with pytest.raises(StoreMissing, match=r"pip install 'outcrop\[s3\]'"):
        await store.send(StoreRequest("GET", "/"))
    await store.close()
