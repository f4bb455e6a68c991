"""Accounts, users and keys become records; users get what they could do before: everything.

Written against the tables of 0001 and the records as they were when this was made.
"""

import base64
import json
import secrets
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ADMINISTRATOR_ACCESS = "arn:aws:iam::aws:policy/AdministratorAccess"
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

_resources = sa.table(
    "resources",
    *map(
        sa.column,
        (
            "kind",
            "account",
            "region",
            "name",
            "parent",
            "arn",
            "tags",
            "body",
            "created_at_ms",
            "changed_at_ms",
        ),
    ),
)


def upgrade() -> None:
    op.create_table(
        "access_key_uses",
        sa.Column("key_id", sa.String(128), primary_key=True),
        sa.Column("used_at_ms", sa.BigInteger, nullable=False),
        sa.Column("service", sa.String(64), nullable=False),
        sa.Column("region", sa.String(32), nullable=False),
    )
    for row in _rows("accounts"):
        body = {"title": row["name"], "service_control": ["FullAWSAccess"]}
        _add("iam:account", row["id"], row["id"], row, body)
    for row in _rows("users"):
        _add("iam:user", row["account"], row["name"], row, _user(row), arn=row["arn"])
    for row in _rows("access_keys"):
        _move_access_key(row)
    for row in _rows("api_keys"):
        _move_api_key(row)
    for table in ("api_keys", "access_keys", "users", "accounts"):
        op.drop_table(table)
    changes = sa.table("changes", sa.column("topic"), sa.column("version"))
    op.execute(sa.delete(changes).where(changes.c.topic == "identities"))
    op.bulk_insert(changes, [{"topic": "iam", "version": 0}])


def _rows(table: str) -> list[dict[str, Any]]:
    query = sa.select(sa.text("*")).select_from(sa.table(table))
    return [dict(row) for row in op.get_bind().execute(query).mappings()]


def _user(row: dict[str, Any]) -> dict[str, Any]:
    if row["kind"] == "root":
        return {"id": row["account"], "kind": "root"}
    return {"id": _unique_id("AIDA"), "attached": [_ADMINISTRATOR_ACCESS]}


def _move_access_key(row: dict[str, Any]) -> None:
    body = {"sealed_secret": _text(row["sealed_secret"]), "status": row["status"]}
    key_id, owner = row["id"], row["user_name"]
    _add("iam:access-key", row["account"], key_id, row, body, arn=key_id, parent=owner)
    if row["last_used_at_ms"] is not None:
        uses = sa.table(
            "access_key_uses", *map(sa.column, ("key_id", "used_at_ms", "service", "region"))
        )
        use = {"key_id": key_id, "used_at_ms": row["last_used_at_ms"], "service": "", "region": ""}
        op.bulk_insert(uses, [use])


def _move_api_key(row: dict[str, Any]) -> None:
    body = {
        "service": "bedrock.amazonaws.com",
        "username": row["id"],
        "secret_hash": _text(row["secret_hash"]),
        "title": row["name"],
        "status": row["status"],
    }
    if row["expires_at_ms"] is not None:
        ends = datetime.fromtimestamp(row["expires_at_ms"] / 1000, UTC)
        body["expires_at"] = ends.isoformat()
    _add(
        "iam:service-credential",
        row["account"],
        _unique_id("ACCA"),
        row,
        body,
        arn=row["id"],
        parent=row["user_name"],
    )


def _add(
    kind: str,
    account: str,
    name: str,
    row: dict[str, Any],
    body: dict[str, Any],
    *,
    arn: str | None = None,
    parent: str = "",
) -> None:
    record = {
        "kind": kind,
        "account": account,
        "region": "",
        "name": name,
        "parent": parent,
        "arn": arn,
        "tags": b"{}",
        "body": json.dumps(body).encode(),
        "created_at_ms": row["created_at_ms"],
        "changed_at_ms": row["created_at_ms"],
    }
    op.bulk_insert(_resources, [record])


def _unique_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_BASE32) for _ in range(17))


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
