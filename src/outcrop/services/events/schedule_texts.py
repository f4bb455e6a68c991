"""Whether a text is a schedule at all: ``rate(5 minutes)``, ``cron(0 12 * * ? *)``."""

import re
from typing import Final

_RATE: Final = re.compile(r"rate\((\d{1,9}) (minute|hour|day)(s?)\)", re.ASCII)
_CRON: Final = re.compile(r"cron\((.+)\)", re.ASCII)
_MONTHS: Final = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199))


def is_schedule(text: str) -> bool:
    rate = _RATE.fullmatch(text)
    if rate is not None:
        count = int(rate[1])
        return count > 0 and (count == 1) == (not rate[3])
    cron = _CRON.fullmatch(text)
    fields = cron[1].split() if cron else []
    if len(fields) != len(_FIELDS):
        return False
    # Either the day of the month or that of the week is asked for, not both.
    if (fields[2] == "?") == (fields[4] == "?"):
        return False
    return all(_is_field(at, field) for at, field in enumerate(fields))


def _is_field(at: int, field: str) -> bool:
    if field == "?":
        return at in (2, 4)
    return all(_is_part(at, part) for part in field.split(","))


def _is_part(at: int, part: str) -> bool:
    if (at == 2 and re.fullmatch(r"L|LW|\d{1,2}W", part)) or (
        at == 4 and re.fullmatch(r"L|[1-7]L|[1-7]#[1-5]", part)
    ):
        return True
    span, slash, step = part.partition("/")
    if slash and not step.isdecimal():
        return False
    if span == "*":
        return True
    return all(_is_value(at, value) for value in span.split("-", 1))


def _is_value(at: int, value: str) -> bool:
    if at == 3 and value.upper() in _MONTHS:
        return True
    if at == 4 and value.upper() in _DAYS:
        return True
    least, most = _FIELDS[at]
    return value.isascii() and value.isdecimal() and least <= int(value[:9]) <= most
