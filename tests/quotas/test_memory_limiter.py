"""The limiter in memory: what passes, when the rest may come again, and what is remembered."""

import asyncio
import contextlib

import pytest
from hypothesis import given, strategies as st

from outcrop.quotas.limiter import Charge, LimitExceeded
from outcrop.quotas.memory import MemoryLimiter


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def requests(amount: int, per_minute: int, bucket: str = "requests of a model") -> Charge:
    return Charge(bucket, amount, per_minute, "requests")


def tokens(amount: int, per_minute: int) -> Charge:
    return Charge("tokens of a model", amount, per_minute, "tokens")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> MemoryLimiter:
    return MemoryLimiter(clock)


async def refused(limiter: MemoryLimiter, *charges: Charge) -> LimitExceeded:
    with pytest.raises(LimitExceeded) as caught:
        await limiter.take(charges)
    return caught.value


async def told_to_wait_s(limiter: MemoryLimiter, charge: Charge) -> float | None:
    try:
        await limiter.take([charge])
    except LimitExceeded as error:
        return error.retry_after_s
    return 0


async def test_of_fifty_at_once_exactly_the_quota_passes(limiter: MemoryLimiter) -> None:
    answers = await asyncio.gather(
        *(limiter.take([requests(1, 20)]) for _ in range(50)), return_exceptions=True
    )
    assert sum(answer is None for answer in answers) == 20
    assert sum(isinstance(answer, LimitExceeded) for answer in answers) == 30


async def test_a_bucket_refills_evenly(limiter: MemoryLimiter, clock: Clock) -> None:
    await limiter.take([requests(10, 10)])
    assert (await refused(limiter, requests(1, 10))).retry_after_s == 6
    clock.now_s += 5.999999
    assert (await refused(limiter, requests(1, 10))).retry_after_s == 0.000001
    clock.now_s += 0.000001
    await limiter.take([requests(1, 10)])


async def test_a_bucket_never_holds_more_than_a_minutes_worth(
    limiter: MemoryLimiter, clock: Clock
) -> None:
    await limiter.take([requests(1, 10)])
    clock.now_s += 3600
    await limiter.take([requests(10, 10)])
    assert (await refused(limiter, requests(1, 10))).retry_after_s == 6


async def test_nothing_is_taken_when_one_charge_does_not_fit(limiter: MemoryLimiter) -> None:
    await limiter.take([tokens(90, 100)])
    error = await refused(limiter, requests(10, 10), tokens(20, 100))
    assert error.charge == tokens(20, 100)
    await limiter.take([requests(10, 10), tokens(10, 100)])


async def test_the_charge_that_waits_longest_is_named(limiter: MemoryLimiter) -> None:
    await limiter.take([requests(10, 10), tokens(100, 100)])
    error = await refused(limiter, requests(1, 10), tokens(50, 100))
    assert (error.charge.unit, error.retry_after_s) == ("tokens", 30)
    error = await refused(limiter, requests(1, 10), tokens(5, 100))
    assert (error.charge.unit, error.retry_after_s) == ("requests", 6)


async def test_more_than_a_minutes_worth_never_passes(limiter: MemoryLimiter) -> None:
    error = await refused(limiter, requests(1, 10), tokens(101, 100))
    assert (error.charge.unit, error.retry_after_s) == ("tokens", None)
    assert (await refused(limiter, requests(1, 0))).retry_after_s is None
    await limiter.take([requests(10, 10), tokens(100, 100)])


async def test_two_charges_of_one_bucket_count_together(limiter: MemoryLimiter) -> None:
    await limiter.take([requests(2, 10)])
    assert (await refused(limiter, requests(5, 10), requests(5, 10))).retry_after_s == 12
    assert (await refused(limiter, requests(6, 10), requests(6, 10))).retry_after_s is None
    await limiter.take([requests(4, 10), requests(4, 10)])
    assert (await refused(limiter, requests(1, 10))).retry_after_s == 6


async def test_what_was_not_used_comes_back(limiter: MemoryLimiter) -> None:
    await limiter.take([tokens(100, 100)])
    await limiter.give_back(tokens(100, 100), 30)
    assert (await refused(limiter, tokens(31, 100))).retry_after_s == 0.6
    await limiter.take([tokens(30, 100)])


async def test_what_comes_back_never_overfills_a_bucket(
    limiter: MemoryLimiter, clock: Clock
) -> None:
    await limiter.take([tokens(100, 100)])
    clock.now_s += 60
    await limiter.give_back(tokens(100, 100), 100)
    await limiter.give_back(requests(5, 10), 5)
    await limiter.take([tokens(100, 100), requests(10, 10)])
    await refused(limiter, tokens(1, 100))
    await refused(limiter, requests(1, 10))


async def test_what_was_used_beyond_is_owed(limiter: MemoryLimiter, clock: Clock) -> None:
    await limiter.take([tokens(100, 100)])
    await limiter.give_back(tokens(100, 100), -200)
    assert (await refused(limiter, tokens(1, 100))).retry_after_s == 120.6
    clock.now_s += 120.6
    await limiter.take([tokens(1, 100)])


async def test_a_debt_is_remembered_of_a_bucket_that_was_full(limiter: MemoryLimiter) -> None:
    await limiter.give_back(tokens(10, 100), -150)
    assert (await refused(limiter, tokens(1, 100))).retry_after_s == 30.6


async def test_a_raised_quota_adds_its_difference_at_once(
    limiter: MemoryLimiter, clock: Clock
) -> None:
    await limiter.take([requests(10, 10)])
    await limiter.take([requests(5, 15)])
    assert (await refused(limiter, requests(1, 15))).retry_after_s == 4
    clock.now_s += 4
    await limiter.take([requests(1, 15)])


async def test_a_lowered_quota_lets_no_more_pass_than_it_has(limiter: MemoryLimiter) -> None:
    await limiter.take([requests(2, 10)])
    await limiter.take([requests(4, 6)])
    assert (await refused(limiter, requests(1, 6))).retry_after_s == 10


async def test_a_lowered_quota_locks_nobody_out_for_more_than_a_minute(
    limiter: MemoryLimiter, clock: Clock
) -> None:
    await limiter.take([requests(900, 1000)])
    wait_s = (await refused(limiter, requests(1, 10))).retry_after_s
    assert wait_s is not None
    assert wait_s == 53.46
    clock.now_s += wait_s
    await limiter.take([requests(1, 10)])
    assert (await refused(limiter, requests(1, 10))).retry_after_s == 6


async def test_servers_that_disagree_on_a_quota_let_no_more_pass_than_the_higher(
    limiter: MemoryLimiter,
) -> None:
    passed = 0
    for number in range(100):
        try:
            await limiter.take([requests(1, (10, 15)[number % 2])])
        except LimitExceeded:
            continue
        passed += 1
    assert passed == 15


async def test_a_clock_that_is_set_back_gives_nothing_and_keeps_nobody_waiting_longer(
    limiter: MemoryLimiter, clock: Clock
) -> None:
    await limiter.take([requests(10, 10)])
    clock.now_s -= 500
    assert (await refused(limiter, requests(1, 10))).retry_after_s == 6
    clock.now_s += 6
    await limiter.take([requests(1, 10)])


async def test_full_buckets_are_forgotten_and_others_never(clock: Clock) -> None:
    limiter = MemoryLimiter(clock, most_buckets=100)
    for number in range(500):
        await limiter.take([requests(10, 10, f"kept {number}")])
    assert len(limiter) == 500
    assert (await refused(limiter, requests(1, 10, "kept 0"))).retry_after_s == 6
    clock.now_s += 60
    for number in range(200):
        await limiter.take([requests(1, 10, f"new {number}")])
    assert len(limiter) == 200
    for number in range(200):
        await refused(limiter, requests(10, 10, f"new {number}"))


steps = st.one_of(
    st.tuples(st.just("take"), st.integers(0, 1500), st.sampled_from([7, 60, 999])),
    st.tuples(st.just("give back"), st.integers(-3000, 1500), st.sampled_from([7, 60, 999])),
    st.tuples(st.just("wait"), st.integers(0, 90_000_000), st.just(0)),
)


@given(st.lists(steps), st.integers(1, 60))
async def test_the_time_to_wait_is_exact_to_the_microsecond(
    steps: list[tuple[str, int, int]], amount: int
) -> None:
    clock = Clock()
    limiter = MemoryLimiter(clock)
    for what, number, per_minute in steps:
        if what == "wait":
            clock.now_s += number / 1e6
        elif what == "give back":
            await limiter.give_back(requests(1, per_minute), number)
        else:
            with contextlib.suppress(LimitExceeded):
                await limiter.take([requests(number, per_minute)])
    wait_s = await told_to_wait_s(limiter, requests(amount, 60))
    if wait_s:
        asked_s = clock.now_s
        clock.now_s = asked_s + wait_s - 0.000001
        assert await told_to_wait_s(limiter, requests(amount, 60)) == 0.000001
        clock.now_s = asked_s + wait_s
        assert await told_to_wait_s(limiter, requests(amount, 60)) == 0
