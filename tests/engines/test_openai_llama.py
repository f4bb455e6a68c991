"""The OpenAI engine against a real server: llama.cpp's own OpenAI endpoint, in a child process."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from outcrop.config import OpenAI
from outcrop.engines.modelfiles import ModelStore
from outcrop.engines.openai import OpenAIEngine
from outcrop.engines.protocol import EngineGone, InputTooLong
from outcrop.generation import (
    CachePoint,
    Finished,
    Generation,
    Sampling,
    Started,
    Text,
    TextDelta,
    Turn,
)

pytestmark = pytest.mark.engine
CACHE = Path(os.environ.get("OUTCROP_CACHE", "~/.cache/outcrop")).expanduser()
GREEDY = Generation(
    turns=(Turn("user", (Text("Count: one two three"),)),),
    max_tokens=16,
    sampling=Sampling(temperature=0),
)
SERVER = """
import sys, xllamacpp
settings = xllamacpp.CommonParams()
settings.model.path = sys.argv[1]
settings.hostnames = ["127.0.0.1"]
settings.port = 0
settings.n_parallel = 1
settings.n_ctx = 1024
settings.cpuparams.n_threads = 1
settings.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(settings)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture
async def server() -> AsyncIterator[tuple[asyncio.subprocess.Process, OpenAIEngine]]:
    files = await ModelStore(CACHE).ensure("smollm2-135m-instruct")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER, str(files.paths["model"])),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    address = ""
    while not address.startswith("http"):
        line = await process.stdout.readline()
        assert line, "the server ended before it listened"
        address = line.decode().strip()
    engine = OpenAIEngine("llama", OpenAI(url=f"{address}/v1"))
    yield process, engine
    await engine.close()
    if process.returncode is None:
        process.kill()
    await process.wait()


async def answer(engine: OpenAIEngine, generation: Generation) -> tuple[Started, str, Finished]:
    events = [event async for event in engine.generate(generation)]
    first, last = events[0], events[-1]
    assert isinstance(first, Started)
    assert isinstance(last, Finished)
    return first, "".join(e.text for e in events if isinstance(e, TextDelta)), last


async def test_text_counts_stops_and_limits_of_a_real_server(
    server: tuple[asyncio.subprocess.Process, OpenAIEngine],
) -> None:
    process, engine = server
    started, whole, finished = await answer(engine, GREEDY)
    assert whole
    assert finished == Finished("length", started.input_tokens, 16)
    assert started.input_tokens == await engine.count_tokens(GREEDY)
    assert engine.served_by.startswith("llama.cpp/")

    # The same words again, now ended by us in the middle of one.
    sequence = whole[5:8]
    expected = whole[: whole.index(sequence)]
    _, text, stopped = await answer(engine, replace(GREEDY, stop_sequences=(sequence,)))
    assert (text, stopped.stop, stopped.stop_sequence) == (expected, "stop_sequence", sequence)
    assert stopped.output_tokens < 16

    _, text, nothing = await answer(engine, replace(GREEDY, max_tokens=0))
    assert (text, nothing.stop, nothing.output_tokens) == ("", "length", 0)

    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    bound = replace(GREEDY, json_schema={**schema, "additionalProperties": False}, max_tokens=60)
    _, text, _ = await answer(engine, bound)
    assert isinstance(msgspec.json.decode(text, type=dict[str, int])["n"], int)

    marked = (*GREEDY.turns[0].parts, CachePoint())
    pointed = replace(GREEDY, turns=(Turn("user", marked),))
    await answer(engine, pointed)
    _, text, cached = await answer(engine, pointed)
    assert text == whole
    assert 0 < cached.cache_read_tokens == started.input_tokens - cached.input_tokens

    long = replace(GREEDY, turns=(Turn("user", (Text("word " * 2000),)),))
    with pytest.raises(InputTooLong) as refusal:
        await answer(engine, long)
    assert refusal.value.limit == 1024 < refusal.value.received

    async with aclosing(engine.generate(replace(GREEDY, max_tokens=900))) as events:
        await anext(events)
        await anext(events)
        process.kill()
        with pytest.raises(EngineGone):
            _ = [event async for event in events]
    with pytest.raises(EngineGone, match="cannot be reached"):
        await answer(engine, GREEDY)
