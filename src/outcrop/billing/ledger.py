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
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.model_records import (
    CustomModelDeployment,
    InferenceProfile,
    ProvisionedModel,
)
from outcrop.stores.resources import Record, Transaction, View
from outcrop.stores.tables import usage, usage_tags

Kind = Literal["on-demand", "provisioned", "training"]

_KEY: Final = tuple(column.name for column in usage.primary_key.columns)
_COUNTS: Final = ("requests", "input_tokens", "output_tokens", "seconds")
_TAGGED: Final[Mapping[str, type[Record]]] = {
    "application-inference-profile": InferenceProfile,
    "custom-model-deployment": CustomModelDeployment,
    "model-customization-job": CustomizationJob,
    "provisioned-model": ProvisionedModel,
}
"""By what their ARNs call them."""
_ARN_PARTS: Final = 6
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


async def add_up(transaction: Transaction, lines: Iterable[Line]) -> None:
    """Adds the counts to those that are there, and keeps the tags that the resources have now."""
    rows = [asdict(line) for line in lines]
    if not rows:
        return
    connection = transaction.connection
    statement = _insert(connection, usage)
    added = {name: usage.c[name] + statement.excluded[name] for name in _COUNTS}
    await connection.execute(
        statement.on_conflict_do_update(index_elements=list(_KEY), set_=added), rows
    )
    await _keep_tags(transaction, sorted({row["resource"] for row in rows}))


async def read_lines(
    connection: AsyncConnection, *, first_hour: int, end_hour: int, account: str | None = None
) -> list[Line]:
    """Those of the hours from the first to before the end."""
    query = sa.select(usage).where(usage.c.hour >= first_hour, usage.c.hour < end_hour)
    if account is not None:
        query = query.where(usage.c.account == account)
    rows = (await connection.execute(query.order_by(*(usage.c[name] for name in _KEY)))).mappings()
    return [Line(**cast(Any, row)) for row in rows]


async def read_tags(view: View, arns: Sequence[str]) -> dict[str, Mapping[str, str]]:
    """The tags of resources: of now where they exist, else the last that were known when they were
    used."""
    found: dict[str, Mapping[str, str]] = {}
    for some in _parts(arns):
        kept = sa.select(usage_tags).where(usage_tags.c.resource.in_(some))
        rows = (await view.connection.execute(kept)).mappings()
        found |= {row["resource"]: _tags(row["tags"]) for row in rows}
    return found | await _current(view, arns)


async def _keep_tags(transaction: Transaction, arns: Sequence[str]) -> None:
    current = await _current(transaction, arns)
    if current:
        connection = transaction.connection
        statement = _insert(connection, usage_tags)
        await connection.execute(
            statement.on_conflict_do_update(
                index_elements=["resource"], set_={"tags": statement.excluded.tags}
            ),
            [{"resource": arn, "tags": msgspec.json.encode(tags)} for arn, tags in current.items()],
        )


async def _current(view: View, arns: Sequence[str]) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for noun, kind in _TAGGED.items():
        for some in _parts([arn for arn in arns if _noun(arn) == noun]):
            items = await view.find_arns(kind, some)
            found |= {arn: item.tags for arn, item in items.items()}
    return found


def _noun(arn: str) -> str:
    """What kind of resource it names; IDs of models, within, have colons of their own."""
    return arn.split(":", _ARN_PARTS - 1)[-1].partition("/")[0]


def _tags(raw: bytes) -> dict[str, str]:
    return msgspec.json.decode(raw, type=dict[str, str])


def _parts(arns: Sequence[str]) -> Iterable[Sequence[str]]:
    """Databases take no more than some thousand parameters at once."""
    return (arns[start : start + _AT_ONCE] for start in range(0, len(arns), _AT_ONCE))


def _insert(connection: AsyncConnection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
