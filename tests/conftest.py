"""``scripted_gateway`` answers from the deterministic engine, ``gateway`` from the default models.
Both are processes of their own, one each for the whole session."""

import gc
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from running_gateways import REAL, SCRIPTED, Gateway, start_gateway

# How long one example takes says how busy the machine is, nothing else.
hypothesis.settings.register_profile("outcrop", deadline=None)
hypothesis.settings.load_profile("outcrop")


def pytest_collection_finish() -> None:
    """The tests stay until the end: walking ten thousand of them in each full collection took a
    seventh of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def scripted_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = start_gateway(tmp_path_factory.mktemp("scripted"), SCRIPTED)
    yield gateway
    gateway.stop()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = start_gateway(tmp_path_factory.mktemp("real"), REAL)
    yield gateway
    gateway.stop()


@pytest.fixture
def runtime(gateway: Gateway) -> Any:
    return gateway.client("bedrock-runtime")


@pytest.fixture
def scripted_runtime(scripted_gateway: Gateway) -> Any:
    return scripted_gateway.client("bedrock-runtime")
