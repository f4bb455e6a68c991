"""``redis`` is a real server, one for the session, running and empty for every test."""

from collections.abc import Iterator

import pytest
from redis_servers import RedisServer, running_redis


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisServer:
    if redis_server.process is None:
        redis_server.start()
    redis_server.command("FLUSHALL")
    return redis_server
