"""The limiter that several gateways share: token buckets in Redis, counted by one script.

What Redis does not answer is not decided here: there is no count of one's own beside it.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from outcrop.config import ConfigError
from outcrop.quotas.limiter import Charge, LimiterUnavailable, LimitExceeded

MOST_CONNECTIONS: Final = 64

# In a cluster only keys of one slot can be taken from at once, and any two buckets may be: the part
# in braces alone decides the slot.
_KEY: Final = "outcrop:limit:{buckets}:"


class RedisLimiter:
    """With a ``clock`` of one's own nothing expires by that of Redis."""

    def __init__(
        self, url: str, *, clock: Callable[[], float] | None = None, timeout_s: float = 0.5
    ) -> None:
        pool = _pool(url, timeout_s)
        self._redis: Any = Redis(connection_pool=pool)
        self._clock = clock
        self._timeout_s = timeout_s
        self._where = _where(pool)
        self._script = resources.files("outcrop.quotas").joinpath("buckets.lua").read_bytes()
        # The name that Redis gives a script: nothing secret rests on it.
        self._sha = hashlib.sha1(self._script, usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        return f"RedisLimiter at {self._where}"

    async def take(self, charges: Sequence[Charge]) -> None:
        if not charges:
            return
        refused = await self._run("take", charges, [charge.amount for charge in charges])
        if refused is not None:
            number, wait_us = int(refused[0]), float(refused[1])
            raise LimitExceeded(charges[number - 1], None if wait_us < 0 else wait_us / 1e6)

    async def give_back(self, charge: Charge, amount: int) -> None:
        await self._run("give back", [charge], [amount])

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def server_version(self) -> str:
        """Once a script has run there: that takes more rights than being greeted."""
        nothing = Charge("nothing", 0, 1, "requests")
        await self.take([nothing])
        info = await self._ask(lambda: self._redis.info("server"))
        return str(info.get("redis_version", "unknown"))

    async def _run(
        self, what: str, charges: Sequence[Charge], amounts: Sequence[int]
    ) -> list[Any] | None:
        now_us = "" if self._clock is None else round(self._clock() * 1e6)
        arguments: list[Any] = [_KEY + charge.bucket for charge in charges]
        arguments += [what, now_us]
        for charge, amount in zip(charges, amounts, strict=True):
            arguments += [amount, charge.per_minute]
        return await self._ask(lambda: self._evaluate(len(charges), arguments))

    async def _evaluate(self, keys: int, arguments: Sequence[Any]) -> Any:
        try:
            return await self._redis.execute_command("EVALSHA", self._sha, keys, *arguments)
        except NoScriptError:
            # Redis was restarted and has run nothing. It keeps what it evaluates.
            return await self._redis.execute_command("EVAL", self._script, keys, *arguments)

    async def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await question()
        except TimeoutError as error:
            answer = f"did not answer within {self._timeout_s:g} s"
            raise LimiterUnavailable(f"Redis at {self._where} {answer}.") from error
        except (RedisError, OSError) as error:
            raise LimiterUnavailable(f"Redis at {self._where} cannot be used: {error}") from error


def _pool(url: str, timeout_s: float) -> BlockingConnectionPool:
    """No command is sent twice: what was counted but not answered would count twice. A connection
    that Redis closed meanwhile is noticed before anything is sent on it, and made anew."""
    try:
        options: dict[str, Any] = {
            "connection_class": Connection,
            "max_connections": MOST_CONNECTIONS,
            **parse_url(url),
            "timeout": timeout_s,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        pool = BlockingConnectionPool(**options)
        _check_place(url)
        # What the URL asks for is looked at when a connection is made, which here would be late.
        pool.make_connection()
    except (ValueError, TypeError, RedisError):
        # What is wrong with it may quote a part of it, and a part of it is a password.
        raise ConfigError(
            "[quotas] redis_url is not the URL of a Redis, which is "
            "redis://[[user]:password@]host[:port][/number], the same with rediss:// for TLS, or "
            "unix:///path/of/socket."
        ) from None
    pool.reset()
    return pool


def _check_place(url: str) -> None:
    """What the client reads past: a database that is no number, a socket without a path."""
    parts = urlsplit(url)
    place = parts.path.strip("/")
    is_number = not place or (place.isascii() and place.isdigit())
    if not (place if parts.scheme == "unix" else is_number):
        raise ValueError


def _where(pool: BlockingConnectionPool) -> str:
    """Without user and password."""
    options = pool.connection_kwargs
    if "path" in options:
        return str(options["path"])
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
