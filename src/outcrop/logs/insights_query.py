"""A Logs Insights query as a tree: what ``insights_parser`` reads and ``insights`` runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Literals = str | float


@dataclass(frozen=True, slots=True)
class Field:
    name: str


Operand = Field | str | float


@dataclass(frozen=True, slots=True)
class Compare:
    left: Operand
    sign: str
    right: Operand


@dataclass(frozen=True, slots=True)
class Like:
    """``regex`` searches; without it the text is looked for."""

    of: Operand
    text: str
    regex: Any = None


@dataclass(frozen=True, slots=True)
class Among:
    of: Operand
    values: Sequence[Literals]


@dataclass(frozen=True, slots=True)
class Present:
    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    of: "Test"


@dataclass(frozen=True, slots=True)
class Both:
    parts: "Sequence[Test]"


@dataclass(frozen=True, slots=True)
class Either:
    parts: "Sequence[Test]"


Test = Compare | Like | Among | Present | Not | Both | Either


@dataclass(frozen=True, slots=True)
class Named:
    """A field under the name that the results have it by."""

    field: Field
    name: str


@dataclass(frozen=True, slots=True)
class Fields:
    """``replaces`` what was shown before (``display``)."""

    shown: Sequence[Named]
    replaces: bool


@dataclass(frozen=True, slots=True)
class Filter:
    test: Test


@dataclass(frozen=True, slots=True)
class Sort:
    by: Sequence[tuple[Field, bool]]
    """With whether descending."""


@dataclass(frozen=True, slots=True)
class Limit:
    rows: int


@dataclass(frozen=True, slots=True)
class Dedup:
    by: Sequence[Field]


@dataclass(frozen=True, slots=True)
class Parse:
    """``parts`` are what stands between the stars, one more than there are names."""

    field: Field
    parts: Sequence[str]
    names: Sequence[str]


Function = Literal["count", "count_distinct", "sum", "avg", "min", "max", "pct", "median"]


@dataclass(frozen=True, slots=True)
class Aggregate:
    function: Function
    field: Field | None
    name: str
    percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Bin:
    """The event's time, rounded down."""

    width_ms: int
    name: str


@dataclass(frozen=True, slots=True)
class Stats:
    aggregates: Sequence[Aggregate]
    by: Sequence[Named | Bin]


Command = Fields | Filter | Sort | Limit | Dedup | Parse | Stats
