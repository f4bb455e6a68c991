"""Clients of the running gateway, and the application inside the test's own process."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from iam_people import group_of, user_of
from in_process import ADMIN, Client, Inside, running_inside
from running_gateways import Gateway
from statements import OTHER


@pytest.fixture
def iam(scripted_gateway: Gateway) -> Any:
    return scripted_gateway.client("iam")


@pytest.fixture(scope="module")
def s3(scripted_gateway: Gateway) -> Any:
    return scripted_gateway.client("s3")


@pytest.fixture
def user(iam: Any) -> Iterator[str]:
    with user_of(iam) as name:
        yield name


@pytest.fixture
def group(iam: Any) -> Iterator[str]:
    with group_of(iam) as name:
        yield name


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    async with running_inside(tmp_path, monkeypatch, OTHER) as inside:
        yield inside


@pytest.fixture
def admin(inside: Inside) -> Client:
    return inside.client(ADMIN)
