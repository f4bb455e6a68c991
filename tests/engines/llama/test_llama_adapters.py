"""Adapters on llama.cpp: exactly the right one acts, or nothing answers; and the base is shared."""

import os
import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from adapters_at_hand import Adapter, AdaptersAtHand, custom_arn, random_adapter
from llama_asking import CONTEXT, ENDLESS, MODEL, QUESTION, ask, asking, until

from outcrop.config import Llama, load
from outcrop.engines.llama import supervisor
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.engines.pool import EnginePool
from outcrop.engines.protocol import EngineFailed, EngineNotReady

pytestmark = pytest.mark.engine

_CONFIG = Llama(model=MODEL, context=CONTEXT, slots=1, threads=1)
ONE, TWO = custom_arn("one"), custom_arn("two")
_MIB = 2**20


@pytest.fixture(scope="module")
def made() -> tuple[Adapter, Adapter]:
    """For the weights whose fingerprint each test fills in."""
    return random_adapter("", 1), random_adapter("", 2)


@pytest.fixture(scope="module")
def weights(model_file: Path) -> bytes:
    """The file of the base."""
    return model_file.read_bytes()


@pytest.fixture
async def adapters(made: tuple[Adapter, Adapter]) -> AdaptersAtHand:
    base = EnginePool({"it": _CONFIG}, cache_dir=load().cache_dir, memory_mib=1).fingerprint("it")
    one, two = (replace(adapter, base=base) for adapter in made)
    return AdaptersAtHand({ONE: one, TWO: two})


@pytest.fixture
async def pool(adapters: AdaptersAtHand, weights: bytes) -> AsyncGenerator[EnginePool]:
    assert weights
    pool = EnginePool(
        {"it": _CONFIG}, cache_dir=load().cache_dir, memory_mib=1024, adapters=adapters
    )
    yield pool
    await pool.close()


async def fitted(pool: EnginePool, adapter: str | None) -> LlamaEngine:
    engine = await pool.get("it", None, None, adapter)
    assert isinstance(engine, LlamaEngine)
    return engine


async def said(engine: LlamaEngine) -> str:
    return (await ask(engine, asking(QUESTION, 12))).text


async def likeliest(engine: LlamaEngine, **body: Any) -> list[tuple[int, float]]:
    """The likeliest next tokens after a prompt, asked of the process itself."""
    endpoint = await engine.endpoint()
    asked = {"prompt": QUESTION, "n_predict": 1, "temperature": 0.0, "n_probs": 50, **body}
    headers = {"authorization": f"Bearer {endpoint.api_key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{endpoint.url}/completion", json=asked) as response,
    ):
        answer = await response.json()
    listed = answer["completion_probabilities"][0]["top_logprobs"]
    return [(one["id"], one["logprob"]) for one in listed]


async def test_custom_models_of_one_base_answer_each_for_itself_and_the_base_as_ever(
    pool: EnginePool,
) -> None:
    base, one, two = [await fitted(pool, arn) for arn in (None, ONE, TWO)]
    names = [engine.served_by.partition(".Q4_1")[2] for engine in (base, one, two)]
    assert names == ["", "+one", "+two"]
    before = await said(base)
    answers = [before, await said(one), await said(two)]
    assert len(set(answers)) == 3
    assert [await said(base), await said(one), await said(two)] == answers
    assert await fitted(pool, ONE) is one


async def test_at_scale_0_the_process_of_an_adapter_computes_as_the_base_alone(
    pool: EnginePool,
) -> None:
    alone = await likeliest(await fitted(pool, None))
    one = await fitted(pool, ONE)
    without = await likeliest(one, lora=[{"id": 0, "scale": 0.0}])
    assert without == alone
    assert await likeliest(one, lora=[{"id": 0, "scale": 1.0}]) != alone


async def test_two_custom_models_share_the_memory_of_their_base(
    pool: EnginePool, adapters: AdaptersAtHand, weights: bytes
) -> None:
    one, two = await fitted(pool, ONE), await fitted(pool, TWO)
    for engine in (one, two):
        await said(engine)
    shares = [memory_of(engine.pid) for engine in (one, two)]
    whole, shared = (sum(share[key] for share in shares) for key in ("Rss", "Pss"))
    size = len(weights)
    # Each has all of the base's pages, and both together hold them once: all but what of the file
    # nobody ever reads, such as its header.
    assert whole - shared > 0.9 * size
    # Its own are the adapter, the cache and what the engine works with.
    for share in shares:
        assert share["Anonymous"] < len(adapters.known[ONE].gguf) + 96 * _MIB
    # What the budget counts is not less than what is there.
    held = sum(status.memory_bytes for status in pool.status())
    assert held > 0.9 * (shared - 2 * library_bytes(one.pid))


def memory_of(pid: int | None) -> dict[str, int]:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return {name: int(kib) * 1024 for name, kib in re.findall(r"(\w+): +(\d+) kB", text)}


def library_bytes(pid: int | None) -> int:
    """What the process maps of programs and libraries, in proportion."""
    text = Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8")
    regions = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", text)
    found = (re.search(r"(?m)^Pss: +(\d+) kB", one) for one in regions if ".so" in one[:200])
    return sum(int(match[1]) * 1024 for match in found if match)


async def test_closing_the_stream_of_a_custom_model_stops_its_engine(pool: EnginePool) -> None:
    one = await fitted(pool, ONE)
    events = one.generate(asking("Count to a thousand.", 200, sampling=ENDLESS))
    for _ in range(4):
        await anext(events)
    await events.aclose()

    async def is_at_rest() -> bool:
        return not (await one.metrics())["requests_processing"]

    await until(is_at_rest)
    assert 3 <= (await one.metrics())["tokens_predicted_total"] < 150
    assert one.idle


async def test_nothing_of_an_adapter_is_left_open_or_in_a_folder(pool: EnginePool) -> None:
    one = await fitted(pool, ONE)
    await said(one)
    assert not [
        file for pid in (os.getpid(), one.pid) for file in open_files(pid) if "memfd" in file
    ]


def open_files(pid: int | None) -> list[str]:
    found: list[str] = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        # The folder's own descriptor is gone by now.
        with suppress(FileNotFoundError):
            found.append(os.readlink(path))
    return found


async def test_an_adapter_for_other_weights_is_refused(
    pool: EnginePool, adapters: AdaptersAtHand
) -> None:
    adapters.known[ONE] = replace(adapters.known[ONE], base="of another model")
    with pytest.raises(EngineFailed, match="trained on other weights") as caught:
        await fitted(pool, ONE)
    assert not isinstance(caught.value, EngineNotReady)


async def test_weights_that_were_exchanged_meanwhile_are_seen_before_the_next_start(
    pool: EnginePool, adapters: AdaptersAtHand
) -> None:
    one = await fitted(pool, ONE)
    await said(one)
    await one.unload()
    adapters.known[ONE] = replace(adapters.known[ONE], base="of another model")
    with pytest.raises(EngineFailed, match="trained on other weights"):
        await said(one)
    assert one.failure is not None


async def test_a_file_of_other_weights_in_the_place_of_the_base_s_is_seen_before_the_next_start(
    adapters: AdaptersAtHand, weights: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "own.gguf"
    file.write_bytes(weights)
    config = Llama(model=str(file), context=CONTEXT, slots=1, threads=1)
    pool = EnginePool({"it": config}, cache_dir=tmp_path, memory_mib=1024, adapters=adapters)
    adapters.known[ONE] = replace(adapters.known[ONE], base=pool.fingerprint("it"))
    try:
        one = await fitted(pool, ONE)
        await said(one)
        await one.unload()
        # Of the same name and size.
        half = len(weights) // 2
        file.unlink()
        file.write_bytes(weights[:half] + bytes(len(weights) - half))
        with pytest.raises(EngineFailed, match="trained on other weights"):
            await said(one)
        with pytest.raises(EngineFailed, match="trained on other weights"):
            await pool.build_reserved("it", "one", (), None, ONE)
    finally:
        await pool.close()


async def test_an_adapter_that_cannot_be_opened_is_told_and_tried_again(
    pool: EnginePool, adapters: AdaptersAtHand
) -> None:
    one = await fitted(pool, ONE)
    adapters.closed = "Its key is disabled."
    with pytest.raises(EngineNotReady, match="Its key is disabled"):
        await said(one)
    assert "Its key is disabled" in str(one.failure)
    adapters.closed = ""
    assert await said(one)
    assert one.failure is None
    # A running process needs the key no more.
    adapters.closed = "Its key is disabled."
    assert await said(one)


@pytest.mark.parametrize("damage", ["cut", "no adapter", "other shape"])
async def test_what_llama_cpp_does_not_load_does_not_answer_as_the_base(
    pool: EnginePool, adapters: AdaptersAtHand, damage: str, weights: bytes
) -> None:
    whole = adapters.known[ONE]
    changed = {
        "cut": whole.gguf[: len(whole.gguf) // 2],
        "no adapter": weights[: 8 * _MIB],
        "other shape": whole.gguf.replace(b"attn_v", b"attn_q"),
    }
    adapters.known[ONE] = replace(whole, gguf=changed[damage])
    one = await fitted(pool, ONE)
    with pytest.raises(EngineFailed, match="could not start"):
        await said(one)


async def test_a_process_that_has_not_the_adapter_it_was_given_is_not_asked(
    pool: EnginePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(descriptor: int) -> str:
        return f"/proc/self/fd/{descriptor}0"

    # As if the process had loaded another file than the one it was given.
    monkeypatch.setattr(supervisor, "path_in_process", elsewhere)
    with pytest.raises(EngineFailed, match="not the one it was given"):
        await said(await fitted(pool, ONE))


async def test_a_dropped_adapter_has_no_process_and_a_new_engine_asks_for_it_anew(
    pool: EnginePool, adapters: AdaptersAtHand
) -> None:
    one = await fitted(pool, ONE)
    await said(one)
    await pool.drop_adapter(ONE)
    assert one.pid is None
    del adapters.known[ONE]
    with pytest.raises(EngineNotReady, match="There is no custom model"):
        await fitted(pool, ONE)


async def test_idle_custom_models_make_room_for_each_other(
    adapters: AdaptersAtHand, weights: bytes
) -> None:
    # The base once, and what one process works with: a second one does not fit beside it.
    adapter = len(adapters.known[ONE].gguf)
    memory_mib = (len(weights) + adapter) // _MIB + 96 + 60
    pool = EnginePool(
        {"it": _CONFIG}, cache_dir=load().cache_dir, memory_mib=memory_mib, adapters=adapters
    )
    try:
        one, two = await fitted(pool, ONE), await fitted(pool, TWO)
        first = await said(one)
        await said(two)
        assert (one.is_loaded, two.is_loaded) == (False, True)
        assert await said(one) == first
        assert (one.is_loaded, two.is_loaded) == (True, False)
    finally:
        await pool.close()
