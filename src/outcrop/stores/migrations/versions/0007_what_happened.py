"""What happened: the journal's cursor, trail, metrics, log events, queues, invocation logs."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Deliveries are jobs of many kinds, and many of them: each kind has its own line.
    op.drop_index("jobs_due", "jobs")
    op.create_index("jobs_due", "jobs", ["kind", "state", "not_before_ms", "subject"])
    op.create_table(
        "journal_cursor",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("segment", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "trail_events",
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
        sa.Column("resources", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("trail_events_by_time", "trail_events", ["account", "region", "at_ms"])
    op.create_index("trail_events_by_id", "trail_events", ["event_id"])
    op.create_index("trail_events_by_age", "trail_events", ["at_ms"])
    op.create_table(
        "metric_series",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("region", sa.String(32), nullable=False),
        sa.Column("namespace", sa.String(256), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("dimensions", sa.String(8192), nullable=False),
        sa.Column("last_at_s", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "metric_series_once",
        "metric_series",
        ["account", "region", "namespace", "name", "dimensions"],
        unique=True,
    )
    op.create_table(
        "metric_points",
        sa.Column("series", sa.Integer, primary_key=True),
        sa.Column("resolution_s", sa.Integer, primary_key=True),
        sa.Column("at_s", sa.BigInteger, primary_key=True),
        sa.Column("unit", sa.String(32), primary_key=True),
        sa.Column("samples", sa.Float, nullable=False),
        sa.Column("sum", sa.Float, nullable=False),
        sa.Column("minimum", sa.Float, nullable=False),
        sa.Column("maximum", sa.Float, nullable=False),
        sa.Column("histogram", sa.LargeBinary, nullable=False),
    )
    op.create_index("metric_points_by_time", "metric_points", ["at_s"])
    op.create_table(
        "alarm_history",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("region", sa.String(32), nullable=False),
        sa.Column("alarm", sa.String(255), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("summary", sa.String(255), nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index(
        "alarm_history_by_alarm", "alarm_history", ["account", "region", "alarm", "at_ms"]
    )
    op.create_table(
        "log_streams",
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
    )
    op.create_index(
        "log_streams_once", "log_streams", ["account", "region", "log_group", "name"], unique=True
    )
    op.create_table(
        "log_events",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("stream", sa.BigInteger, nullable=False),
        sa.Column("log_group", sa.BigInteger, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("ingested_ms", sa.BigInteger, nullable=False),
        sa.Column("counted_bytes", sa.Integer, nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
        sa.Column("data_key", sa.String(64), nullable=False),
        sa.Column("once", sa.String(128)),
    )
    op.create_index("log_events_by_time", "log_events", ["stream", "at_ms"])
    op.create_index("log_events_by_group", "log_events", ["log_group", "at_ms"])
    op.create_index("log_events_once", "log_events", ["stream", "once"], unique=True)
    op.create_table(
        "queue_messages",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("queue", sa.String(256), nullable=False),
        sa.Column("message_id", sa.String(36), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("attributes", sa.LargeBinary, nullable=False),
        sa.Column("sent_at_ms", sa.BigInteger, nullable=False),
        sa.Column("visible_at_ms", sa.BigInteger, nullable=False),
        sa.Column("first_received_ms", sa.BigInteger),
        sa.Column("receives", sa.Integer, nullable=False),
        sa.Column("receipt", sa.String(64), nullable=False),
        sa.Column("message_group", sa.String(128), nullable=False),
        sa.Column("deduplication_id", sa.String(128), nullable=False),
        sa.Column("source", sa.String(256), nullable=False),
        sa.Column("is_deleted", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("queue_messages_by_visibility", "queue_messages", ["queue", "visible_at_ms"])
    op.create_index(
        "queue_messages_by_deduplication", "queue_messages", ["queue", "deduplication_id"]
    )
    op.create_table(
        "invocation_batches",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("region", sa.String(32), nullable=False),
        sa.Column("began_at_ms", sa.BigInteger, nullable=False),
        sa.Column("records", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("large", sa.Integer, nullable=False),
        sa.Column("events_put", sa.Integer, nullable=False),
        sa.Column("events_taken", sa.Integer, nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("configuration", sa.LargeBinary, nullable=False),
        sa.Column("waiting", sa.String(64), nullable=False),
    )
    op.create_index(
        "invocation_batches_open", "invocation_batches", ["account", "region", "is_open"]
    )
