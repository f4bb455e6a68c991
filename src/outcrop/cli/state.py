"""The state of a deployment, opened for the length of one command.

What a command writes to the data directory, a running server notices within a second.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from outcrop.config import Config
from outcrop.server.state import State, open_state

Result = TypeVar("Result")


def state_of(config: Config) -> AbstractAsyncContextManager[State]:
    return open_state(config.data_dir, os.environ, config.master_key)


def with_state(config: Config, work: Callable[[State], Coroutine[Any, Any, Result]]) -> Result:
    async def working() -> Result:
        async with state_of(config) as state:
            return await work(state)

    return asyncio.run(working())
