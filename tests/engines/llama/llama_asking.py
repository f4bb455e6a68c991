"""Short ways to ask an engine and to look at what it answered."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from outcrop.engines.llama.engine import LlamaEngine
from outcrop.generation import (
    Event,
    Finished,
    Generation,
    Sampling,
    Started,
    Text,
    TextDelta,
    Token,
    Turn,
)

MODEL = "smollm2-135m-instruct"
CONTEXT = 256
GREEDY = Sampling(temperature=0.0)
QUESTION = "What is the capital of France?"
# The end-of-text token of SmolLM2, which may never be drawn.
ENDLESS = Sampling(temperature=0.0, logit_bias=((2, -100.0),))


@dataclass(frozen=True)
class Answer:
    events: list[Event]

    @property
    def started(self) -> Started:
        assert isinstance(self.events[0], Started)
        return self.events[0]

    @property
    def finished(self) -> Finished:
        assert isinstance(self.events[-1], Finished)
        return self.events[-1]

    @property
    def deltas(self) -> list[TextDelta]:
        return [event for event in self.events if isinstance(event, TextDelta)]

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def tokens(self) -> list[Token]:
        return [token for delta in self.deltas for token in delta.tokens]


def asking(text: str, max_tokens: int = 16, **options: Any) -> Generation:
    options.setdefault("sampling", GREEDY)
    turns = (Turn("user", (Text(text),)), *options.pop("more", ()))
    return Generation(turns=turns, max_tokens=max_tokens, **options)


async def ask(engine: LlamaEngine, generation: Generation) -> Answer:
    return Answer([event async for event in engine.generate(generation)])


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what an engine process does on its own."""
    for _ in range(3000):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")
