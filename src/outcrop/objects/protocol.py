"""What an object store is to the rest of Outcrop: one S3 server that answers signed requests.

Bodies are streamed both ways: nothing is held longer than a piece of it takes to pass.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol


class ObjectsError(Exception):
    """The message is meant for a person: what is wrong, and what to do."""


class StoreMissing(ObjectsError):
    """SeaweedFS is not installed here."""


class StoreNotReady(ObjectsError):
    """It is starting, or cannot start."""


class StoreGone(ObjectsError):
    """The connection was lost, or could not be made."""


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """``headers`` are named in lower case. ``body`` must be read to its end or closed: closing
    it early ends the connection."""

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """``path`` and ``query`` are percent-encoded as they go out. ``length`` is the length of a
    body that is streamed. An error that the body's iterator raises aborts the request and reaches
    the caller as it is."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] | None = None
    body: bytes | AsyncIterator[bytes] = b""
    length: int | None = None


class ObjectStore(Protocol):
    @property
    def failure(self) -> str | None:
        """Why it does not run, as far as is known without asking it."""
        ...

    async def start(self) -> None:
        """What requests would otherwise have to wait for. Raises ``ObjectsError``."""
        ...

    async def send(self, request: StoreRequest) -> StoreAnswer:
        """Raises ``ObjectsError`` where the store cannot be reached."""
        ...

    async def close(self) -> None: ...
