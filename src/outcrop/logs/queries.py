"""Queries of Logs Insights that run beside requests: few at a time, their results kept for a while.

They end with the process, as their results do; a client that asks for them starts them again.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import uuid4

from outcrop.errors import AWSError
from outcrop.logs.insights import QueryTooLarge, Run
from outcrop.logs.insights_query import Command
from outcrop.logs.insights_tests import Value

log = logging.getLogger(__name__)

Status = Literal["Scheduled", "Running", "Complete", "Failed", "Cancelled", "Timeout"]
Batches = Callable[[], AsyncIterator[Sequence[Mapping[str, Value]]]]
"""The events of the query, latest first."""

MOST_OPEN: Final = 30
"""Of an account in a region, running or waiting, as in AWS."""
_AT_ONCE: Final = 2
_MOST_KEPT: Final = 500
_MOST_BYTES: Final = 64 * 1024 * 1024
_LONGEST_S: Final = 15 * 60.0


class TooManyQueries(Exception):
    pass


@dataclass(slots=True)
class Asked:
    account: str
    region: str
    text: str
    groups: tuple[str, ...]
    user: str
    commands: Sequence[Command]
    limit: int


@dataclass(eq=False, slots=True)
class Query:
    asked: Asked
    id: str = field(default_factory=lambda: str(uuid4()))
    status: Status = "Scheduled"
    created_at: float = field(default_factory=time.time)
    took_ms: int = 0
    rows: Sequence[Sequence[Mapping[str, str]]] = ()
    size_bytes: int = 0
    matched: int = 0
    scanned: int = 0
    scanned_bytes: int = 0
    task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self.status in ("Scheduled", "Running")


class Queries:
    def __init__(self, longest_s: float = _LONGEST_S) -> None:
        self._queries: OrderedDict[str, Query] = OrderedDict()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._longest_s = longest_s

    def start(self, asked: Asked, batches: Batches) -> Query:
        """Raises ``TooManyQueries``."""
        if sum(each.is_open for each in self.list(asked.account, asked.region)) >= MOST_OPEN:
            raise TooManyQueries
        query = Query(asked)
        self._queries[query.id] = query
        query.task = asyncio.create_task(self._run(query, batches), name="outcrop-logs-query")
        return query

    def find(self, account: str, region: str, query_id: str) -> Query | None:
        found = self._queries.get(query_id)
        if found is None or (found.asked.account, found.asked.region) != (account, region):
            return None
        return found

    def list(self, account: str, region: str) -> list[Query]:
        """Latest first."""
        found = reversed(self._queries.values())
        return [
            each for each in found if (each.asked.account, each.asked.region) == (account, region)
        ]

    def stop(self, query: Query) -> bool:
        """Whether it still ran."""
        if not query.is_open or query.task is None:
            return False
        query.status = "Cancelled"
        query.task.cancel()
        self._forget()
        return True

    async def close(self) -> None:
        tasks = [each.task for each in self._queries.values() if each.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, query: Query, batches: Batches) -> None:
        async with self._slots:
            query.status = "Running"
            began_at = time.monotonic()
            try:
                async with asyncio.timeout(self._longest_s):
                    await _work(query, batches)
                query.status = "Complete"
            except TimeoutError:
                query.status = "Timeout"
            except (QueryTooLarge, AWSError) as error:
                log.warning("the query %s failed: %s", query.id, error)
                query.status = "Failed"
            except Exception:
                # The last resort, as of a request: the query has failed, and the log says why.
                log.exception("the query %s failed", query.id)
                query.status = "Failed"
            finally:
                query.took_ms = round((time.monotonic() - began_at) * 1000)
                self._forget()

    def _forget(self) -> None:
        """The oldest that are no longer open, until what is kept is little enough."""
        ended = [each for each in self._queries.values() if not each.is_open]
        size_bytes = sum(each.size_bytes for each in ended)
        while len(ended) > _MOST_KEPT or (size_bytes > _MOST_BYTES and len(ended) > 1):
            oldest = ended.pop(0)
            size_bytes -= oldest.size_bytes
            self._queries.pop(oldest.id, None)


async def _work(query: Query, batches: Batches) -> None:
    run = Run(query.asked.commands, query.asked.limit)
    try:
        async for batch in batches():
            await asyncio.to_thread(run.feed, batch)
            query.scanned += len(batch)
            query.scanned_bytes += sum(len(str(event["@message"])) for event in batch)
            query.matched = run.matched
            if run.is_done:
                break
        rows = await asyncio.to_thread(run.rows)
    finally:
        run.stop()
    query.size_bytes = sum(len(each["field"]) + len(each["value"]) for row in rows for each in row)
    query.rows = rows
