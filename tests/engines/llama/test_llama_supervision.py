import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from llama_asking import CONTEXT, ENDLESS, MODEL, ask, asking, until

from outcrop.config import Llama
from outcrop.engines.budget import MemoryBudget
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.engines.llama.supervisor import Launch, Supervisor
from outcrop.engines.protocol import (
    EngineBusy,
    EngineFailed,
    EngineGone,
    EngineNotReady,
    EngineTimeout,
)

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

CONFIG = Llama(model=MODEL, context=CONTEXT, slots=1, threads=1, queue=1)
LONG = asking("Count to a thousand.", 300, sampling=ENDLESS)

PARENT = """
import asyncio, sys
from pathlib import Path
from outcrop.config import Llama
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.generation import Generation, Text, Turn

async def main():
    engine = LlamaEngine("orphan", Llama(model="m", context=256, slots=1, threads=1),
                         Path(sys.argv[1]), template="chatml")
    await engine.count_tokens(Generation(turns=(Turn("user", (Text("hi"),)),), max_tokens=1))
    print(engine.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest_asyncio.fixture(loop_scope="session")
async def own_engine(model_file: Path) -> AsyncGenerator[LlamaEngine]:
    engine = LlamaEngine("own", CONFIG, model_file, template="chatml")
    yield engine
    await engine.close()


async def _is_gone(pid: int) -> bool:
    return not _runs(pid)


def _runs(pid: int) -> bool:
    """Not once it has ended, whether or not someone has read its status yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _launch(model: Path) -> Launch:
    async def allowed() -> None:
        pass

    return Launch(
        model=str(model),
        context=256,
        slots=1,
        threads=lambda: 1,
        cpus=tuple,
        gpu_layers=0,
        http_threads=4,
        before=allowed,
    )


async def test_a_killed_engine_ends_the_stream_and_the_next_request_succeeds(
    own_engine: LlamaEngine,
):
    events = own_engine.generate(LONG)
    await anext(events)
    await anext(events)
    killed = own_engine.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(EngineGone):
        async for _ in events:
            pass
    assert own_engine.idle
    answer = await ask(own_engine, asking("Hi", 2, sampling=ENDLESS))
    assert answer.finished.output_tokens == 2
    assert own_engine.pid not in (None, killed)


async def test_without_a_named_template_the_models_own_is_used(
    model_file: Path, engine: LlamaEngine
):
    own = LlamaEngine("own", CONFIG, model_file)
    generation = asking("Hi", 0, system="Be brief.", logprobs="all")
    try:
        answer = await ask(own, generation)
        # With a system text SmolLM2's own template writes the same as ChatML.
        theirs = [token.id for token in (await ask(engine, generation)).started.prompt_tokens]
        assert [token.id for token in answer.started.prompt_tokens] == theirs
        without = asking("Hi", 0)
        assert await own.count_tokens(without) > await engine.count_tokens(without)
    finally:
        await own.close()


async def test_an_unloaded_engine_starts_again_when_asked(own_engine: LlamaEngine):
    await ask(own_engine, asking("Hi", 1))
    pid = own_engine.pid
    assert pid is not None
    await own_engine.unload()
    assert not _runs(pid)
    assert not own_engine.is_loaded
    await ask(own_engine, asking("Hi", 1))
    assert own_engine.is_loaded


async def test_closing_lets_running_answers_finish_and_refuses_others(model_file: Path):
    engine = LlamaEngine("closing", CONFIG, model_file, template="chatml")
    events = engine.generate(asking("Count.", 20, sampling=ENDLESS))
    first = await anext(events)
    pid = engine.pid
    closing = asyncio.create_task(engine.close())
    await asyncio.sleep(0)
    with pytest.raises(EngineNotReady):
        await ask(engine, asking("Hi", 1))
    rest = [event async for event in events]
    assert getattr(rest[-1], "output_tokens", None) == 20
    assert first not in rest
    await closing
    assert pid is not None
    assert not _runs(pid)


async def test_more_requests_than_the_queue_holds_are_refused(own_engine: LlamaEngine):
    running = own_engine.generate(LONG)
    await anext(running)
    waiting = asyncio.create_task(ask(own_engine, asking("Hi", 1)))
    await until(lambda: _waits(own_engine))
    with pytest.raises(EngineBusy):
        await ask(own_engine, asking("Hi", 1))
    await running.aclose()
    assert (await waiting).finished.output_tokens == 1


async def _waits(engine: LlamaEngine) -> bool:
    return engine.gate.waiting == 1


async def test_an_answer_that_takes_too_long_is_a_timeout(model_file: Path):
    config = Llama(model=MODEL, context=CONTEXT, slots=1, threads=1, timeout_s=1.0)
    engine = LlamaEngine("slow", config, model_file, template="chatml")
    try:
        await engine.count_tokens(LONG)
        with pytest.raises(EngineTimeout):
            await ask(engine, asking("Count.", 490, sampling=ENDLESS))
    finally:
        await engine.close()


async def test_memory_that_is_not_there_refuses_the_start(model_file: Path):
    engine = LlamaEngine("large", CONFIG, model_file, budget=MemoryBudget(2**20))
    with pytest.raises(EngineFailed, match="engine_memory_mib"):
        await ask(engine, asking("Hi", 1))
    await engine.close()


async def test_requests_that_come_together_share_one_start(model_file: Path):
    supervisor = Supervisor("shared", _launch(model_file), 30.0)
    endpoints = await asyncio.gather(*(supervisor.endpoint() for _ in range(5)))
    assert len(set(endpoints)) == 1
    assert supervisor.starts == 1
    await supervisor.stop()


async def test_a_model_that_cannot_load_is_reported_and_then_held_back(tmp_path: Path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF, but no more than that")
    # The second start follows at once, the third after a second or more.
    supervisor = Supervisor("broken", _launch(broken), 60.0, backoff_wait_s=0.5)
    for _ in range(2):
        with pytest.raises(EngineFailed, match="could not start"):
            await supervisor.endpoint()
    with pytest.raises(EngineNotReady, match="starts again in"):
        await supervisor.endpoint()
    await supervisor.stop()


async def test_no_engine_outlives_a_gateway_that_is_killed(model_file: Path):
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(model_file), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert _runs(pid)
    parent.kill()
    await parent.wait()
    await until(lambda: _is_gone(pid))
