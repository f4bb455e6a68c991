"""A month's lines of the ledger as a bill: grouped in one way, each line in exactly one group."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from outcrop.billing.accrual import pending
from outcrop.billing.ledger import Line, read_lines, read_tags
from outcrop.stores.resources import View

Grouping = Literal["model", "principal", "resource", "day"]

NO_TAG: Final = "(without)"
UNKNOWN_TAG: Final = "(unknown)"

_HOUR_S: Final = 3600
_MONTH: Final = re.compile(r"([2-8]\d{3})-(0[1-9]|1[0-2])", re.ASCII)
_TAGGED: Final = re.compile(
    r"arn:[^:]*:bedrock:[^:]*:\d{12}:"
    r"(?:provisioned-model|application-inference-profile|custom-model-deployment"
    r"|model-customization-job)/"
)
"""What an account gives tags; models and profiles of the system have none."""


@dataclass(slots=True)
class Sum:
    """``cost`` in nano-dollars; ``unpriced`` counts lines without a known price."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    trained_tokens: int = 0
    seconds: int = 0
    cost: int = 0
    unpriced: int = 0

    def add(self, line: Line) -> None:
        self.requests += line.requests
        if line.kind == "training":
            self.trained_tokens += line.input_tokens
        else:
            self.input_tokens += line.input_tokens
        self.output_tokens += line.output_tokens
        self.seconds += line.seconds
        self.cost += line.cost
        self.unpriced += not line.is_priced


@dataclass(frozen=True, slots=True)
class Month:
    """``end_hour`` is the first of the month after; hours count from 1970, UTC."""

    name: str
    first_hour: int
    end_hour: int

    @classmethod
    def find(cls, name: str) -> "Month | None":
        """None where that is no month (like ``2026-03``)."""
        found = _MONTH.fullmatch(name)
        if found is None:
            return None
        year, month = int(found[1]), int(found[2])
        next_year, next_month = (year + 1, 1) if month == 12 else (year, month + 1)
        return cls(name, _hour(year, month), _hour(next_year, next_month))


async def read_month(view: View, month: Month, account: str | None, now: datetime) -> list[Line]:
    """What is in the ledger, and of provisioned throughput what has come since."""
    lines = await read_lines(
        view.connection, first_hour=month.first_hour, end_hour=month.end_hour, account=account
    )
    lines += [
        line
        for line in await pending(view, now)
        if month.first_hour <= line.hour < month.end_hour and account in (None, line.account)
    ]
    return lines


def grouped(lines: Iterable[Line], by: Grouping) -> dict[str, Sum]:
    """The dearest first; days in their order."""
    sums = _sums(lines, _GROUPS[by])
    return dict(sorted(sums.items())) if by == "day" else _dearest_first(sums)


async def grouped_by_tag(view: View, lines: Iterable[Line], key: str) -> dict[str, Sum]:
    """By the value of this tag of the profile or throughput that was called, or of the job."""
    lines = list(lines)
    arns = sorted({line.resource for line in lines if _TAGGED.match(line.resource)})
    tags = await read_tags(view, arns)
    return _dearest_first(_sums(lines, lambda line: _value(line, tags, key)))


def total(sums: Mapping[str, Sum]) -> Sum:
    whole = Sum()
    for each in sums.values():
        whole.requests += each.requests
        whole.input_tokens += each.input_tokens
        whole.output_tokens += each.output_tokens
        whole.trained_tokens += each.trained_tokens
        whole.seconds += each.seconds
        whole.cost += each.cost
        whole.unpriced += each.unpriced
    return whole


def _sums(lines: Iterable[Line], group_of: Callable[[Line], str]) -> dict[str, Sum]:
    sums: dict[str, Sum] = {}
    for line in lines:
        sums.setdefault(group_of(line), Sum()).add(line)
    return sums


def _dearest_first(sums: Mapping[str, Sum]) -> dict[str, Sum]:
    return dict(sorted(sums.items(), key=lambda each: (-each[1].cost, each[0])))


def _value(line: Line, tags: Mapping[str, Mapping[str, str]], key: str) -> str:
    if not _TAGGED.match(line.resource):
        return NO_TAG
    of_resource = tags.get(line.resource)
    return UNKNOWN_TAG if of_resource is None else of_resource.get(key, NO_TAG)


def _day(line: Line) -> str:
    return f"{datetime.fromtimestamp(line.hour * _HOUR_S, UTC):%Y-%m-%d}"


_GROUPS: Final[Mapping[Grouping, Callable[[Line], str]]] = {
    "model": lambda line: line.model_id,
    "principal": lambda line: line.principal,
    "resource": lambda line: line.resource,
    "day": _day,
}


def _hour(year: int, month: int) -> int:
    """That a month begins with."""
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) // _HOUR_S
