"""The moments at which decisions change with the time alone, so that those between may be kept.

A comparison with a date can only come out otherwise on another side of that date: where policies
compare the time with dates and do nothing else with it, the dates they name are all there is.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import datetime

from outcrop.authorization.context import TIME_KEYS
from outcrop.security.policy.conditions import Condition
from outcrop.security.policy.document import Policy, Statement
from outcrop.security.policy.operators import parse_date, parse_number

Moments = tuple[int, ...]
"""Sorted, in microseconds since 1970."""

_SECOND = 1_000_000


class _OtherUse(Exception):
    """The time is compared as text, or stands in a variable."""


def find_moments(policies: Iterable[Policy]) -> Moments | None:
    """None where decisions may differ at every request."""
    try:
        found = {
            moment
            for policy in policies
            if policy.keys & TIME_KEYS
            for statement in policy.statements
            for moment in _of_statement(statement)
        }
    except _OtherUse:
        return None
    return tuple(sorted(found))


def place_among(moments: Moments, now: datetime) -> tuple[int, int]:
    """The same for all times on the same side of, or at, each of the moments. Conditions see whole
    seconds."""
    at = int(now.timestamp()) * _SECOND
    return bisect_left(moments, at), bisect_right(moments, at)


def _of_statement(statement: Statement) -> Iterator[int]:
    if statement.resources is not None and statement.resources.variables & TIME_KEYS:
        raise _OtherUse
    for condition in statement.conditions:
        if condition.compared.variables & TIME_KEYS:
            raise _OtherUse
        if condition.name in TIME_KEYS:
            yield from (_moment(condition, value) for value in condition.values)


def _moment(condition: Condition, value: str) -> int:
    base = condition.operator.base
    if base.startswith("Date"):
        moment = parse_date(value)
    elif base.startswith("Numeric"):
        number = parse_number(value)
        moment = None if number is None else int(number * _SECOND)
        if number is not None and moment != number * _SECOND:
            raise _OtherUse
    elif base == "Null":
        # The time is in every request.
        moment = 0
    else:
        raise _OtherUse
    if moment is None:
        raise _OtherUse
    return moment
