"""The metric and subscription filters of a group, and which events they match."""

from collections.abc import Sequence
from dataclasses import dataclass

from outcrop.logs.pattern_values import find_number
from outcrop.logs.patterns import FilterPattern, InvalidPattern, compile_pattern
from outcrop.services.logs.references import invalid_parameter
from outcrop.stores.log_records import LogGroup, MetricFilter, SubscriptionFilter, Transformation
from outcrop.stores.resources import Item, View


@dataclass(frozen=True, slots=True)
class Measured:
    """One value of a metric."""

    metric: Transformation
    value: float
    dimensions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Matching:
    """By event. ``subscribed`` are the names of the subscription filters that want it."""

    values: Sequence[Sequence[Measured]]
    subscribed: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Filters:
    metrics: Sequence[tuple[Transformation, FilterPattern]] = ()
    subscriptions: Sequence[tuple[str, FilterPattern]] = ()

    @property
    def are_any(self) -> bool:
        return bool(self.metrics or self.subscriptions)

    def match(self, messages: Sequence[str]) -> Matching:
        return Matching(
            values=[self._values(message) for message in messages],
            subscribed=[
                [name for name, pattern in self.subscriptions if pattern.matches(message)]
                for message in messages
            ],
        )

    def _values(self, message: str) -> Sequence[Measured]:
        found: list[Measured] = []
        for metric, pattern in self.metrics:
            if not pattern.matches(message):
                continue
            measured = _measured(metric, pattern, message)
            if measured is not None:
                found.append(measured)
        return found


def read_pattern(text: str) -> FilterPattern:
    """As a request gives it."""
    try:
        return compile_pattern(text)
    except InvalidPattern as error:
        raise invalid_parameter(str(error)) from error


async def read_filters(view: View, group: Item[LogGroup]) -> Filters:
    place = group.place
    metrics = await view.list(
        MetricFilter, account=place.account, region=place.region, parent=group.name
    )
    subscriptions = await view.list(
        SubscriptionFilter, account=place.account, region=place.region, parent=group.name
    )
    return Filters(
        [(each.record.metric, compile_pattern(each.record.pattern)) for each in metrics],
        [(each.record.name, compile_pattern(each.record.pattern)) for each in subscriptions],
    )


def _measured(metric: Transformation, pattern: FilterPattern, message: str) -> Measured | None:
    """None where the event has no number there, or lacks a dimension."""
    text = pattern.find(message, metric.value) if metric.value.startswith("$") else metric.value
    value = None if text is None else find_number(text)
    dimensions: list[tuple[str, str]] = []
    for name, selector in metric.dimensions.items():
        found = pattern.find(message, selector)
        if found is None:
            return None
        dimensions.append((name, found))
    return None if value is None else Measured(metric, value, tuple(sorted(dimensions)))
