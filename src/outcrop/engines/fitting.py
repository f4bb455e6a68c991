"""An adapter for one engine's weights: looked for and opened anew whenever the engine needs it.

An engine that is to have an adapter answers with it or not at all, never as its base.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from outcrop.engines.adapters import AdapterFacts, Adapters, NoAdapter
from outcrop.engines.protocol import EngineFailed, EngineNotReady

_Read = TypeVar("_Read")


class AdapterUnavailable(EngineNotReady):
    """It is gone, or cannot be opened now; the text says why. ``may_pass``: asked later, it may be
    opened."""

    def __init__(self, reason: str, *, may_pass: bool = False) -> None:
        super().__init__(reason)
        self.may_pass = may_pass


@dataclass(frozen=True, slots=True)
class Fitting:
    """``name`` is the ARN of the custom model, ``base`` reads the fingerprint that the engine's
    weights have now, ``engine`` is what messages call the engine."""

    adapters: Adapters
    name: str
    base: Callable[[], str]
    engine: str

    @property
    def id(self) -> str:
        """The last part of the ARN."""
        return self.name.rpartition("/")[2]

    async def facts(self) -> AdapterFacts:
        """Raises AdapterUnavailable, and EngineFailed where it is for other weights."""
        facts = await self._opened(self.adapters.find(self.name))
        base = await asyncio.to_thread(self.base)
        if facts.base != base:
            raise EngineFailed(
                f"the custom model {self.name} was trained on other weights than those of engine "
                f"{self.engine!r}: on {facts.base!r}, which {base!r} is not"
            )
        return facts

    async def read_gguf(self) -> bytes:
        return await self._opened(self.adapters.read_gguf(self.name))

    async def read_peft(self) -> Mapping[str, bytes]:
        return await self._opened(self.adapters.read_peft(self.name))

    async def _opened(self, reading: Awaitable[_Read]) -> _Read:
        try:
            return await reading
        except NoAdapter as error:
            told = f"engine {self.engine!r} has no adapter: {error}"
            raise AdapterUnavailable(told, may_pass=error.may_pass) from error
