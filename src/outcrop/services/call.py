"""What a handler is given and what it gives back."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from outcrop.catalog.catalog import Catalog
from outcrop.engines.pool import EnginePool
from outcrop.identity import Caller
from outcrop.wire.http import Request
from outcrop.wire.spec import Operation


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated, validated request on its way to its handler."""

    operation: Operation
    caller: Caller
    region: str
    request_id: str
    request: Request
    catalog: Catalog
    engines: EnginePool
    unsupported: Literal["refuse", "warn"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A result in wire names, with headers that the output shape does not hold."""

    result: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """An answer whose event-stream member comes piece by piece: ``{"chunk": {…}}`` and so on.
    The first event was already awaited by the handler, so that what fails early fails as HTTP."""

    result: Mapping[str, Any]
    events: AsyncIterator[Mapping[str, Any]]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
