"""A database for metrics."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from outcrop.stores.database import Database
from outcrop.stores.resources import Resources


@pytest.fixture
async def database(tmp_path: Path) -> AsyncGenerator[Database]:
    opened = await Database.open(tmp_path / "outcrop.db")
    yield opened
    await opened.close()


@pytest.fixture
def resources(database: Database) -> Resources:
    return Resources(database)
