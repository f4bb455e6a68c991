"""The audit trail of a running server: what is recorded, what is written to buckets, what ages."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from outcrop.config import Config
from outcrop.errors import AWSError
from outcrop.services.cloudtrail.writer import TrailWriter
from outcrop.stores.opened import Stores
from outcrop.trail.index import TrailRetention
from outcrop.trail.render import Asked, render_event
from outcrop.trail.selection import TrailSelectors


class Trails:
    def __init__(
        self, config: Config, stores: Stores, catch_up: Callable[[], Awaitable[None]]
    ) -> None:
        self.selectors = TrailSelectors(stores.resources)
        self.writer = TrailWriter(stores, catch_up)
        self.selectors.on_change = self.writer.wake
        self.retention = TrailRetention(stores.resources, config.records.trail_days)

    async def load(self) -> None:
        await self.selectors.load()

    def start(self) -> None:
        self.writer.start()
        self.retention.start()

    async def close(self) -> None:
        """Before the journal's consumer, which the writer asks."""
        await self.writer.close()
        await self.retention.close()

    def render(
        self,
        asked: Asked,
        params: Mapping[str, Any] | None,
        result: Mapping[str, Any] | None,
        error: AWSError | None,
    ) -> bytes:
        """Empty for what is not recorded. Nor is what somebody without a name asked for in vain:
        whose trail it would be in was for the sender to choose."""
        if error is not None and asked.caller.principal.kind == "anonymous":
            return b""
        account = asked.caller.account
        if not self.selectors.wants(account, asked.region, asked.operation, params):
            return b""
        return render_event(asked, params, result, error)
