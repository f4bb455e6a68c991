"""The limiters in memory and in Redis give the same answers, to the microsecond."""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import hypothesis.stateful as stateful
import hypothesis.strategies as st
from hypothesis import settings
from redis_servers import RedisServer

from outcrop.quotas.limiter import Charge, Limiter, LimitExceeded
from outcrop.quotas.memory import MemoryLimiter
from outcrop.quotas.redis import RedisLimiter

QUOTAS = (0, 1, 3, 10, 60, 1000, 999_983, 10_000_000, 150_000_000)
BUCKETS = ("a", "a/b {c}", "ü\n")

charges = st.builds(
    Charge,
    st.sampled_from(BUCKETS),
    st.one_of(st.integers(0, 12), st.integers(0, 2 * max(QUOTAS))),
    st.sampled_from(QUOTAS),
    st.just("tokens"),
)
steps_us = st.one_of(
    st.integers(0, 100),
    st.integers(0, 10_000_000),
    st.integers(-120_000_000, 10**12),
)

Refusal = tuple[Charge, float | None] | None


class Agreement(stateful.RuleBasedStateMachine):
    """``waits`` to be waited for are those that were told: exactly then something happens."""

    redis: ClassVar[RedisServer]
    waits = stateful.Bundle("waits")

    def __init__(self) -> None:
        super().__init__()
        self.redis.command("FLUSHALL")
        self.now_us = 10**15
        self.runner = asyncio.Runner()
        self.memory = MemoryLimiter(self.clock)
        self.shared = RedisLimiter(self.redis.url, clock=self.clock, timeout_s=30)

    def clock(self) -> float:
        return self.now_us / 1e6

    @stateful.rule(target=waits, asked=st.lists(charges, min_size=1, max_size=3))
    def take(self, asked: Sequence[Charge]) -> Any:
        refusal = self.runner.run(refused(self.memory, asked))
        assert self.runner.run(refused(self.shared, asked)) == refusal
        if refusal is None or refusal[1] is None:
            return cast("Any", stateful.multiple())
        return round(refusal[1] * 1e6)

    @stateful.rule(charge=charges, amount=st.integers(-(10**10), 10**9))
    def give_back(self, charge: Charge, amount: int) -> None:
        self.runner.run(self.memory.give_back(charge, amount))
        self.runner.run(self.shared.give_back(charge, amount))

    @stateful.rule(charge=charges, amount=st.integers(-20, 20))
    def give_back_a_little(self, charge: Charge, amount: int) -> None:
        self.give_back(charge, amount)

    @stateful.rule(step_us=steps_us)
    def pass_time(self, step_us: int) -> None:
        self.now_us += step_us

    @stateful.rule(wait_us=waits, less_us=st.integers(0, 1))
    def wait_as_told(self, wait_us: int, less_us: int) -> None:
        self.now_us += min(wait_us, 10**12) - less_us

    def teardown(self) -> None:
        self.runner.run(self.shared.close())
        self.runner.close()


async def refused(limiter: Limiter, asked: Sequence[Charge]) -> Refusal:
    try:
        await limiter.take(asked)
    except LimitExceeded as error:
        return error.charge, error.retry_after_s
    return None


def test_memory_and_redis_answer_alike(redis: RedisServer) -> None:
    on_this_server = type("OnThisServer", (Agreement,), {"redis": redis})
    stateful.run_state_machine_as_test(
        on_this_server, settings=settings(max_examples=80, stateful_step_count=40)
    )
