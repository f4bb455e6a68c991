"""Live Tail: sessions that are told of events as they come, sampled where there are too many."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from outcrop.logs.patterns import FilterPattern

MOST_EVENTS: Final = 500
"""Of one update; of a second that has more, the rest is left out and the update says so."""
_MOST_BYTES: Final = 1024 * 1024
_INLINE_CHARACTERS: Final = 16 * 1024
MOST_SESSIONS: Final = 15
"""Of an account in a region, as in AWS."""


class TooManySessions(Exception):
    pass


@dataclass(frozen=True, slots=True)
class TailedEvent:
    group_arn: str
    stream: str
    at_ms: int
    ingested_ms: int
    message: str


@dataclass(eq=False, slots=True)
class Session:
    """``groups`` are IDs."""

    account: str
    region: str
    groups: frozenset[int]
    is_wanted: Callable[[str], bool]
    pattern: FilterPattern | None
    events: list[TailedEvent] = field(default_factory=list[TailedEvent])
    size_bytes: int = 0
    sampled: bool = False

    def wants(self, event: TailedEvent) -> bool:
        return self.is_wanted(event.stream) and (
            self.pattern is None or self.pattern.matches(event.message)
        )

    def offer(self, event: TailedEvent) -> None:
        size_bytes = len(event.message)
        if len(self.events) >= MOST_EVENTS or self.size_bytes + size_bytes > _MOST_BYTES:
            self.sampled = True
            return
        self.events.append(event)
        self.size_bytes += size_bytes

    def take(self) -> tuple[Sequence[TailedEvent], bool]:
        """What came since it was last asked, and whether that is not all."""
        taken, sampled = self.events, self.sampled
        self.events, self.size_bytes, self.sampled = [], 0, False
        return taken, sampled


class LiveTails:
    def __init__(self) -> None:
        self._sessions: set[Session] = set()
        self.closing = asyncio.Event()

    def open(self, session: Session) -> None:
        """Raises ``TooManySessions``."""
        place = (session.account, session.region)
        if sum((each.account, each.region) == place for each in self._sessions) >= MOST_SESSIONS:
            raise TooManySessions
        self._sessions.add(session)

    def close(self, session: Session) -> None:
        self._sessions.discard(session)

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    async def publish(self, group_id: int, events: Sequence[TailedEvent]) -> None:
        """Patterns read large events in a thread: requests go on meanwhile."""
        sessions = [each for each in self._sessions if group_id in each.groups]
        if not sessions:
            return
        if sum(len(event.message) for event in events) * len(sessions) <= _INLINE_CHARACTERS:
            matched = _matched(sessions, events)
        else:
            matched = await asyncio.to_thread(_matched, sessions, events)
        for session, event in matched:
            session.offer(event)


def _matched(
    sessions: Sequence[Session], events: Sequence[TailedEvent]
) -> list[tuple[Session, TailedEvent]]:
    return [(each, event) for each in sessions for event in events if each.wants(event)]
