"""How long metrics are kept, and how finely: seconds for three hours, minutes for fifteen days,
five minutes for sixty-three, hours from then on.

Source: "Metrics retention" of the CloudWatch user guide. The end of hours is the configuration's.
"""

from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

from outcrop.metrics.points import Point, merge
from outcrop.metrics.store import merge_points, read_finer, remove_points
from outcrop.stores.database import Database
from outcrop.stores.periodic import Periodic
from outcrop.stores.tables import alarm_history, metric_points, metric_series, now_ms

DAY_S: Final = 86_400
_SECONDS_KEPT_S: Final = 3 * 3600
_COARSER: Final = ((60, 300, 15 * DAY_S), (300, 3600, 63 * DAY_S))
"""Resolution, what it becomes, and at what age."""
HISTORY_DAYS: Final = 30
"""How long CloudWatch keeps the history of alarms."""
_AT_ONCE: Final = 1000
_INTERVAL_S: Final = 3600.0


class Retention:
    """``days`` is how long any point is kept, ``clock`` tells milliseconds since 1970."""

    def __init__(
        self,
        database: Database,
        days: int,
        clock: Callable[[], int] = now_ms,
        *,
        interval_s: float = _INTERVAL_S,
    ) -> None:
        self._database = database
        self._days = days
        self._clock = clock
        self._periodic = Periodic("Removing old metrics", self.prune, interval_s)

    def start(self) -> None:
        self._periodic.start()

    async def close(self) -> None:
        await self._periodic.close()

    async def prune(self) -> None:
        """In transactions of few points each, so that nobody waits long for a turn to write."""
        now_s = self._clock() // 1000
        for resolution_s, coarser_s, age_s in _COARSER:
            # Whole parts of the coarser kind only, so that none is seen half coarse.
            before_s = (now_s - age_s) // coarser_s * coarser_s
            while await self._make_coarser(resolution_s, coarser_s, before_s):
                if self._periodic.is_closing:
                    return
        async with self._database.write() as connection:
            end_s = now_s - self._days * DAY_S
            points, series, history = metric_points.c, metric_series.c, alarm_history.c
            fine = sa.and_(points.resolution_s == 1, points.at_s < now_s - _SECONDS_KEPT_S)
            await connection.execute(sa.delete(metric_points).where(fine))
            await connection.execute(sa.delete(metric_points).where(points.at_s < end_s))
            await connection.execute(sa.delete(metric_series).where(series.last_at_s < end_s))
            end_ms = (now_s - HISTORY_DAYS * DAY_S) * 1000
            await connection.execute(sa.delete(alarm_history).where(history.at_ms < end_ms))

    async def _make_coarser(self, resolution_s: int, coarser_s: int, before_s: int) -> bool:
        """Whether there may be more."""
        async with self._database.write() as connection:
            fine = await read_finer(connection, resolution_s, before_s, _AT_ONCE)
            coarse: dict[tuple[int, int, int, str], list[Point]] = {}
            for (series, _, at_s, unit), point in fine.items():
                place = (series, coarser_s, at_s // coarser_s * coarser_s, unit)
                coarse.setdefault(place, []).append(point)
            if fine:
                merged = {place: merge(points) for place, points in coarse.items()}
                await merge_points(connection, merged)
                await remove_points(connection, list(fine))
        return len(fine) == _AT_ONCE
