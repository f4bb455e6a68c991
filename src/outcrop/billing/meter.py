"""Counts the calls of models in memory and writes them to the ledger every second.

What a process that is killed had not written yet, a second at most, is lost; nothing else is.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from msgspec.structs import replace
from sqlalchemy.exc import SQLAlchemyError

from outcrop.billing.ledger import Line, add_up
from outcrop.billing.prices import UNKNOWN, Prices
from outcrop.billing.usage import UsageKey
from outcrop.stores.failures import StoreError
from outcrop.stores.resources import Resources

log = logging.getLogger(__name__)

HOUR_S: Final = 3600
OTHERS: Final = "(others)"
"""The principal of calls that came while too many were counted apart and none could be written."""

_OPEN_KEYS: Final = 10_000
_MOST_KEYS: Final = 100_000

# Requests, input tokens, output tokens.
_Counts = list[int]


class LedgerMeter:
    """``price_of`` tells the prices of a catalog's model, ``clock`` seconds since 1970."""

    def __init__(
        self,
        resources: Resources,
        price_of: Callable[[str], Prices | None],
        clock: Callable[[], float] = time.time,
        *,
        interval_s: float = 1.0,
        open_keys: int = _OPEN_KEYS,
        most_keys: int = _MOST_KEYS,
    ) -> None:
        self._resources = resources
        self._price_of = price_of
        self._clock = clock
        self._interval_s = interval_s
        self._open_keys = open_keys
        self._most_keys = most_keys
        self._counts: dict[tuple[int, UsageKey], _Counts] = {}
        self._flushing = asyncio.Lock()
        self._full = asyncio.Event()
        self._closing = False
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def add(self, key: UsageKey, *, input_tokens: int, output_tokens: int) -> None:
        place = (int(self._clock()) // HOUR_S, key)
        counts = self._counts.get(place)
        if counts is None:
            counts = self._open(place)
        counts[0] += 1
        counts[1] += input_tokens
        counts[2] += output_tokens

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="outcrop-usage-meter")
        self._task.add_done_callback(_tell_of_death)

    async def close(self) -> None:
        """Writes what is counted. Where the database fails, that is lost with the process."""
        self._closing = True
        self._full.set()
        if self._task is not None:
            await self._task
            self._task = None
        await self._try_to_flush()
        if self._counts:
            log.error("the usage of %d kinds of calls was not written", len(self._counts))

    async def flush(self) -> None:
        """Raises what the database raises; the counts are kept then."""
        async with self._flushing:
            if not self._counts:
                return
            counts, self._counts = self._counts, {}
            try:
                async with self._resources.writing() as transaction:
                    await add_up(transaction, map(self._line, counts, counts.values()))
            except (StoreError, SQLAlchemyError):
                self._take_back(counts)
                raise

    def _open(self, place: tuple[int, UsageKey]) -> _Counts:
        if len(self._counts) >= self._open_keys:
            self._full.set()
        if len(self._counts) >= self._most_keys:
            place = (place[0], replace(place[1], principal=OTHERS))
        return self._counts.setdefault(place, [0, 0, 0])

    def _take_back(self, counts: dict[tuple[int, UsageKey], _Counts]) -> None:
        newer, self._counts = self._counts, counts
        for place, added in newer.items():
            sums = self._counts.get(place)
            if sums is None:
                sums = self._open(place)
            sums[:] = [one + other for one, other in zip(sums, added, strict=True)]

    def _line(self, place: tuple[int, UsageKey], counts: _Counts) -> Line:
        hour, key = place
        is_provisioned = ":provisioned-model/" in key.resource
        return Line(
            account=key.account,
            hour=hour,
            region=key.region,
            kind="provisioned" if is_provisioned else "on-demand",
            model_id=key.model_id,
            resource=key.resource,
            principal=key.principal,
            prices="" if is_provisioned else (self._price_of(key.model_id) or UNKNOWN).render(),
            requests=counts[0],
            input_tokens=counts[1],
            output_tokens=counts[2],
        )

    async def _run(self) -> None:
        while not self._closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._full.wait()
            self._full.clear()
            if not await self._try_to_flush() and not self._closing:
                await asyncio.sleep(self._interval_s)

    async def _try_to_flush(self) -> bool:
        try:
            await self.flush()
        except (StoreError, SQLAlchemyError) as error:
            if not self._failing:
                log.warning("usage is not written, and kept until it can be: %s", error)
            self._failing = True
            return False
        if self._failing:
            log.warning("usage is written again")
        self._failing = False
        return True


def _tell_of_death(task: asyncio.Task[None]) -> None:
    """A bug that ends the writing is told at once, not when the server stops."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.critical("usage is no longer written", exc_info=error)
