from pathlib import Path

import pytest
from llama_asking import ENDLESS, MODEL, ask, asking

from outcrop.config import Llama
from outcrop.engines.gguf import read_gguf
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.engines.pool import EnginePool
from outcrop.engines.protocol import EngineBusy

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

CONFIG = Llama(model=MODEL, context=256, slots=1, threads=1)


async def test_an_engine_without_room_evicts_an_idle_one_but_none_at_work(model_file: Path):
    # Room for one engine of some 200 MiB, not for two.
    pool = EnginePool(
        {"one": CONFIG, "two": CONFIG}, cache_dir=model_file.parents[2], memory_mib=250
    )
    one, two = await pool.get("one"), await pool.get("two")
    assert isinstance(one, LlamaEngine)
    assert isinstance(two, LlamaEngine)
    answering = one.generate(asking("Count.", 100, sampling=ENDLESS))
    await anext(answering)
    with pytest.raises(EngineBusy):
        await ask(two, asking("Hi", 1))
    assert one.is_loaded
    await answering.aclose()
    await ask(two, asking("Hi", 1))
    assert (one.is_loaded, two.is_loaded) == (False, True)
    await ask(one, asking("Hi", 1))
    assert [(status.loaded, status.memory_bytes > 0) for status in pool.status()] == [
        (True, True),
        (False, False),
    ]
    await pool.close()


async def test_the_models_own_file_tells_its_vocabulary_and_cache(model_file: Path):
    model = read_gguf(model_file)
    assert (model.architecture, model.trained_context, model.vocabulary_size) == (
        "llama",
        8192,
        49152,
    )
    assert (model.bos_token, model.eos_token, model.eos_id) == ("<|im_start|>", "<|im_end|>", 2)
    assert "<|im_end|>" in model.control_tokens
    # 30 layers, 3 heads of 64 for keys and for values, 2 bytes each.
    assert model.cache_bytes_per_token == 30 * 3 * (64 + 64) * 2
