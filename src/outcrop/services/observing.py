"""What handlers need of what is recorded."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from outcrop.events.bus import EventBuses
from outcrop.logs.hub import LogsHub
from outcrop.queues.hub import QueueHub
from outcrop.services.background import Background


@dataclass(frozen=True, slots=True)
class Observing:
    """One for a deployment. ``catch_up`` returns when every request that was answered before is in
    the database: trail, metrics, invocation logs. ``sends_mail``: a mail server is configured."""

    background: Background
    catch_up: Callable[[], Awaitable[None]]
    sends_mail: bool
    queues: QueueHub
    logs: LogsHub
    events: EventBuses
