"""Work that is done again and again: through failures of the database, until it is closed."""

import asyncio

import pytest

from outcrop.stores.failures import StoreError
from outcrop.stores.periodic import Periodic


class Work:
    """Fails in these ways first; ``done`` is set when it has then succeeded ``wanted`` times."""

    def __init__(self, *failures: Exception, wanted: int = 2) -> None:
        self._failures = list(failures)
        self._wanted = wanted
        self.done = asyncio.Event()

    async def step(self) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self._wanted -= 1
        if self._wanted <= 0:
            self.done.set()


async def test_it_goes_on_after_a_failure_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(StoreError("locked"), OSError("full"))
    periodic = Periodic("Sweeping", work.step, 0.001)
    periodic.start()
    async with asyncio.timeout(10):
        await work.done.wait()
    await periodic.close()
    assert caplog.messages == [
        "Sweeping failed, and is tried again: locked",
        "Sweeping failed, and is tried again: full",
    ]


async def test_a_bug_ends_it_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    begun = asyncio.Event()

    async def step() -> None:
        begun.set()
        raise KeyError("bug")

    periodic = Periodic("Sweeping", step, 3600)
    periodic.start()
    async with asyncio.timeout(10):
        await begun.wait()
    await periodic.close()
    assert caplog.messages == ["Sweeping is no longer done"]


async def test_closing_does_not_wait_for_the_next_time() -> None:
    work = Work(wanted=1)
    periodic = Periodic("Sweeping", work.step, 3600)
    periodic.start()
    await work.done.wait()
    assert not periodic.is_closing
    async with asyncio.timeout(10):
        await periodic.close()
    assert periodic.is_closing


async def test_what_never_began_is_closed_at_once() -> None:
    await Periodic("Sweeping", Work().step, 3600).close()
