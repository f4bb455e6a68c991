"""Metric math: what expressions mean, and that nothing else comes of any text."""

import math
from typing import Any, cast

import pytest
from hypothesis import example, given, settings, strategies as st

from outcrop.metrics.math import Budget, Line, Scope, Value, compute, require_functions
from outcrop.metrics.syntax import ExpressionError, parse

M1 = Line("m1", 60, {0: 1.0, 60: 2.0, 180: 4.0})
M2 = Line("m2", 60, {0: 10.0, 60: 0.0, 120: 30.0})


def scope(**more: Value) -> Scope:
    metrics = {"m1": M1, "m2": M2}
    return Scope({**metrics, **more}, metrics, start_s=0, end_s=240, budget=Budget(10_000))


def value_of(text: str) -> Any:
    """A line's values by time, an array's in a list."""
    match compute(parse(text), scope()):
        case Line() as line:
            return dict(line.values)
        case list() as lines:
            return [dict(line.values) for line in lines]
        case other:
            return other


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("2 ^ 3 ^ 2", 512),
        ("-2 ^ 2", -4),
        ("10 - 4 - 3", 3),
        ("8 / 4 / 2", 1),
        ("1.5e1 + .5", 15.5),
        ("1 < 2 AND 3 >= 3", 1),
        ("1 > 2 || 1 != 1", 0),
        ("1 + 1 == 2", 1),
        ("m1 * 2", {0: 2, 60: 4, 180: 8}),
        ("-m1", {0: -1, 60: -2, 180: -4}),
        ("m1 + m2", {0: 11, 60: 2}),
        ("m1 / m2", {0: 0.1}),
        ("m1 > 1", {0: 0, 60: 1, 180: 1}),
        ("100 * m1 / (m1 + m2)", {0: 100 / 11, 60: 100}),
        ("[m1, m2] + 1", [{0: 2, 60: 3, 180: 5}, {0: 11, 60: 1, 120: 31}]),
        ("SUM([m1, m2])", {0: 11, 60: 2, 120: 30, 180: 4}),
        ("AVG(METRICS())", {0: 5.5, 60: 1, 120: 30, 180: 4}),
        ("MAX(METRICS('2'))", {0: 10, 60: 0, 120: 30}),
        ('MIN(METRICS("m"))', {0: 1, 60: 0, 120: 30, 180: 4}),
        ("SUM(m1)", 7),
        ("AVG(m1) * PERIOD(m1)", 140),
        ("m1 - MIN(m1)", {0: 0, 60: 1, 180: 3}),
        ("CEIL(m1 / 3)", {0: 1, 60: 1, 180: 2}),
        ("FLOOR(m1 / 3)", {0: 0, 60: 0, 180: 1}),
        ("ABS(0 - m1)", {0: 1, 60: 2, 180: 4}),
        ("FILL(m1, 0)", {0: 1, 60: 2, 120: 0, 180: 4}),
        ("FILL(m1, REPEAT)", {0: 1, 60: 2, 120: 2, 180: 4}),
        ("FILL(m1, LINEAR)", {0: 1, 60: 2, 120: 3, 180: 4}),
        ("FILL(m2, m1)", {0: 10, 60: 0, 120: 30, 180: 4}),
        ("FILL(METRICS(), -1)", [{0: 1, 60: 2, 120: -1, 180: 4}, {0: 10, 60: 0, 120: 30, 180: -1}]),
        ("RATE(m1)", {60: 1 / 60, 180: 2 / 120}),
        ("DIFF(m1)", {60: 1, 180: 2}),
        ("IF(m1 > 1, m1)", {60: 2, 180: 4}),
        ("IF(m1 > 1, 5, m2)", {0: 10, 60: 5, 180: 5}),
        ("IF(1, m1, m2)", {0: 1, 60: 2, 180: 4}),
        ("IF(m1 > 1 AND m1 < 3, 1, 0)", {0: 0, 60: 1, 180: 0}),
        ("TIME_SERIES(3)", {0: 3, 60: 3, 120: 3, 180: 3}),
        ("m1 ^ 10000", {0: 1}),
        ("(0 - m1) ^ 0.5", {}),
    ],
)
def test_an_expression_is_what_it_means(text: str, expected: Any) -> None:
    assert _rounded(value_of(text)) == _rounded(expected)


def _rounded(value: Any) -> Any:
    match value:
        case dict():
            return {at_s: _rounded(number) for at_s, number in cast(dict[int, Any], value).items()}
        case list():
            return [_rounded(line) for line in cast(list[Any], value)]
        case _:
            return round(value, 9)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "ends too early"),
        ("m1 +", "ends too early"),
        ("(m1", "ends too early"),
        ("m1)", r"'\)' at position 3"),
        ("m1 m2", "'m2' at position 4"),
        ("m1 ; m2", "';' at position 4"),
        ("__import__('os')", "'_' at position 1"),
        ("m1.real", r"'\.' at position 3"),
        ("e9", "no query with the ID 'e9'"),
        ("FOO(m1)", "no function 'FOO'"),
        ("SEARCH('{a} b', 'Sum', 60)", "no function 'SEARCH'"),
        ("SUM(m1, m2)", "SUM does not take 2 arguments"),
        ("[m1] + [m2]", "does not take two arrays"),
        ("m1 + 'a'", "text"),
        ("FILL(m1, 'a')", "FILL takes"),
        ("RATE(3)", "A number is given"),
        ("IF([m1], 1, 2)", "IF takes no arrays"),
        ("SUM(REPEAT)", "The text 'REPEAT' is given"),
        ("(" * 60 + "1" + ")" * 60, "nested too deeply"),
        ("-" * 60 + "1", "nested too deeply"),
    ],
)
def test_what_means_nothing_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ExpressionError, match=why):
        compute(parse(text), scope())


def test_functions_that_are_not_there_are_refused_before_anything_is_computed() -> None:
    with pytest.raises(ExpressionError, match="SEARCH"):
        require_functions(parse("[1, -(2 + SEARCH('a'))]"))
    require_functions(parse("SUM([m1, -m2]) + 1"))


def test_a_request_computes_no_more_than_it_may() -> None:
    long = Scope({"m1": M1}, {"m1": M1}, 0, 10**9, budget=Budget(1000))
    for text in ("FILL(m1, 0)", "TIME_SERIES(1)", "FILL(m1, LINEAR)"):
        with pytest.raises(ExpressionError, match="too many datapoints"):
            compute(parse(text), long)


_parts = st.sampled_from(
    (
        *("m1", "m2", "3", "0", "1e308", "'m'", "REPEAT", "METRICS()", " "),
        *("+", "-", "*", "/", "^", "<", ">", "==", "AND", "OR", "(", ")", "[", "]", ","),
        *("SUM(", "AVG(", "FILL(", "IF(", "RATE(", "ABS(", "PERIOD(", "CEIL(", "TIME_SERIES("),
    )
)


@settings(max_examples=600)
@given(st.one_of(st.lists(_parts, max_size=14).map("".join), st.text(max_size=40)))
@example("1e308*10")
@example("CEIL(1e308*1e308)")
@example("IF(AVG(FILL(m1/0,0)),m1)")
@example("m1/SUM(m2/0)")
def test_any_text_is_refused_or_computed_to_finite_lines(text: str) -> None:
    try:
        value = compute(parse(text), scope())
    except ExpressionError:
        return
    for line in value if isinstance(value, list) else [value]:
        if isinstance(line, Line):
            assert all(math.isfinite(number) for number in line.values.values())
            assert list(line.values) == sorted(line.values)


def _joined(parts: Any) -> tuple[str, float]:
    (left, one), sign, (right, other) = parts
    value = {"+": one + other, "-": one - other, "*": one * other}[sign]
    return f"({left} {sign} {right})", value


_numbers = st.floats(-100, 100).map(lambda number: round(number, 3))
_trees = st.recursive(
    _numbers.map(lambda number: (f"({number!r})", number)),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(_joined),
    max_leaves=12,
)


@given(_trees)
def test_arithmetic_of_numbers_is_python_s(tree: tuple[str, float]) -> None:
    text, expected = tree
    assert compute(parse(text), scope()) == pytest.approx(expected)
