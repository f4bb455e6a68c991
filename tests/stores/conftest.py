"""Fixtures of the stores' tests."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from opened_stores import Opened, open_stores


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncGenerator[Opened]:
    opened = await open_stores(tmp_path / "outcrop.db")
    yield opened
    await opened.database.close()
