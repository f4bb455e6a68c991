"""What was used, hour by hour, in the database: lines that add up.

A line has the prices it was counted at in its key, so that its cost follows from it exactly; a
total is the sum of its lines' costs, however they are grouped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final, Literal, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from outcrop.billing.prices import Prices, reserved_cost
from outcrop.stores.tables import resources, usage, usage_tags

Kind = Literal["on-demand", "provisioned", "training"]

_KEY: Final = tuple(column.name for column in usage.primary_key.columns)
_COUNTS: Final = ("requests", "input_tokens", "output_tokens", "seconds")
_TAGGED_KINDS: Final = (
    "bedrock:provisioned-model",
    "bedrock:inference-profile",
    "bedrock:custom-model-deployment",
    "customization:job",
)
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Line:
    """``hour`` counts from 1970. ``prices`` are those of tokens (``Prices.render``) on demand; for
    provisioned throughput dollars an hour, or nothing where its calls are counted: these are paid
    by the hour. Tokens trained are input tokens of the kind ``training``, whose resource is the
    customization job. ``principal`` made the calls or the job, or bought the throughput."""

    account: str
    hour: int
    region: str
    kind: Kind
    model_id: str
    resource: str
    principal: str
    prices: str
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: int = 0

    @property
    def cost(self) -> int:
        """Nano-dollars."""
        if self.kind == "provisioned":
            return reserved_cost(Decimal(self.prices or 0), self.seconds)
        return Prices.parse(self.prices).cost(self.input_tokens, self.output_tokens)

    @property
    def is_priced(self) -> bool:
        """Whether the cost is all of it; else something was used whose price nobody knows."""
        if self.kind == "provisioned":
            return self.cost > 0 or not self.seconds
        return Prices.parse(self.prices).covers(self.input_tokens, self.output_tokens)


async def add_up(connection: AsyncConnection, lines: Iterable[Line]) -> None:
    """Adds the counts to those that are there, and keeps the tags that the resources have now."""
    rows = [asdict(line) for line in lines]
    if not rows:
        return
    statement = _insert(connection, usage)
    added = {name: usage.c[name] + statement.excluded[name] for name in _COUNTS}
    await connection.execute(
        statement.on_conflict_do_update(index_elements=list(_KEY), set_=added), rows
    )
    await _keep_tags(connection, sorted({row["resource"] for row in rows}))


async def read_lines(
    connection: AsyncConnection, *, first_hour: int, end_hour: int, account: str | None = None
) -> list[Line]:
    """Those of the hours from the first to before the end."""
    query = sa.select(usage).where(usage.c.hour >= first_hour, usage.c.hour < end_hour)
    if account is not None:
        query = query.where(usage.c.account == account)
    rows = (await connection.execute(query.order_by(*(usage.c[name] for name in _KEY)))).mappings()
    return [Line(**cast(Any, row)) for row in rows]


async def read_tags(
    connection: AsyncConnection, arns: Sequence[str]
) -> dict[str, Mapping[str, str]]:
    """The tags of resources: of now where they exist, else the last that were known when they were
    used."""
    found: dict[str, Mapping[str, str]] = {}
    for some in _parts(arns):
        kept = sa.select(usage_tags.c.resource, usage_tags.c.tags)
        kept = kept.where(usage_tags.c.resource.in_(some))
        for query in (kept, _current(some)):
            rows = (await connection.execute(query)).mappings()
            found |= {row["resource"]: _tags(row["tags"]) for row in rows}
    return found


async def _keep_tags(connection: AsyncConnection, arns: Sequence[str]) -> None:
    for some in _parts(arns):
        current = (await connection.execute(_current(some))).mappings().all()
        if current:
            statement = _insert(connection, usage_tags)
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["resource"], set_={"tags": statement.excluded.tags}
                ),
                [dict(row) for row in current],
            )


def _current(arns: Sequence[str]) -> sa.Select[Any, Any]:
    arn = resources.c.arn
    tagged = resources.c.kind.in_(_TAGGED_KINDS)
    return sa.select(arn.label("resource"), resources.c.tags).where(tagged, arn.in_(arns))


def _tags(raw: bytes) -> dict[str, str]:
    return msgspec.json.decode(raw, type=dict[str, str])


def _parts(arns: Sequence[str]) -> Iterable[Sequence[str]]:
    """Databases take no more than some thousand parameters at once."""
    return (arns[start : start + _AT_ONCE] for start in range(0, len(arns), _AT_ONCE))


def _insert(connection: AsyncConnection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
