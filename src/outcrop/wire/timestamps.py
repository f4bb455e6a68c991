"""Timestamps in the three spellings of the protocols, always as aware datetimes in UTC."""

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):?(\d\d))",
    re.ASCII,
)


class MalformedTimestamp(ValueError):
    """Not a timestamp in the spelling the model asks for."""


def parse(value: Any, spelling: str) -> datetime:
    """``spelling`` is ``iso8601``, ``rfc822`` or ``unixTimestamp``, as in the models."""
    try:
        if spelling == "iso8601":
            return _parse_iso(value)
        if spelling == "rfc822":
            return parsedate_to_datetime(_text(value)).astimezone(UTC)
        return _parse_epoch(value)
    except (ValueError, OverflowError, TypeError, OSError, IndexError) as error:
        raise MalformedTimestamp(str(error)) from error


def render(value: datetime, spelling: str) -> str | float:
    if value.tzinfo is None:
        raise MalformedTimestamp(f"{value!r} has no time zone")
    moment = value.astimezone(UTC)
    if spelling == "iso8601":
        return moment.isoformat().replace("+00:00", "Z")
    if spelling == "rfc822":
        return format_datetime(moment, usegmt=True)
    return moment.timestamp()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise MalformedTimestamp("expected a string")
    return value


def _parse_iso(value: Any) -> datetime:
    match = _ISO.fullmatch(_text(value))
    if match is None:
        raise MalformedTimestamp("expected an ISO 8601 date and time with a time zone")
    *numbers, fraction, _, sign, hours, minutes = match.groups()
    year, month, day, hour, minute, second = map(int, numbers)
    # The wire knows nanoseconds, Python microseconds: the rest is cut off.
    microsecond = int((fraction or "0").ljust(6, "0")[:6])
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    zone = timezone(-offset if sign == "-" else offset)
    moment = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=zone)
    return moment.astimezone(UTC)


def _parse_epoch(value: Any) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise MalformedTimestamp("expected seconds since 1970")
    seconds = float(value)
    if not math.isfinite(seconds):
        raise MalformedTimestamp("expected a finite number")
    return datetime.fromtimestamp(seconds, UTC)
