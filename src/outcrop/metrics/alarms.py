"""Looks at all alarms every ten seconds and changes the state of those whose data say so.

Periods slide: they are counted back from the last whole minute, or ten seconds of shorter ones.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from outcrop.metrics.alarm_messages import render_time
from outcrop.metrics.alarm_rules import LOOKED_FURTHER, AlarmRule, decide, parse_rule
from outcrop.metrics.alarm_states import Telling, Verdict, change_state
from outcrop.metrics.points import Point
from outcrop.metrics.queries import BadQuery, Owner, evaluate, read_stat
from outcrop.metrics.store import Span
from outcrop.stores.alarm_records import Alarm
from outcrop.stores.periodic import Periodic
from outcrop.stores.resources import Item, Resources

log = logging.getLogger(__name__)

_INTERVAL_S: Final = 10.0
_BUGS: Final = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
"""What settings and data that nobody thought of may come to: the other alarms go on."""
_SHOWN: Final = 10
"""How many datapoints a reason names."""

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class AlarmWatch:
    """``catch_up`` brings metrics up to date before each look."""

    def __init__(
        self,
        resources: Resources,
        catch_up: Callable[[], Awaitable[None]],
        telling: Telling,
        clock: Clock = utc_now,
        *,
        interval_s: float = _INTERVAL_S,
    ) -> None:
        self._resources = resources
        self._catch_up = catch_up
        self._telling = telling
        self._clock = clock
        self._periodic = Periodic("Evaluating alarms", self.look, interval_s)

    def start(self) -> None:
        self._periodic.start()

    async def close(self) -> None:
        await self._periodic.close()

    async def look(self) -> None:
        """Once at every alarm."""
        async with self._resources.reading() as view:
            alarms = await view.list(Alarm)
        if not alarms:
            return
        await self._catch_up()
        now = self._clock()
        for alarm in alarms:
            try:
                async with self._resources.reading() as view:
                    verdict = await judge(view.connection, alarm, now)
            except _BUGS:
                log.exception("a bug kept alarm %s from being evaluated", alarm.arn)
                continue
            if verdict is not None and verdict.state != alarm.record.state:
                await self._change(alarm, verdict, now)

    async def _change(self, alarm: Item[Alarm], verdict: Verdict, now: datetime) -> None:
        async with self._resources.writing() as transaction:
            current = await transaction.find(Alarm, alarm.place)
            # Whoever changed it meanwhile knows better: it is looked at again soon.
            if current is not None and current.record == alarm.record:
                await change_state(transaction, current, verdict, now, self._telling)


async def judge(connection: AsyncConnection, alarm: Item[Alarm], now: datetime) -> Verdict | None:
    """None: the state stays as it is."""
    owner = Owner(alarm.place.account, alarm.place.region)
    try:
        rule = parse_rule(alarm.record.settings, owner.account)
        span = span_of(rule, now)
        points, values = await _datapoints(connection, owner, rule, span)
    except BadQuery as error:
        return Verdict("INSUFFICIENT_DATA", f"The alarm cannot be evaluated: {error}"[:1023])
    newest = max(points, default=None)
    if newest is not None and not rule.has_enough(points[newest]):
        return None
    times = range(span.start_s, span.end_s, span.period_s)
    state = decide(rule, [values.get(at_s) for at_s in times])
    if state is None:
        return None
    shown = [(at_s, values[at_s]) for at_s in times if at_s in values][-rule.periods :]
    reason = _reason(rule, state, shown)
    return Verdict(state, reason, _reason_data(rule, now, shown, points))


def span_of(rule: AlarmRule, now: datetime) -> Span:
    at_s = int(now.timestamp())
    end_s = at_s - at_s % rule.step_s
    length_s = (rule.periods + LOOKED_FURTHER) * rule.period_s
    return Span(end_s - length_s, end_s, rule.period_s)


async def _datapoints(
    connection: AsyncConnection, owner: Owner, rule: AlarmRule, span: Span
) -> tuple[dict[int, Point], dict[int, float]]:
    """Points, of an alarm on one metric; and values, by time."""
    if rule.stat is not None:
        points = await read_stat(connection, owner, rule.stat, span)
        values = {at_s: rule.stat.statistic.of(point) for at_s, point in points.items()}
        return points, {at_s: value for at_s, value in values.items() if value is not None}
    found = await evaluate(connection, owner, rule.queries, span.start_s, span.end_s, slides=True)
    lines = [line for query in rule.queries if query.returns for line in found[query.id]]
    if len(lines) > 1:
        raise BadQuery("Its expression returns several time series.")
    return {}, dict(lines[0].values) if lines else {}


def _reason(rule: AlarmRule, state: str, shown: Sequence[tuple[int, float]]) -> str:
    if state == "INSUFFICIENT_DATA" or not shown:
        return f"Insufficient Data: {_counted(rule.periods - len(shown))} unknown."
    fitting = [value for _, value in shown if rule.is_breaching(value) == (state == "ALARM")]
    named = ", ".join(
        f"{value} ({datetime.fromtimestamp(at_s, UTC):%d/%m/%y %H:%M:%S})"
        for at_s, value in list(reversed(shown))[:_SHOWN]
    )
    crossed = f"{rule.comparison_text} the threshold ({rule.threshold})"
    negation = "" if state == "ALARM" else "not "
    if len(shown) == 1:
        return f"Threshold Crossed: 1 datapoint [{named}] was {negation}{crossed}."
    needed = rule.to_alarm if state == "ALARM" else rule.periods - rule.to_alarm + 1
    change = "OK -> ALARM" if state == "ALARM" else "ALARM -> OK"
    return (
        f"Threshold Crossed: {len(fitting)} out of the last {len(shown)} datapoints [{named}] were "
        f"{negation}{crossed} (minimum {needed} {'datapoint' if needed == 1 else 'datapoints'} for "
        f"{change} transition)."
    )


def _counted(number: int) -> str:
    return "1 datapoint was" if number == 1 else f"{number} datapoints were"


def _reason_data(
    rule: AlarmRule,
    now: datetime,
    shown: Sequence[tuple[int, float]],
    points: dict[int, Point],
) -> str:
    data: dict[str, Any] = {"version": "1.0", "queryDate": render_time(now)}
    if shown:
        data["startDate"] = render_time(datetime.fromtimestamp(shown[0][0], UTC))
    if rule.stat is not None:
        data["statistic"] = rule.stat.statistic.name
        if rule.stat.unit:
            data["unit"] = rule.stat.unit
    data |= {
        "period": rule.period_s,
        "recentDatapoints": [value for _, value in shown][-_SHOWN:],
        "threshold": rule.threshold,
        "evaluatedDatapoints": [
            {
                "timestamp": render_time(datetime.fromtimestamp(at_s, UTC)),
                **({"sampleCount": points[at_s].samples} if at_s in points else {}),
                "value": value,
            }
            for at_s, value in list(reversed(shown))[:_SHOWN]
        ],
    }
    return msgspec.json.encode(data).decode()
