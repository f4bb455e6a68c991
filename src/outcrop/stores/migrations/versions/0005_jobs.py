"""Work that outlives requests and processes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(2048), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("not_before_ms", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger, nullable=False),
        sa.Column("heartbeat_ms", sa.BigInteger),
        sa.Column("error", sa.String(1024)),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("jobs_due", "jobs", ["state", "not_before_ms"])
    held = sa.text("state IN ('running', 'failing')")
    op.create_index(
        "jobs_one_of_a_subject",
        "jobs",
        ["kind", "subject"],
        unique=True,
        sqlite_where=held,
        postgresql_where=held,
    )
