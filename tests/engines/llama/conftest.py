"""One real engine for the whole session: one thread, a small context, the default model."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio
from llama_asking import CONTEXT, MODEL

from outcrop.config import Llama, load
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.engines.modelfiles import ModelStore


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def model_file() -> Path:
    return (await ModelStore(load().cache_dir).ensure(MODEL)).paths["model"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine(model_file: Path) -> AsyncGenerator[LlamaEngine]:
    config = Llama(model=MODEL, context=CONTEXT, slots=2, threads=1)
    engine = LlamaEngine("smollm2", config, model_file, template="chatml")
    yield engine
    await engine.close()
