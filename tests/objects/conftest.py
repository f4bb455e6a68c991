from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from store_requests import PlainSealer, put

from outcrop.objects.seaweed import SeaweedStore


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("objects")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def store(store_folder: Path) -> AsyncGenerator[SeaweedStore]:
    """One SeaweedFS for all tests of the store, with a bucket named ``things``."""
    running = SeaweedStore(store_folder, PlainSealer())
    assert (await put(running, "/things")).status == 200
    yield running
    await running.close()
