"""A spool of invocation logs with its database, and a clock that stands still."""

from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from logged_calls import ACCOUNT, REGION

from outcrop.invocations.batches import BatchFiles, Frame, StoredBatch, find_batch, list_ids
from outcrop.invocations.configurations import logging_place
from outcrop.invocations.records import LARGE_BYTES
from outcrop.invocations.spool import InvocationSpool
from outcrop.journal.records import CallRecord
from outcrop.stores.database import Database
from outcrop.stores.mirror import Mirror
from outcrop.stores.model_records import (
    MIRRORED,
    TOPIC,
    LogBucket,
    LoggingConfiguration,
    LogGroup,
)
from outcrop.stores.resources import Resources
from outcrop.stores.tables import jobs

TO_S3 = LoggingConfiguration(s3=LogBucket(bucket="logs"))
TO_GROUP = LoggingConfiguration(
    group=LogGroup(name="g", role_arn="arn:aws:iam::123456789012:role/r")
)
LARGE = b'"' + b"x" * LARGE_BYTES + b'"'


@dataclass
class Spooled:
    """A spool with its database. The clock stands still until it is moved."""

    folder: Path
    database: Database
    resources: Resources
    models: Mirror
    clock_ms: int = 1_700_000_000_000
    spool: InvocationSpool = field(init=False)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        """As another process would."""
        self.spool = InvocationSpool(
            self.folder / "spool", self.models, clock=lambda: self.clock_ms
        )

    async def configure(self, configuration: LoggingConfiguration, region: str = REGION) -> None:
        place = logging_place(ACCOUNT, region)
        async with self.resources.writing() as transaction:
            if await transaction.find(LoggingConfiguration, place) is not None:
                await transaction.remove(LoggingConfiguration, place)
            await transaction.add(configuration, place)

    async def take(self, *records: CallRecord) -> None:
        async with self.resources.writing() as transaction:
            await self.spool.take(records, transaction)
        self.spool.taken()

    async def batches(self) -> list[StoredBatch]:
        """The oldest first."""
        async with self.resources.reading() as view:
            ids = await list_ids(view.connection)
            found = [await find_batch(view.connection, each) for each in ids]
        return sorted(filter(None, found), key=lambda batch: batch.began_at_ms)

    async def jobs(self) -> list[tuple[str, str, int]]:
        """Kind, subject and when it is due."""
        query = sa.select(jobs.c.kind, jobs.c.subject, jobs.c.not_before_ms).order_by(jobs.c.kind)
        async with self.resources.reading() as view:
            return [tuple(row) for row in await view.connection.execute(query)]

    def frames(self, batch: StoredBatch) -> list[Frame]:
        return BatchFiles(self.folder / "spool").read(batch)


async def opened(folder: Path) -> Spooled:
    database = await Database.open(folder / "outcrop.db")
    resources = Resources(database)
    models = Mirror(resources, TOPIC, MIRRORED)
    await models.load()
    return Spooled(folder, database, resources, models)
