"""Which events a trail takes: by region, by its selectors, and of S3's objects by their ARNs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from outcrop.stores.mirror import Mirror
from outcrop.stores.resources import Item, Resources, View
from outcrop.stores.tables import trail_events
from outcrop.stores.trail_records import TOPIC, Selector, Trail
from outcrop.trail.kinds import is_data_event, is_read_only
from outcrop.wire.spec import Operation

GLOBAL_SOURCES: Final = ("iam.amazonaws.com", "support.amazonaws.com")
"""Of services that are in no region."""

_events = trail_events.c


def condition(trail: Item[Trail]) -> sa.ColumnElement[bool]:
    """What the trail takes of the event history, data events not yet looked into."""
    record = trail.record
    wanted = [_by_selector(each) for each in record.effective_selectors]
    return sa.and_(
        _events.account == trail.place.account,
        _in_regions(trail),
        sa.or_(sa.false(), *wanted),
    )


def _in_regions(trail: Item[Trail]) -> sa.ColumnElement[bool]:
    is_global = _events.event_source.in_(GLOBAL_SOURCES)
    if trail.record.is_multi_region:
        everywhere: sa.ColumnElement[bool] = sa.true()
        return everywhere if trail.record.global_events else sa.not_(is_global)
    here = sa.and_(_events.region == trail.place.region, sa.not_(is_global))
    return sa.or_(here, is_global) if trail.record.global_events else here


def _by_selector(selector: Selector) -> sa.ColumnElement[bool]:
    kinds: list[sa.ColumnElement[bool]] = []
    if selector.management:
        kinds.append(
            sa.and_(
                _events.is_data.is_(False),
                sa.not_(_events.event_source.in_(selector.excluded)),
            )
        )
    if selector.objects:
        kinds.append(_events.is_data.is_(True))
    wanted = sa.or_(sa.false(), *kinds)
    if selector.read_write == "All":
        return wanted
    return sa.and_(wanted, _events.read_only.is_(selector.read_write == "ReadOnly"))


def folder_region(trail: Item[Trail]) -> sa.ColumnElement[str]:
    """Under which region an event is filed: a trail of one region keeps global events there."""
    if trail.record.is_multi_region:
        return _events.region
    return sa.literal(trail.place.region)


async def find_last_within(
    view: View, wanted: Sequence[sa.ColumnElement[bool]], most: int, most_bytes: int
) -> int | None:
    """The last of the events that fit together, at least the first; None where there are none."""
    size = sa.func.length(_events.body).label("size")
    query = sa.select(_events.seq, size).where(*wanted).order_by(_events.seq).limit(most)
    last, total = None, 0
    for row in await view.connection.execute(query):
        total += row.size
        if last is not None and total > most_bytes:
            break
        last = row.seq
    return last


def takes(trail: Trail, body: bytes) -> bool:
    """Whether an event that ``condition`` let through is one the trail takes."""
    event = msgspec.json.decode(body, type=dict[str, Any])
    if event["eventCategory"] == "Management":
        return True
    arns = [each["ARN"] for each in event.get("resources", ())]
    return any(
        selector.objects
        and _reads(selector, event["readOnly"])
        and any(_matches(selector, arn) for arn in arns)
        for selector in trail.effective_selectors
    )


def _reads(selector: Selector, is_read: bool) -> bool:
    return selector.read_write == "All" or (selector.read_write == "ReadOnly") == is_read


def _matches(selector: Selector, arn: str) -> bool:
    """A bucket is written ``…:::bucket/`` by selectors, and ``…:::bucket`` by events."""
    return any(arn.startswith(each) or f"{arn}/" == each for each in selector.objects)


class TrailSelectors:
    """Which operations are recorded for an account. Asked with every request, from memory."""

    def __init__(self, resources: Resources) -> None:
        self._mirror = Mirror(resources, TOPIC, (Trail,))
        self._version = -1
        self._of: dict[str, list[tuple[str | None, Selector]]] = {}
        self.on_change: Callable[[], None] = _nothing
        """Called when trails have changed."""
        self._mirror.on_change = self._changed

    async def load(self) -> None:
        await self._mirror.load()

    def wants(
        self, account: str, region: str, operation: Operation, params: Mapping[str, Any] | None
    ) -> bool:
        """Management events always, data events where a trail that is logging selects them."""
        if not is_data_event(operation):
            return True
        selected = self._of.get(account)
        if selected is None or operation.service.name != "s3" or not params:
            return False
        arn = f"arn:aws:s3:::{params.get('Bucket', '')}/{params.get('Key', '')}"
        is_read = is_read_only(operation)
        return any(
            where in (None, region) and _reads(selector, is_read) and _matches(selector, arn)
            for where, selector in selected
        )

    def _changed(self) -> None:
        if self._mirror.version == self._version:
            return
        self._version = self._mirror.version
        self._of = {}
        for trail in self._mirror.list(Trail):
            record = trail.record
            if not record.is_logging:
                continue
            where = None if record.is_multi_region else trail.place.region
            selectors = [(where, each) for each in record.effective_selectors if each.objects]
            if selectors:
                self._of.setdefault(trail.place.account, []).extend(selectors)
        self.on_change()


def _nothing() -> None:
    pass
