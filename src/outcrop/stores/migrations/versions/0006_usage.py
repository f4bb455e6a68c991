"""What was used, by the hour: calls of models, and throughput that was bought."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "usage",
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
    op.create_table(
        "usage_tags",
        sa.Column("resource", sa.String(1024), primary_key=True),
        sa.Column("tags", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "accruals",
        sa.Column("resource", sa.String(1024), primary_key=True),
        sa.Column("until_s", sa.BigInteger, nullable=False),
    )
