"""Requests and responses as the wire layer sees them: bytes and raw paths, no framework."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol


class Incoming(Protocol):
    """A body that arrives while the request is handled. Read once; what fails on the way raises."""

    declared_bytes: int
    """The Content-Length, -1 where the client does not say."""

    def pieces(self) -> AsyncIterator[bytes]: ...


# Not frozen, as whatever is made once a request: that makes it five times slower to build.
@dataclass(slots=True)
class Request:
    """``raw_path`` and ``raw_query`` are exactly as sent (percent-encoded). Header names are lower
    case, in the order sent, repeated ones kept. ``host`` is the Host header or the authority of
    HTTP/2. An operation that takes its body as a stream finds it in ``incoming``, and ``body``
    empty. ``endpoint`` is the VPC endpoint (its ID) whose listener took the request. Nobody changes
    a request: ``replace`` makes another.
    """

    method: str
    raw_path: str
    raw_query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    host: str
    scheme: str = "http"
    client: str = "127.0.0.1"
    incoming: Incoming | None = None
    endpoint: str | None = None

    def header(self, name: str) -> str | None:
        """The first value of ``name`` (lower case)."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


@dataclass(slots=True)
class Response:
    """``body`` is bytes, or an iterator of pieces that are sent as they come; closing the iterator
    cancels the work behind it."""

    status: int
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes | AsyncIterator[bytes] = b""
