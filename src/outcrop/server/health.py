"""Watches what the gateway depends on and keeps its failures as health events, open until it works
again. It only looks: requests find out, and retry by themselves."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from outcrop.catalog.catalog import Catalog
from outcrop.config import Config
from outcrop.engines.pool import EngineStatus
from outcrop.stores.failures import StoreError
from outcrop.stores.health_records import ISSUE_CODES, HealthEventRecord
from outcrop.stores.resources import Item, Place, Resources

log = logging.getLogger(__name__)

INTERVAL_S = 1.0
MAX_EVENTS = 1000
"""Closed events beyond this are forgotten, the oldest first; AWS keeps them for 90 days."""


@dataclass(frozen=True, slots=True)
class Issue:
    """Something that does not work now."""

    service: str
    source: str
    description: str
    zone: str | None = None
    entities: tuple[str, ...] = ()


class HealthWatch:
    """``look`` tells the issues of the moment."""

    def __init__(
        self, resources: Resources, region: str, look: Callable[[], Iterable[Issue]]
    ) -> None:
        self._resources = resources
        self._region = region
        self._look = look
        self._task: asyncio.Task[None] | None = None
        self._open: dict[str, Item[HealthEventRecord]] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="outcrop-health")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            try:
                await self.check(datetime.now(UTC))
            except (StoreError, SQLAlchemyError) as error:
                log.warning("health events could not be kept: %s", error)
            await asyncio.sleep(INTERVAL_S)

    async def check(self, now: datetime) -> None:
        """One look. It writes only when something broke or works again."""
        if self._open is None:
            self._open = await self._left_open()
        issues = {issue.source: issue for issue in self._look()}
        broken = [issue for source, issue in issues.items() if source not in self._open]
        mended = [item for source, item in self._open.items() if source not in issues]
        if not broken and not mended:
            return
        async with self._resources.writing() as transaction:
            for item in mended:
                closed = msgspec.structs.replace(item.record, ended_at=now, updated_at=now)
                await transaction.put(replace(item, record=closed))
            added = [await transaction.add(*self._event(issue, now)) for issue in broken]
            closed_events = [
                item
                for item in await transaction.list(HealthEventRecord)
                if item.record.ended_at is not None
            ]
            closed_events.sort(key=lambda item: item.record.started_at)
            for item in closed_events[: max(0, len(closed_events) - MAX_EVENTS)]:
                await transaction.remove(HealthEventRecord, item.place)
        for item in mended:
            del self._open[item.record.source]
        self._open.update({item.record.source: item for item in added})

    async def _left_open(self) -> dict[str, Item[HealthEventRecord]]:
        """By a server before this one."""
        async with self._resources.reading() as view:
            items = await view.list(HealthEventRecord)
        return {item.record.source: item for item in items if item.record.ended_at is None}

    def _event(self, issue: Issue, now: datetime) -> tuple[HealthEventRecord, Place]:
        code = ISSUE_CODES[issue.service]
        record = HealthEventRecord(
            service=issue.service,
            code=code,
            source=issue.source,
            description=issue.description,
            started_at=now,
            updated_at=now,
            zone=issue.zone,
            entities=issue.entities,
        )
        return record, Place("", self._region, f"{code}_{secrets.token_hex(10).upper()}")


def engine_issues(
    engines: Iterable[EngineStatus], config: Config, catalog: Catalog
) -> Iterable[Issue]:
    """An engine that models are bound to, and that is missing something or that requests found
    gone."""
    served = _models_by_engine(catalog)
    for engine in engines:
        models = served.get(engine.name, ())
        reason = engine.failure or engine.problem
        if reason and models:
            yield Issue(
                service="BEDROCK",
                source=f"engine:{engine.name}",
                description=f"The engine {engine.name} does not answer: {reason}",
                zone=config.server.region + config.zone_of(engine.name),
                entities=models,
            )


def _models_by_engine(catalog: Catalog) -> Mapping[str, tuple[str, ...]]:
    """In any region."""
    served: dict[str, dict[str, None]] = {}
    for model in catalog.bound():
        for engine in (model.engine, *model.standby):
            if engine is not None:
                served.setdefault(engine, {})[model.id] = None
    return {engine: tuple(models) for engine, models in served.items()}
