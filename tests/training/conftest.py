"""The weights of the default model, and their tokenizer."""

from pathlib import Path

import pytest
import pytest_asyncio
from training_data import MODEL

from outcrop.config import load
from outcrop.engines.modelfiles import ModelStore
from outcrop.training.tokenizer import Tokenizer, open_tokenizer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def model_file() -> Path:
    return (await ModelStore(load().cache_dir).ensure(MODEL)).paths["model"]


@pytest.fixture(scope="session")
def tokenizer(model_file: Path) -> Tokenizer:
    return open_tokenizer(str(model_file))
