"""The tables as the code uses them. Times are milliseconds, UTC.

A new database is made from them, an older one by the migrations; a test holds both to be the same.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

metadata = sa.MetaData()

access_key_uses = sa.Table(
    "access_key_uses",
    metadata,
    sa.Column("key_id", sa.String(128), primary_key=True),
    sa.Column("used_at_ms", sa.BigInteger, nullable=False),
    sa.Column("service", sa.String(64), nullable=False),
    sa.Column("region", sa.String(32), nullable=False),
)

bindings = sa.Table(
    "bindings",
    metadata,
    sa.Column("pattern", sa.String(256), primary_key=True),
    sa.Column("engine", sa.String(128), nullable=False),
    sa.Column("model", sa.String(512)),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
)

_HELD = sa.text("state IN ('running', 'failing')")

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(2048), nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    # waiting, running, failing (given up, its subject is still to be told), done, failed.
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("not_before_ms", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.String(256), nullable=False),
    sa.Column("lease_until_ms", sa.BigInteger, nullable=False),
    sa.Column("heartbeat_ms", sa.BigInteger),
    sa.Column("error", sa.String(1024)),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
    sa.Index("jobs_due", "kind", "state", "not_before_ms", "subject"),
    sa.Index(
        "jobs_one_of_a_subject",
        "kind",
        "subject",
        unique=True,
        sqlite_where=_HELD,
        postgresql_where=_HELD,
    ),
)

resources = sa.Table(
    "resources",
    metadata,
    sa.Column("kind", sa.String(48), primary_key=True),
    sa.Column("account", sa.String(12), primary_key=True),
    sa.Column("region", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(1024), primary_key=True),
    sa.Column("parent", sa.String(1024), nullable=False),
    sa.Column("arn", sa.String(2048)),
    sa.Column("tags", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
    sa.Index("resources_by_parent", "kind", "account", "parent"),
    sa.Index("resources_by_arn", "kind", "arn", unique=True),
)

changes = sa.Table(
    "changes",
    metadata,
    sa.Column("topic", sa.String(32), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
)

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("account", sa.String(12), primary_key=True),
    sa.Column("hour", sa.BigInteger, primary_key=True),
    sa.Column("region", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("model_id", sa.String(256), primary_key=True),
    sa.Column("resource", sa.String(1024), primary_key=True),
    sa.Column("principal", sa.String(512), primary_key=True),
    sa.Column("prices", sa.String(64), primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("seconds", sa.BigInteger, nullable=False),
)

usage_tags = sa.Table(
    "usage_tags",
    metadata,
    sa.Column("resource", sa.String(1024), primary_key=True),
    sa.Column("tags", sa.LargeBinary, nullable=False),
)

accruals = sa.Table(
    "accruals",
    metadata,
    sa.Column("resource", sa.String(1024), primary_key=True),
    sa.Column("until_s", sa.BigInteger, nullable=False),
)

journal_cursor = sa.Table(
    "journal_cursor",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("segment", sa.BigInteger, nullable=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
)

trail_events = sa.Table(
    "trail_events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("account", sa.String(12), nullable=False),
    sa.Column("region", sa.String(32), nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("event_id", sa.String(36), nullable=False),
    sa.Column("event_name", sa.String(128), nullable=False),
    sa.Column("event_source", sa.String(64), nullable=False),
    sa.Column("username", sa.String(256), nullable=False),
    sa.Column("access_key_id", sa.String(128), nullable=False),
    sa.Column("read_only", sa.Boolean, nullable=False),
    sa.Column("is_data", sa.Boolean, nullable=False),
    # JSON: [{"type": …, "name": …}].
    sa.Column("resources", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("trail_events_by_time", "account", "region", "at_ms"),
    sa.Index("trail_events_by_id", "event_id"),
    sa.Index("trail_events_by_age", "at_ms"),
)

metric_series = sa.Table(
    "metric_series",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("account", sa.String(12), nullable=False),
    sa.Column("region", sa.String(32), nullable=False),
    sa.Column("namespace", sa.String(256), nullable=False),
    sa.Column("name", sa.String(256), nullable=False),
    # JSON: [["ModelId", "…"], …] by name.
    sa.Column("dimensions", sa.String(8192), nullable=False),
    sa.Column("last_at_s", sa.BigInteger, nullable=False),
    sa.Index(
        "metric_series_once", "account", "region", "namespace", "name", "dimensions", unique=True
    ),
)

metric_points = sa.Table(
    "metric_points",
    metadata,
    sa.Column("series", sa.Integer, primary_key=True),
    sa.Column("resolution_s", sa.Integer, primary_key=True),
    sa.Column("at_s", sa.BigInteger, primary_key=True),
    sa.Column("unit", sa.String(32), primary_key=True),
    sa.Column("samples", sa.Float, nullable=False),
    sa.Column("sum", sa.Float, nullable=False),
    sa.Column("minimum", sa.Float, nullable=False),
    sa.Column("maximum", sa.Float, nullable=False),
    # How many samples fell where, for percentiles.
    sa.Column("histogram", sa.LargeBinary, nullable=False),
    sa.Index("metric_points_by_time", "at_s"),
)

alarm_history = sa.Table(
    "alarm_history",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("account", sa.String(12), nullable=False),
    sa.Column("region", sa.String(32), nullable=False),
    sa.Column("alarm", sa.String(255), nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("summary", sa.String(255), nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Index("alarm_history_by_alarm", "account", "region", "alarm", "at_ms"),
)

log_streams = sa.Table(
    "log_streams",
    metadata,
    # Random: an ID that was given again would bring back the events of a deleted stream.
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("account", sa.String(12), nullable=False),
    sa.Column("region", sa.String(32), nullable=False),
    sa.Column("log_group", sa.String(512), nullable=False),
    sa.Column("name", sa.String(512), nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("first_event_ms", sa.BigInteger),
    sa.Column("last_event_ms", sa.BigInteger),
    sa.Column("last_ingested_ms", sa.BigInteger),
    sa.Column("stored_bytes", sa.BigInteger, nullable=False),
    sa.Index("log_streams_once", "account", "region", "log_group", "name", unique=True),
)

log_events = sa.Table(
    "log_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("stream", sa.BigInteger, nullable=False),
    # The record's ID: a group that was deleted and made anew has another one.
    sa.Column("log_group", sa.BigInteger, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("ingested_ms", sa.BigInteger, nullable=False),
    # Of the message as it came, with what AWS counts for each event.
    sa.Column("counted_bytes", sa.Integer, nullable=False),
    # UTF-8, or sealed where the group has a key.
    sa.Column("message", sa.LargeBinary, nullable=False),
    # Which data key sealed the message; empty for none.
    sa.Column("data_key", sa.String(64), nullable=False),
    # Of events that a delivery may bring again: what makes them the same.
    sa.Column("once", sa.String(128)),
    sa.Index("log_events_by_time", "stream", "at_ms"),
    sa.Index("log_events_by_group", "log_group", "at_ms"),
    sa.Index("log_events_once", "stream", "once", unique=True),
)

queue_messages = sa.Table(
    "queue_messages",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("queue", sa.String(256), nullable=False),
    sa.Column("message_id", sa.String(36), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    # JSON: attributes, message attributes and what they hash to.
    sa.Column("attributes", sa.LargeBinary, nullable=False),
    sa.Column("sent_at_ms", sa.BigInteger, nullable=False),
    sa.Column("visible_at_ms", sa.BigInteger, nullable=False),
    sa.Column("first_received_ms", sa.BigInteger),
    sa.Column("receives", sa.Integer, nullable=False),
    sa.Column("receipt", sa.String(64), nullable=False),
    sa.Column("message_group", sa.String(128), nullable=False),
    sa.Column("deduplication_id", sa.String(128), nullable=False),
    # Of dead letters: the queue they were sent to.
    sa.Column("source", sa.String(256), nullable=False),
    # Of FIFO queues: what was deleted is remembered for as long as it may be sent again.
    sa.Column("is_deleted", sa.Boolean, nullable=False),
    sa.Index("queue_messages_by_visibility", "queue", "visible_at_ms"),
    sa.Index("queue_messages_by_deduplication", "queue", "deduplication_id"),
    # Numbers that were given once are not given again: they are the order of a FIFO queue.
    sqlite_autoincrement=True,
)

invocation_batches = sa.Table(
    "invocation_batches",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("account", sa.String(12), nullable=False),
    sa.Column("region", sa.String(32), nullable=False),
    sa.Column("began_at_ms", sa.BigInteger, nullable=False),
    sa.Column("records", sa.Integer, nullable=False),
    # How much of the batch's spool file is committed.
    sa.Column("bytes", sa.BigInteger, nullable=False),
    # How many bodies go beside the records.
    sa.Column("large", sa.Integer, nullable=False),
    # How many of the records the log group was given, and has taken.
    sa.Column("events_put", sa.Integer, nullable=False),
    sa.Column("events_taken", sa.Integer, nullable=False),
    sa.Column("is_open", sa.Boolean, nullable=False),
    # Where it goes, as it was set when the calls were made: JSON of a LoggingConfiguration.
    sa.Column("configuration", sa.LargeBinary, nullable=False),
    # The deliveries that have not ended, with spaces between.
    sa.Column("waiting", sa.String(64), nullable=False),
    sa.Index("invocation_batches_open", "account", "region", "is_open"),
)

# Alembic's own: which migration was the last.
_revision = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def create_tables(connection: sa.Connection, revision: str) -> None:
    """In a database without any; another process may have been first. ``revision`` is the last
    migration's."""
    if sa.inspect(connection).get_table_names():
        return
    metadata.create_all(connection)
    _revision.create(connection)
    connection.execute(sa.insert(_revision).values(version_num=revision))
    for topic in ("bindings", "iam"):
        connection.execute(sa.insert(changes).values(topic=topic, version=0))


async def mark_changed(connection: AsyncConnection, topic: str) -> int:
    """Tells other processes, in the transaction that changes something, to read ``topic`` anew.
    The topic's new version."""
    counted = await connection.execute(
        sa.update(changes).where(changes.c.topic == topic).values(version=changes.c.version + 1)
    )
    if counted.rowcount == 0:
        await connection.execute(sa.insert(changes).values(topic=topic, version=1))
        return 1
    version = await connection.scalar(sa.select(changes.c.version).where(changes.c.topic == topic))
    return int(version or 0)


def to_ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def now_ms() -> int:
    return to_ms(datetime.now(UTC))
