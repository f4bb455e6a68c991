"""What a handler is given and what it gives back."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Protocol, cast

from outcrop.authorization.access import Access
from outcrop.catalog.catalog import Catalog
from outcrop.engines.pool import EnginePool
from outcrop.identity import Caller
from outcrop.journal.records import Invocation
from outcrop.objects.objects import NO_OBJECTS, Objects
from outcrop.security.policy.evaluate import Decision
from outcrop.services.observing import Observing
from outcrop.services.serving import Serving
from outcrop.stores.opened import Stores
from outcrop.wire.http import Request
from outcrop.wire.spec import Operation


class Gateway(Protocol):
    """The way from an authenticated caller to an answer, for calls that begin inside as well."""

    async def perform(
        self, call: "Call", service: str, operation: str, params: Mapping[str, Any]
    ) -> "Answered":
        """Authorizes ``call.caller`` and asks the handler; raises AWS's errors as a client would
        get them. ``operation`` is the model's name (``GenerateDataKey``)."""
        ...

    async def decide(self, call: "Call", access: Access) -> Decision:
        """Whether ``call.caller`` may; asks nothing else and records nothing."""
        ...


# Not frozen: the handlers of models tell here what they do.
@dataclass(slots=True)
class Seen:
    """What is noticed of a request while it goes on, for whatever is recorded of it. Calls that it
    makes of other operations have one of their own."""

    invocation: Invocation | None = None


# Not frozen, as whatever is made once a request (see wire/http.py).
@dataclass(slots=True)
class Call:
    """One authenticated, validated request on its way to its handler. Nobody changes it."""

    operation: Operation
    caller: Caller
    region: str
    request_id: str
    request: Request
    catalog: Catalog
    engines: EnginePool
    unsupported: Literal["refuse", "warn"]
    stores: Stores
    gateway: Gateway
    serving: Serving
    observing: Observing
    now: datetime
    objects: Objects = NO_OBJECTS
    zones: tuple[str, ...] = ("a",)
    """The letters of the availability zones of each region."""
    seen: Seen = field(default_factory=Seen)

    @property
    def account(self) -> str:
        return self.caller.account

    async def perform(
        self, service: str, operation: str, params: Mapping[str, Any], *, via: str | None = None
    ) -> Mapping[str, Any]:
        """The result of another operation, asked for as the same caller. ``via`` is the service
        that calls on its behalf (``s3.us-east-1.amazonaws.com``: kms:ViaService, aws:CalledVia)."""
        caller = self.caller if via is None else replace(self.caller, via=(*self.caller.via, via))
        answered = await self.gateway.perform(
            replace(self, caller=caller), service, operation, params
        )
        return answered.result if isinstance(answered, Answer) else cast(Any, answered)

    async def may(self, access: Access) -> bool:
        """For answers that depend on a further permission (403 or 404 of a missing object)."""
        return (await self.gateway.decide(self, access)).allowed


@dataclass(frozen=True, slots=True)
class Answer:
    """A result in wire names, with headers that the output shape does not hold."""

    result: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An HTTP answer that another server gave, passed on piece by piece. ``body`` closed early
    ends the other server's work."""

    status: int
    headers: Mapping[str, str]
    body: bytes | AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """An answer whose event-stream member comes piece by piece: ``{"chunk": {…}}`` and so on.
    The first event was already awaited by the handler, so that what fails early fails as HTTP."""

    result: Mapping[str, Any]
    events: AsyncIterator[Mapping[str, Any]]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


Answered = Mapping[str, Any] | Answer | RawAnswer | StreamAnswer
