"""What CloudWatch Logs has for as long as a deployment runs."""

from collections.abc import Mapping

from outcrop.config import Target, TargetService
from outcrop.logs.data_keys import DataKeys
from outcrop.logs.live_tail import LiveTails
from outcrop.logs.queries import Queries
from outcrop.logs.retention import Retention
from outcrop.stores.resources import Resources


class LogsHub:
    """``targets`` are the services elsewhere that subscriptions may deliver to."""

    def __init__(self, resources: Resources, targets: Mapping[TargetService, Target]) -> None:
        self.targets = targets
        self.data_keys = DataKeys()
        self.tails = LiveTails()
        self.queries = Queries()
        self.retention = Retention(resources)

    def start(self) -> None:
        self.retention.start()

    def stop_waiting(self) -> None:
        """Ends the sessions of Live Tail."""
        self.tails.closing.set()

    async def close(self) -> None:
        self.stop_waiting()
        await self.queries.close()
        await self.retention.close()
