"""What the tests of the wire share: the four services, and parameters made from their shapes."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from outcrop.wire.routing import Router
from outcrop.wire.shapes import Shape
from outcrop.wire.spec import Operation, Service, load_service

SERVICES = ("bedrock", "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime")


@pytest.fixture(scope="session")
def services() -> list[Service]:
    return [load_service(name) for name in SERVICES]


@pytest.fixture(scope="session")
def router(services: list[Service]) -> Router:
    return Router(services)


@pytest.fixture(scope="session")
def operations(services: list[Service]) -> list[Operation]:
    return [operation for service in services for operation in service.operations.values()]


@pytest.fixture(scope="session")
def converse() -> Operation:
    return load_service("bedrock-runtime").operations["Converse"]


@pytest.fixture(scope="session")
def models() -> dict[str, ServiceModel]:
    """botocore's own view of the services, patched operations left out."""
    return {name: ServiceModel(_load(name), name) for name in SERVICES}


def _load(name: str) -> Any:
    return Loader().load_service_model(name, "service-2")


Sampler = Callable[[Shape, int], Any]


@pytest.fixture(scope="session")
def sample() -> Sampler:
    """A value of a shape, every member set; ``seed`` chooses a union's member and the texts."""
    return _sample


_MAX_DEPTH = 6
_MOMENT = datetime(2026, 7, 13, 14, 0, 42, 680622, tzinfo=UTC)
_DOCUMENT: dict[str, Any] = {"any": [1, 2.5, None, True, "text", {"deep": {}}]}
_TEXTS = ("plain", "two words", "a/b:c?d=e&f+g%h", "日本語 😀", 'quote " and \\ \n')
_SCALARS: dict[str, Callable[[int], Any]] = {
    "integer": lambda seed: seed + 1,
    "long": lambda seed: (1 << 40) + seed,
    "float": lambda seed: seed + 0.5,
    "double": lambda seed: seed + 0.25,
    "boolean": lambda seed: seed % 2 == 0,
    "blob": lambda seed: bytes((seed, 0, 255)),
    "timestamp": lambda _: _MOMENT,
}


def _sample(shape: Shape, seed: int, depth: int = 0) -> Any:
    if shape.is_document:
        return _DOCUMENT
    if shape.type == "string":
        return shape.enum[seed % len(shape.enum)] if shape.enum else _TEXTS[seed % len(_TEXTS)]
    if shape.type == "list":
        return [_sample(shape.item.shape, seed, depth + 1)] if depth < _MAX_DEPTH else []
    if shape.type == "map":
        value = shape.members["value"].shape
        return {"key": _sample(value, seed, depth + 1)} if depth < _MAX_DEPTH else {}
    if shape.type == "structure":
        return _sample_structure(shape, seed, depth)
    return _SCALARS[shape.type](seed)


def _sample_structure(shape: Shape, seed: int, depth: int) -> dict[str, Any]:
    members = [m for m in shape.members.values() if not m.shape.is_event_stream]
    if depth >= _MAX_DEPTH:
        leaves = [member for member in members if member.shape.type in (*_SCALARS, "string")]
        # A union must hold something, however deep.
        members = leaves or (members if shape.is_union else [])
    if shape.is_union and members:
        members = [members[(seed + depth) % len(members)]]
    return {member.name: _sample(member.shape, seed, depth + 1) for member in members}
