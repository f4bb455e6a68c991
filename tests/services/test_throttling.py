"""What a caller is told who comes too often."""

import pytest

from outcrop.quotas.limiter import Charge, LimitExceeded, Unit
from outcrop.services.throttling import throttling_error


def exceeded(unit: Unit, retry_after_s: float | None) -> LimitExceeded:
    return LimitExceeded(Charge("bucket", 1, 10, unit), retry_after_s)


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("requests", "Too many requests, please wait before trying again."),
        ("tokens", "Too many tokens, please wait before trying again."),
        ("input tokens", "Too many tokens, please wait before trying again."),
        ("output tokens", "Too many tokens, please wait before trying again."),
    ],
)
def test_the_words_say_what_there_was_too_much_of(unit: Unit, message: str) -> None:
    error = throttling_error(exceeded(unit, 1))
    assert (error.code, error.status, error.message) == ("ThrottlingException", 429, message)


@pytest.mark.parametrize(
    ("retry_after_s", "milliseconds", "seconds"),
    [
        (6.0, "6000", "6"),
        (1.1, "1100", "2"),
        (0.000001, "1", "1"),
        (2.000001, "2001", "3"),
        (0.57, "570", "1"),
        (3600.0, "3600000", "3600"),
    ],
)
def test_the_time_to_wait_is_rounded_up(
    retry_after_s: float, milliseconds: str, seconds: str
) -> None:
    headers = throttling_error(exceeded("requests", retry_after_s)).headers
    # The SDK for JavaScript takes the first of them: the more exact one.
    assert list(headers.items()) == [
        ("x-amz-retry-after", milliseconds),
        ("retry-after", seconds),
    ]


def test_where_waiting_does_not_help_no_time_is_told() -> None:
    assert throttling_error(exceeded("tokens", None)).headers == {}
