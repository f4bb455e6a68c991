"""The limiter in Redis: gateways count together, and without Redis nobody is counted in secret."""

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from redis_servers import RedisServer, running_redis

from outcrop.config import ConfigError, Quotas
from outcrop.quotas.limiter import Charge, LimiterUnavailable, LimitExceeded
from outcrop.quotas.memory import MemoryLimiter
from outcrop.quotas.opening import open_limiter, redis_version
from outcrop.quotas.redis import MOST_CONNECTIONS, RedisLimiter

# More than a busy machine needs to answer.
PATIENT_S = 30.0
KEY = "outcrop:limit:{buckets}:"


def requests(amount: int, per_minute: int, bucket: str = "requests") -> Charge:
    return Charge(bucket, amount, per_minute, "requests")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def limiter(redis: RedisServer, clock: Clock) -> AsyncGenerator[RedisLimiter]:
    limiter = RedisLimiter(redis.url, clock=clock, timeout_s=PATIENT_S)
    yield limiter
    await limiter.close()


@pytest_asyncio.fixture
async def other(redis: RedisServer, clock: Clock) -> AsyncGenerator[RedisLimiter]:
    other = RedisLimiter(redis.url, clock=clock, timeout_s=PATIENT_S)
    yield other
    await other.close()


async def test_of_fifty_at_once_through_two_gateways_exactly_the_quota_passes(
    limiter: RedisLimiter, other: RedisLimiter
) -> None:
    tokens = Charge("tokens", 100, 10_000, "tokens")
    answers = await asyncio.gather(
        *((limiter, other)[n % 2].take([requests(1, 20), tokens]) for n in range(50)),
        return_exceptions=True,
    )
    assert sum(answer is None for answer in answers) == 20
    refused = [answer for answer in answers if isinstance(answer, LimitExceeded)]
    assert len(refused) == 30
    assert {each.retry_after_s for each in refused} == {3.0}
    await other.take([Charge("tokens", 8000, 10_000, "tokens")])


async def test_more_calls_than_connections_wait_for_their_turn(limiter: RedisLimiter) -> None:
    calls = 3 * MOST_CONNECTIONS
    answers = await asyncio.gather(
        *(limiter.take([requests(1, 10)]) for _ in range(calls)), return_exceptions=True
    )
    assert sum(answer is None for answer in answers) == 10
    assert sum(isinstance(answer, LimitExceeded) for answer in answers) == calls - 10


async def test_what_one_gateway_gives_back_another_takes(
    limiter: RedisLimiter, other: RedisLimiter
) -> None:
    await limiter.take([requests(10, 10)])
    await limiter.give_back(requests(10, 10), 4)
    await other.take([requests(4, 10)])
    await other.give_back(requests(4, 10), -4)
    with pytest.raises(LimitExceeded) as caught:
        await limiter.take([requests(1, 10)])
    assert caught.value.retry_after_s == 30


async def test_a_full_bucket_leaves_nothing_in_redis(
    limiter: RedisLimiter, redis: RedisServer, clock: Clock
) -> None:
    await limiter.take([requests(5, 10), requests(5, 10, "others")])
    await limiter.give_back(requests(5, 10), 5)
    assert redis.command("KEYS", "*") == f"*1\r\n$30\r\n{KEY}others\r\n".encode()
    clock.now_s += 30
    await limiter.take([requests(0, 10, "others")])
    assert redis.command("DBSIZE") == b":0\r\n"


async def test_by_the_time_of_redis_a_bucket_expires_when_it_is_full(redis: RedisServer) -> None:
    limiter = RedisLimiter(redis.url, timeout_s=PATIENT_S)
    await limiter.take([requests(5, 10), requests(1, 60_000, "soon")])
    left_ms = int(redis.command("PTTL", f"{KEY}requests")[1:])
    assert 0 < left_ms <= 30_001
    async with asyncio.timeout(PATIENT_S):
        while await asyncio.to_thread(redis.command, "EXISTS", f"{KEY}soon") == b":1\r\n":
            pass
    await limiter.close()


async def test_by_the_time_of_redis_a_bucket_refills(redis: RedisServer) -> None:
    limiter = RedisLimiter(redis.url, timeout_s=PATIENT_S)
    await limiter.take([requests(600, 600)])
    with pytest.raises(LimitExceeded) as caught:
        await limiter.take([requests(3, 600)])
    wait_s = caught.value.retry_after_s
    assert wait_s is not None
    assert 0 < wait_s <= 0.3
    await asyncio.sleep(wait_s)
    await limiter.take([requests(3, 600)])
    await limiter.close()


async def test_a_redis_that_forgot_the_script_is_told_it_again(
    limiter: RedisLimiter, redis: RedisServer
) -> None:
    await limiter.take([requests(9, 10)])
    assert redis.command("SCRIPT", "FLUSH") == b"+OK\r\n"
    await limiter.take([requests(1, 10)])
    with pytest.raises(LimitExceeded):
        await limiter.take([requests(1, 10)])


async def test_a_redis_killed_and_started_again_between_calls_is_found_again(
    limiter: RedisLimiter, redis: RedisServer
) -> None:
    await asyncio.gather(*(limiter.take([requests(1, 10)]) for _ in range(10)))
    await asyncio.to_thread(redis.kill)
    await asyncio.to_thread(redis.start)
    answers = await asyncio.gather(
        *(limiter.take([requests(1, 10)]) for _ in range(11)), return_exceptions=True
    )
    assert sum(answer is None for answer in answers) == 10
    assert sum(isinstance(answer, LimitExceeded) for answer in answers) == 1


async def test_while_redis_is_gone_nobody_passes(limiter: RedisLimiter, redis: RedisServer) -> None:
    await limiter.take([requests(1, 10)])
    await asyncio.to_thread(redis.kill)
    for _ in range(3):
        with pytest.raises(LimiterUnavailable, match="cannot be used"):
            await limiter.take([requests(1, 10)])
        with pytest.raises(LimiterUnavailable, match="cannot be used"):
            await limiter.give_back(requests(1, 10), 1)
    await asyncio.to_thread(redis.start)
    await limiter.take([requests(10, 10)])


async def test_a_redis_that_never_answers_is_given_up_and_blocks_nobody() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(256)
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        limiter = RedisLimiter(url, timeout_s=0.2)
        answers = asyncio.gather(
            *(limiter.take([requests(1, 10)]) for _ in range(2 * MOST_CONNECTIONS)),
            return_exceptions=True,
        )
        turns = 0
        while not answers.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns > 10
        assert {type(answer) for answer in await answers} == {LimiterUnavailable}
        await limiter.close()


async def test_calls_that_are_given_up_leave_no_answer_for_others_and_no_connection_taken(
    limiter: RedisLimiter,
) -> None:
    for turn in range(2 * MOST_CONNECTIONS):
        call = asyncio.create_task(limiter.take([requests(1, 10**6, "given up")]))
        for _ in range(turn % 16):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
    answers = await asyncio.gather(
        *(limiter.take([requests(1, 10)]) for _ in range(2 * MOST_CONNECTIONS)),
        return_exceptions=True,
    )
    assert sum(answer is None for answer in answers) == 10
    assert sum(isinstance(answer, LimitExceeded) for answer in answers) == len(answers) - 10


async def test_a_password_is_given_to_redis_and_told_to_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with running_redis(password="kept-to-itself") as server:
        limiter = RedisLimiter(server.url, timeout_s=PATIENT_S)
        await limiter.take([requests(1, 10)])
        told = repr(limiter)
        wrong = RedisLimiter(server.url.replace("kept", "wrong-and-kept"), timeout_s=PATIENT_S)
        with pytest.raises(LimiterUnavailable, match="invalid username-password") as caught:
            await wrong.take([requests(1, 10)])
        told += str(caught.value)
        server.kill()
        with pytest.raises(LimiterUnavailable) as caught:
            await limiter.take([requests(1, 10)])
        told += str(caught.value) + repr(caught.value) + caplog.text
        await limiter.close()
        await wrong.close()
    assert "kept-to-itself" not in told


async def test_a_redis_that_forbids_scripts_is_no_limiter(redis: RedisServer) -> None:
    redis.command("ACL", "SETUSER", "reader", "on", "nopass", "~*", "+@all", "-@scripting")
    limiter = RedisLimiter(redis.url.replace("unix://", "unix://reader:any@"), timeout_s=PATIENT_S)
    with pytest.raises(LimiterUnavailable, match="no permissions"):
        await limiter.server_version()
    await limiter.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://:secret@localhost",
        "redis://:se/cret@localhost",
        "redis://:secret@localhost:port",
        "redis://:secret@localhost:99999",
        "redis://localhost/first?password=secret",
        "redis://localhost?socket_timeout=secret",
        "redis://localhost?no_such_option=secret",
        "rediss://localhost?ssl_cert_reqs=secret",
        "unix://",
    ],
)
async def test_what_is_no_url_of_a_redis_is_told_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigError, match="redis_url is not the URL of a Redis") as caught:
        await open_limiter(Quotas(redis_url=url))
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_the_configuration_says_where_counts_are_kept(redis: RedisServer) -> None:
    assert isinstance(await open_limiter(Quotas()), MemoryLimiter)
    limiter = await open_limiter(Quotas(redis_url=redis.url))
    assert isinstance(limiter, RedisLimiter)
    await limiter.close()
    assert int((await redis_version(redis.url)).partition(".")[0]) >= 7


async def test_opening_asks_redis_nothing(tmp_path: Path) -> None:
    limiter = await open_limiter(Quotas(redis_url=f"unix://{tmp_path}/none.sock"))
    with pytest.raises(LimiterUnavailable):
        await limiter.take([requests(1, 10)])
    await limiter.close()


async def test_nothing_to_take_asks_nobody(tmp_path: Path) -> None:
    await RedisLimiter(f"unix://{tmp_path}/none.sock").take([])


def test_without_the_extra_a_redis_url_is_refused_with_the_command_that_helps() -> None:
    program = """
import asyncio, sys
sys.modules["redis"] = None
from outcrop.config import ConfigError, Quotas
from outcrop.quotas.opening import open_limiter
asyncio.run(open_limiter(Quotas()))
try:
    asyncio.run(open_limiter(Quotas(redis_url="redis://localhost")))
except ConfigError as error:
    sys.exit(str(error))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.stderr.strip().endswith("pip install 'outcrop[redis]'.")
