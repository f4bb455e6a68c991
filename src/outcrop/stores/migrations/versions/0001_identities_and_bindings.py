"""Accounts, users, their keys, engine bindings, and the counters that announce changes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "users",
        sa.Column("account", sa.String(12), sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("arn", sa.String(256), nullable=False, unique=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.CheckConstraint("kind IN ('root', 'user')", name="users_kind"),
    )
    _create_keys()
    op.create_table(
        "bindings",
        sa.Column("pattern", sa.String(256), primary_key=True),
        sa.Column("engine", sa.String(128), nullable=False),
        sa.Column("model", sa.String(512)),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    changes = op.create_table(
        "changes",
        sa.Column("topic", sa.String(32), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(
        changes, [{"topic": "identities", "version": 0}, {"topic": "bindings", "version": 0}]
    )


def _create_keys() -> None:
    op.create_table(
        "access_keys",
        sa.Column("id", sa.String(128), primary_key=True),
        *_owner(),
        sa.Column("sealed_secret", sa.LargeBinary, nullable=False),
        *_lifecycle(),
        sa.Column("last_used_at_ms", sa.BigInteger),
        _owner_is_a_user(),
    )
    op.create_index("access_keys_of_a_user", "access_keys", ["account", "user_name"])
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(128), primary_key=True),
        *_owner(),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False),
        *_lifecycle(),
        sa.Column("expires_at_ms", sa.BigInteger),
        _owner_is_a_user(),
    )
    op.create_index("api_keys_of_a_user", "api_keys", ["account", "user_name"])


def _owner() -> tuple[sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("user_name", sa.String(64), nullable=False),
    )


def _lifecycle() -> tuple[sa.Column[str], sa.Column[int]]:
    return (
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )


def _owner_is_a_user() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["account", "user_name"], ["users.account", "users.name"])
