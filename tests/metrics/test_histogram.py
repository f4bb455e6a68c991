"""Histograms of metrics: percentiles that are exact for few values and within a percent else."""

import math
from statistics import NormalDist

import pytest
from hypothesis import given, strategies as st

from outcrop.metrics.histogram import (
    EXACT_VALUES,
    Histogram,
    decode,
    encode,
    merged,
    rank_value,
    trimmed_mean,
)

_numbers = st.floats(-1e100, 1e100).filter(lambda number: number == 0 or abs(number) > 1e-100)
_histograms = st.dictionaries(_numbers, st.integers(1, 1000).map(float), min_size=1, max_size=120)
_shares = st.floats(0.001, 1.0)


def of(values: list[float]) -> Histogram:
    return merged({value: 1.0} for value in values)


def true_rank(values: list[float], share: float) -> float:
    return sorted(values)[max(math.ceil(share * len(values) * (1 - 1e-12)), 1) - 1]


@given(st.lists(_numbers, min_size=1, max_size=EXACT_VALUES), _shares)
def test_a_percentile_of_few_values_is_exact(values: list[float], share: float) -> None:
    assert rank_value(of(values), share) == true_rank(values, share)


@given(st.lists(_numbers, min_size=EXACT_VALUES, max_size=300), _shares)
def test_a_percentile_of_many_values_is_within_one_percent(
    values: list[float], share: float
) -> None:
    assert rank_value(of(values), share) == pytest.approx(true_rank(values, share), rel=0.0101)


@given(_histograms, _histograms, _histograms)
def test_no_value_is_lost_and_order_matters_no_more_than_rounding(
    one: Histogram, other: Histogram, third: Histogram
) -> None:
    left = merged([merged([one, other]), third])
    right = merged([one, merged([other, third])])
    assert sum(left.values()) == sum(right.values())
    for share in (0.1, 0.5, 0.99):
        assert rank_value(left, share) == pytest.approx(rank_value(right, share), rel=0.0203)


@given(_histograms)
def test_merging_with_nothing_again_and_again_moves_no_value(histogram: Histogram) -> None:
    once = merged([histogram])
    again = once
    for _ in range(5):
        again = merged([again])
    assert again == once


@given(_histograms)
def test_what_is_written_is_read_again(histogram: Histogram) -> None:
    assert decode(encode(histogram)) == histogram


def test_a_busy_minute_of_latencies_is_small() -> None:
    shares = [(number + 0.5) / 20_000 for number in range(20_000)]
    latencies = [math.exp(6 + NormalDist().inv_cdf(share)) for share in shares]
    histogram = of(latencies)
    assert len(encode(histogram)) < 6_000
    assert rank_value(histogram, 0.99) == pytest.approx(true_rank(latencies, 0.99), rel=0.01)


def test_a_trimmed_mean_leaves_out_the_rest() -> None:
    histogram = of([1.0, 2.0, 3.0, 4.0, 100.0])
    assert trimmed_mean(histogram, 0, 0.8) == pytest.approx(2.5)
    assert trimmed_mean(histogram, 0, 0.5) == pytest.approx((1 + 2 + 3 * 0.5) / 2.5)
    assert trimmed_mean(histogram, 0, 0) is None
