"""Cuts what happened into log files and digests: rows of jobs, which the deliveries then do.

What is cut, and how far, is one write: nothing is delivered twice or left out by a crash.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy.exc import SQLAlchemyError

from outcrop.jobs.delivery import Clock, now as system_now
from outcrop.jobs.queue import submit
from outcrop.services.cloudtrail.deliveries import LOGS_KIND
from outcrop.stores.failures import StoreError
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Transaction
from outcrop.stores.tables import to_ms, trail_events
from outcrop.stores.trail_records import Link, LogFile, Trail, TrailState
from outcrop.trail.files import (
    Span,
    digest_key,
    iso,
    log_key,
    render_digest,
    sha256,
    sign,
    text_to_sign,
)
from outcrop.trail.selection import condition, find_last_within, folder_region
from outcrop.trail.signing import signing_key
from outcrop.trail.states import (
    DIGEST_KIND,
    FILE_KIND,
    change_state,
    has_open_files,
    last_event,
    read_state,
)

log = logging.getLogger(__name__)

BATCH_S: Final = 15.0
"""How often log files are cut; AWS delivers about every five minutes."""
DIGEST_EVERY: Final = timedelta(hours=1)
MOST_EVENTS: Final = 10_000
MOST_BYTES: Final = 16 * 1024 * 1024
"""In one look, and so in one file, before it is compressed."""

_SOON_S: Final = 1.0

_seq = trail_events.c.seq


class TrailWriter:
    def __init__(
        self,
        stores: Stores,
        catch_up: Callable[[], Awaitable[None]],
        clock: Clock = system_now,
        every_s: float = BATCH_S,
    ) -> None:
        self._stores = stores
        self._catch_up = catch_up
        self._clock = clock
        self._every_s = every_s
        self._looked_at: dict[str, int] = {}
        self._closing = asyncio.Event()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="outcrop-trail-writer")

    async def close(self) -> None:
        """What is not cut yet is in the database, and the next start goes on from there."""
        self._closing.set()
        self.wake()
        if self._task is not None:
            await self._task
            self._task = None

    def wake(self) -> None:
        """A trail was changed: one that is stopped is not kept waiting for its last files."""
        self._woken.set()

    async def cut(self) -> bool:
        """Everything that was answered before, for every trail that is logging. Whether one that
        was stopped still has files to come."""
        await self._catch_up()
        async with self._stores.resources.reading() as view:
            trails = await view.list(Trail)
            states = {item.place: item.record for item in await view.list(TrailState)}
            end = await last_event(view)
        for trail in trails:
            state = states.get(trail.place, TrailState())
            if trail.record.is_logging or state.is_stopping:
                await self._cut_files(trail, state, end)
                await self._cut_digests(trail, state)
        async with self._stores.resources.reading() as view:
            return any(item.record.is_stopping for item in await view.list(TrailState))

    async def _run(self) -> None:
        pause_s = self._every_s
        while not self._closing.is_set():
            if await _happens(self._woken, pause_s):
                # What woke it is a request that is recorded when it has been answered.
                self._woken.clear()
                await _happens(self._closing, _SOON_S)
            try:
                pause_s = _SOON_S if await self.cut() else self._every_s
            except (StoreError, SQLAlchemyError, OSError) as error:
                log.warning("trails are not written, and will be later: %s", error)
                pause_s = self._every_s

    async def _cut_files(self, trail: Item[Trail], state: TrailState, end: int) -> None:
        arn = trail.arn or ""
        position = max(state.cursor, self._looked_at.get(arn, 0))
        while position < end:
            upto = await self._find_end(trail, position, end)
            found = await self._regions_with_events(trail, state, position, upto)
            if found:
                async with self._stores.resources.writing() as transaction:
                    current = await read_state(transaction, trail.place)
                    if current.cursor != state.cursor:
                        return
                    state = await change_state(transaction, trail.place, cursor=upto)
                    await self._submit(transaction, trail, state, (position + 1, upto), found)
            position = self._looked_at[arn] = upto

    async def _find_end(self, trail: Item[Trail], after: int, end: int) -> int:
        """How far one look goes, so that no file is larger than memory should hold."""
        upto = min(end, after + MOST_EVENTS)
        wanted = [condition(trail), _seq > after, _seq <= upto]
        async with self._stores.resources.reading() as view:
            fitting = await find_last_within(view, wanted, MOST_EVENTS, MOST_BYTES)
            if fitting is None:
                return upto
            beyond = [condition(trail), _seq > fitting, _seq <= upto]
            more = await find_last_within(view, beyond, 1, MOST_BYTES)
        return upto if more is None else fitting

    async def _regions_with_events(
        self, trail: Item[Trail], state: TrailState, after: int, upto: int
    ) -> list[str]:
        wanted = [condition(trail), _seq > after, _seq <= upto]
        until_ms = _until_ms(trail, state)
        if until_ms is not None:
            wanted.append(trail_events.c.at_ms <= until_ms)
        region = folder_region(trail).label("region")
        async with self._stores.resources.reading() as view:
            rows = await view.connection.execute(sa.select(region).where(*wanted).distinct())
            return sorted(row.region for row in rows)

    async def _submit(
        self,
        transaction: Transaction,
        trail: Item[Trail],
        state: TrailState,
        span: tuple[int, int],
        regions: list[str],
    ) -> None:
        now = self._clock()
        arn = trail.arn or ""
        payload: dict[str, Any] = {
            "first": span[0],
            "last": span[1],
            "until_ms": _until_ms(trail, state),
        }
        for region in regions:
            place = {"bucket": trail.record.bucket, "key": log_key(trail, region, now)}
            await submit(transaction, FILE_KIND, arn, {**payload, **place, "region": region})
        if trail.record.log_group is not None:
            await submit(transaction, LOGS_KIND, arn, payload)

    async def _cut_digests(self, trail: Item[Trail], before: TrailState) -> None:
        now = self._clock().replace(microsecond=0)
        last = before.digested_at
        # A clock that was set back does not end the chain until it is there again.
        is_due = last is not None and abs(now - last) >= DIGEST_EVERY
        if not is_due and not before.is_stopping:
            return
        async with self._stores.resources.reading() as view:
            is_busy = await has_open_files(view, trail.arn or "")
        if before.is_stopping and is_busy:
            # The last digest is about the last files too.
            return
        signer = None
        if trail.record.is_validated and last not in (None, now):
            signer = await signing_key(self._stores.resources, self._stores.sealer, now)
        async with self._stores.resources.writing() as transaction:
            state = await read_state(transaction, trail.place)
            if signer is not None and state.digested_at == last:
                await self._digest(transaction, trail, state, now, signer)
            if state.is_stopping:
                await change_state(transaction, trail.place, is_stopping=False)

    async def _digest(
        self,
        transaction: Transaction,
        trail: Item[Trail],
        state: TrailState,
        now: datetime,
        signer: tuple[str, rsa.RSAPrivateKey],
    ) -> None:
        fingerprint, key = signer
        files = await transaction.list(LogFile, account=trail.place.account, parent=trail.arn)
        links = dict(state.links)
        for region in sorted({trail.place.region, *links, *(each.place.region for each in files)}):
            span = Span(
                region=region,
                began_at=min(state.digested_at or now, now),
                ended_at=now,
                files=[each.record for each in files if each.place.region == region],
                previous=links.get(region),
            )
            name = digest_key(trail, region, now)
            content = render_digest(trail, span, name, fingerprint)
            bucket, before = trail.record.bucket, span.previous
            text = text_to_sign(
                iso(now), bucket, name, content, before.signature if before else None
            )
            link = Link(bucket=bucket, key=name, sha256=sha256(content), signature=sign(key, text))
            payload = {
                "bucket": bucket,
                "key": name,
                "content": content.decode(),
                "signature": link.signature,
            }
            await submit(transaction, DIGEST_KIND, trail.arn or "", payload)
            links[region] = link
        for each in files:
            await transaction.remove(LogFile, each.place)
        await change_state(transaction, trail.place, digested_at=now, links=links)


def _until_ms(trail: Item[Trail], state: TrailState) -> int | None:
    stopped_at = trail.record.stopped_at
    return to_ms(stopped_at) if state.is_stopping and stopped_at is not None else None


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            return await event.wait()
    return False
