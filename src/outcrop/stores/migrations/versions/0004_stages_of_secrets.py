"""Staging labels move from the versions of a secret to the secret.

Written against the table of 0002 and the records as they were when this was made.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_resources = sa.table("resources", *map(sa.column, ("kind", "name", "parent", "arn", "body")))
_kind, _arn = _resources.c.kind, _resources.c.arn


def upgrade() -> None:
    connection = op.get_bind()
    stages: dict[str, dict[str, str]] = {}
    versions = sa.select(_resources).where(_kind == "secretsmanager:version")
    for row in connection.execute(versions).mappings().all():
        body = json.loads(row["body"])
        for label in body.pop("stages", ()):
            stages.setdefault(row["parent"], {})[label] = body["id"]
        _put(row["name"], "secretsmanager:version", body)
    secrets = sa.select(_resources).where(_kind == "secretsmanager:secret")
    for row in connection.execute(secrets).mappings().all():
        if row["arn"] in stages:
            body = json.loads(row["body"]) | {"stages": stages[row["arn"]]}
            op.execute(sa.update(_resources).where(_arn == row["arn"]).values(body=_bytes(body)))


def _put(name: str, kind: str, body: dict[str, Any]) -> None:
    # The names of versions begin with the ARN of their secret: there is one of each.
    row = sa.and_(_kind == kind, _resources.c.name == name)
    op.execute(sa.update(_resources).where(row).values(body=_bytes(body)))


def _bytes(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
