"""100,000 broken requests, signed after they were broken: none makes the gateway fail."""

import signal
from collections import Counter
from collections.abc import AsyncIterator, Generator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest
from mutants import Mutants
from serving import opened, preset
from signed_http import Ask, Signer

from outcrop.server.app import App
from outcrop.wire.http import Request, Response

COUNT = 100_000
HANG_S = 10
HOST = "127.0.0.1:4510"
BEFORE_AUTHENTICATION = frozenset(
    {
        "UnknownOperationException",
        "MissingAuthenticationTokenException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "UnrecognizedClientException",
        "ExpiredTokenException",
        "AccessDeniedException",
    }
)
PROPER = frozenset({200, 400, 403, 404, 409, 424, 501})
FORBIDDEN = (b"Traceback", b".py", b"internalServerException", b"object at 0x")


def as_read(value: str) -> str:
    """A header's value as the server reads its bytes."""
    return value.encode("latin-1").decode("utf-8", "surrogateescape")


def request_of(ask: Ask, signer: Signer, when: datetime) -> Request:
    headers = tuple(
        (name, as_read(value)) for name, value in signer.headers(ask, HOST, when).items()
    )
    return Request(ask.method, ask.path, ask.query, headers, ask.body, HOST)


async def whole(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    pieces: list[bytes] = []
    async with aclosing(cast(Any, response.body)) as body:
        async for piece in cast(AsyncIterator[bytes], body):
            pieces.append(piece)
    return b"".join(pieces)


@contextmanager
def alarm() -> Generator[None]:
    """Raises in the middle of whatever takes too long."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("a request hangs")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


async def answer(app: App, request: Request) -> tuple[int, str, bytes]:
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    response = await app.handle(request)
    body = await whole(response)
    error = response.headers.get("x-amzn-ErrorType", "").partition(":")[0]
    return response.status, error, body


async def test_a_hundred_thousand_broken_requests_are_all_answered_properly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset(monkeypatch)
    statuses = Counter[int]()
    errors = Counter[str]()
    improper: list[tuple[int, int, Ask, bytes]] = []
    mutants, signer = Mutants(20261122), Signer()
    with alarm():
        async with opened(tmp_path) as (app, _):
            for number in range(COUNT):
                mutant = mutants.make()
                request = request_of(mutant, signer, datetime.now(UTC))
                status, error, body = await answer(app, request)
                statuses[status] += 1
                errors[error] += 1
                if status not in PROPER or any(word in body for word in FORBIDDEN):
                    improper.append((number, status, mutant, body[:500]))
            plain = Ask("GET", "/foundation-models")
            alive = await answer(app, request_of(plain, signer, datetime.now(UTC)))
    assert improper[:5] == []
    assert alive[0] == 200
    authenticated = COUNT - sum(errors[code] for code in BEFORE_AUTHENTICATION)
    assert authenticated >= 0.7 * COUNT, errors
    # The supply is varied: much is refused, and much is broken so little that it is answered.
    assert statuses[200] >= 0.1 * COUNT, statuses
    assert statuses[400] >= 0.2 * COUNT, statuses
