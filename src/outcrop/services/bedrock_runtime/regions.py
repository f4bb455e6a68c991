"""Where a call runs: in its own region, or by a profile in the first one that can take it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from outcrop.engines.protocol import (
    EngineBusy,
    EngineError,
    EngineGone,
    EngineNotReady,
    EngineTimeout,
)
from outcrop.quotas.limiter import LimitExceeded
from outcrop.services.bedrock_runtime.admission import Admission, Demand, admit
from outcrop.services.bedrock_runtime.targets import Target
from outcrop.services.call import Call
from outcrop.services.throttling import throttling_error

Begun = TypeVar("Begun")

_NO_CAPACITY = (EngineBusy, EngineGone, EngineNotReady, EngineTimeout)


async def in_some_region(
    call: Call, target: Target, demand: Demand, begin: Callable[[Admission], Awaitable[Begun]]
) -> Begun:
    """``begin`` in the first region with quota and capacity left. What was taken from a region's
    quota where it did not begin is given back, but for the request itself where the client left
    an engine that had begun to work. If no region is left, the call is throttled where
    quotas ended, else refused with what the last engine said."""
    exceeded: list[LimitExceeded] = []
    failure: EngineError | None = None
    for region in target.regions:
        try:
            admission = await admit(call, target, region, demand)
        except LimitExceeded as error:
            exceeded.append(error)
            continue
        is_open = True
        try:
            result = await begin(admission)
            is_open = False
            return result
        except _NO_CAPACITY as error:
            failure = error
        except asyncio.CancelledError:
            is_open = False
            await admission.settle(0, 0)
            raise
        finally:
            # Refused: nothing was used.
            if is_open:
                await admission.cancel()
    if failure is not None:
        raise failure
    raise throttling_error(min(exceeded, key=_wait))


def _wait(error: LimitExceeded) -> float:
    return float("inf") if error.retry_after_s is None else error.retry_after_s
