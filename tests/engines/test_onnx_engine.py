"""Embeddings by the real model in its worker process."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outcrop.config import Onnx
from outcrop.engines.modelfiles import ModelFiles, ModelStore
from outcrop.engines.onnx import OnnxEngine
from outcrop.engines.onnx.batching import Batcher
from outcrop.engines.onnx.engine import start_worker
from outcrop.engines.onnx.messages import Job
from outcrop.engines.onnx.model import SentenceModel
from outcrop.engines.protocol import EngineFailed, EngineGone, InputTooLong, Unsupported
from outcrop.generation import EmbeddingRequest

pytestmark = pytest.mark.engine
CONFIG = Onnx(model="all-minilm-l6-v2")


CACHE = Path(os.environ.get("OUTCROP_CACHE", "~/.cache/outcrop")).expanduser()


@pytest.fixture
async def files() -> ModelFiles:
    return await ModelStore(CACHE).ensure(CONFIG.model)


@pytest.fixture
async def engine(files: ModelFiles) -> AsyncIterator[OnnxEngine]:
    engine = OnnxEngine("minilm", CONFIG, files)
    yield engine
    await engine.close()


def request(*texts: str, dimensions: int = 384, **fields: Any) -> EmbeddingRequest:
    whole: dict[str, Any] = {"max_tokens": 8192, **fields}
    return EmbeddingRequest(texts, dimensions, **whole)


async def vectors(engine: OnnxEngine, asked: EmbeddingRequest) -> Any:
    return np.array((await engine.embed(asked)).vectors)


async def test_sentences_of_one_meaning_are_nearest_to_each_other(engine: OnnxEngine) -> None:
    pairs = [
        ("A cat sleeps on the sofa.", "The kitten naps on the couch."),
        ("Share prices fell sharply today.", "The stock market dropped."),
        ("How do I bake bread?", "A recipe for a loaf of bread"),
        ("The rocket reached orbit.", "A spacecraft was launched into space."),
    ]
    found = await vectors(engine, request(*(text for pair in pairs for text in pair)))
    cosines = found @ found.T - 2 * np.eye(8)
    assert cosines.argmax(axis=1).tolist() == [1, 0, 3, 2, 5, 4, 7, 6]


async def test_a_higher_dimension_has_the_same_cosines(engine: OnnxEngine) -> None:
    texts = ("red", "green", "a long sentence about colours", "")
    own = await vectors(engine, request(*texts))
    for dimensions in (1024, 1536):
        lifted = await vectors(engine, request(*texts, dimensions=dimensions))
        assert lifted.shape == (4, dimensions)
        assert np.abs(lifted @ lifted.T - own @ own.T).max() < 1e-6
        assert np.abs(np.linalg.norm(lifted, axis=1) - 1).max() < 1e-6


async def test_fewer_dimensions_are_refused(engine: OnnxEngine) -> None:
    with pytest.raises(Unsupported, match="dimensions=256"):
        await engine.embed(request("a", dimensions=256))


async def test_128_texts_are_answered_in_order(engine: OnnxEngine) -> None:
    texts = [f"sentence {number} " + "and more " * (number % 9) for number in range(128)]
    together = await engine.embed(request(*texts))
    assert len(together.vectors) == 128
    for number in (0, 63, 127):
        alone = await engine.embed(request(texts[number]))
        assert np.dot(alone.vectors[0], together.vectors[number]) == pytest.approx(1, abs=1e-5)
        assert together.input_tokens[number] == alone.input_tokens[0]


async def test_tokens_are_counted_without_special_ones(engine: OnnxEngine) -> None:
    embeddings = await engine.embed(request("hello world", "", "日本"))
    assert embeddings.input_tokens == (2, 0, 2)


async def test_requests_that_wait_together_run_together(engine: OnnxEngine) -> None:
    await engine.embed(request("warm"))
    before = engine.batches
    await asyncio.gather(*(engine.embed(request(f"text {number}")) for number in range(48)))
    assert 1 <= engine.batches - before < 24


async def test_a_killed_worker_is_replaced(engine: OnnxEngine) -> None:
    await engine.embed(request("warm"))
    process_id = engine.pid
    assert process_id is not None
    waiting = asyncio.create_task(engine.embed(request("word " * 5000)))
    # A later request that is answered proves that the long one is at work.
    await engine.embed(request("short"))
    os.kill(process_id, signal.SIGKILL)
    with pytest.raises(EngineGone):
        await waiting
    assert (await engine.embed(request("again"))).input_tokens == (1,)
    assert engine.pid not in (None, process_id)


async def test_a_cancelled_request_leaves_the_worker_to_others(engine: OnnxEngine) -> None:
    await engine.embed(request("warm"))
    waiting = asyncio.create_task(engine.embed(request("word " * 5000)))
    await engine.embed(request("short"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    before = engine.batches
    await engine.embed(request("after"))
    assert engine.batches - before <= 2


async def test_over_long_input_is_refused_or_cut(engine: OnnxEngine) -> None:
    text = "alpha " * 6 + "omega " * 4
    with pytest.raises(InputTooLong) as refusal:
        await engine.embed(request(text, max_tokens=9))
    assert (refusal.value.limit, refusal.value.received) == (9, 10)
    kept = await vectors(engine, request("alpha " * 6, "omega " * 4))
    for truncate, limit, expected in (("end", 6, kept[0]), ("start", 4, kept[1])):
        cut = await engine.embed(request(text, max_tokens=limit, truncate=truncate))
        assert cut.input_tokens == (limit,)
        assert np.dot(cut.vectors[0], expected) == pytest.approx(1, abs=1e-5)


async def test_a_text_that_is_no_unicode_fails_alone(engine: OnnxEngine) -> None:
    with pytest.raises(EngineFailed):
        await engine.embed(request("\ud800"))
    assert (await engine.embed(request("fine"))).input_tokens == (1,)


async def test_a_model_that_cannot_be_loaded_says_so(files: ModelFiles, tmp_path: Path) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"no model")
    wrong = ModelFiles(files.model, {**files.paths, "model": broken})
    engine = OnnxEngine("minilm", CONFIG, wrong)
    with pytest.raises(EngineFailed, match="cannot be loaded"):
        await engine.embed(request("a"))
    await engine.close()


async def test_a_text_beyond_the_window_is_the_average_of_its_windows(files: ModelFiles) -> None:
    model = SentenceModel(files.paths["model"], files.paths["tokenizer"], 1)
    batcher = Batcher(model)
    batcher.add(Job(1, ("word " * 300,), 384, 8192, "none", normalize=False))
    done = [answer for _ in range(2) if batcher for answer in batcher.run()]
    ids = model.tokenize("word " * 300, 8192, "none")
    parts = model.run([ids[:254]]), model.run([ids[254:]])
    expected = (parts[0][0] * 254 + parts[1][0] * 46) / 300
    assert np.abs(np.frombuffer(done[0].vectors, "<f4") - expected).max() < 1e-5


async def test_a_short_job_does_not_wait_for_a_long_one(files: ModelFiles) -> None:
    batcher = Batcher(SentenceModel(files.paths["model"], files.paths["tokenizer"], 1))
    batcher.add(Job(1, ("word " * 5000,), 384, 8192, "none", normalize=True))
    batcher.add(Job(2, ("short",), 384, 8192, "none", normalize=True))
    assert [done.id for done in batcher.run()] == [2]
    batcher.cancel(1)
    assert not batcher


async def test_the_worker_ends_when_its_parents_end_of_the_pipe_does(files: ModelFiles) -> None:
    worker = await start_worker(CONFIG, files)
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert await worker.process.wait() == 0
    await worker.close()
