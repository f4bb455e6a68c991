"""Opens the limiter that the configuration names. The client of Redis is an extra, imported only
where the configuration names a Redis."""

import asyncio
import importlib
from typing import Any

from outcrop.config import ConfigError, Quotas
from outcrop.quotas.limiter import Limiter
from outcrop.quotas.memory import MemoryLimiter


async def open_limiter(quotas: Quotas) -> Limiter:
    """Asks Redis nothing yet: where it comes later, nobody passes until then."""
    return MemoryLimiter() if quotas.redis_url is None else await _redis(quotas.redis_url)


async def redis_version(url: str) -> str:
    """Of the Redis that gateways would count in, if it lets them; raises ``LimiterUnavailable``."""
    limiter = await _redis(url)
    try:
        return await limiter.server_version()
    finally:
        await limiter.close()


async def _redis(url: str) -> Any:
    try:
        module = await asyncio.to_thread(importlib.import_module, "outcrop.quotas.redis")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        raise ConfigError(
            "[quotas] redis_url needs the client of Redis, which is not installed here. "
            "Install it with: pip install 'outcrop[redis]'."
        ) from error
    return module.RedisLimiter(url)
