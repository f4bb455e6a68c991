"""How fast an engine process is: a short real run, one request at a time, the best of three.

The process's CPU time is the clock, so that other work on the machine is not counted: a CPU that
nothing else uses does as much in a second.
"""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from outcrop.engines.protocol import Engine, EngineFailed, InputTooLong
from outcrop.generation import EmbeddingRequest, Finished, Generation, Sampling, Started, Text, Turn

_RUNS = 3
_PROMPT_SENTENCES = (28, 14, 5, 1)
"""Of some nine tokens each; a small context takes fewer."""
_ANSWER_TOKENS = 64
_TEXTS = 8
_DIMENSIONS = 1536
_NEVER = -100.0


@runtime_checkable
class EndsByToken(Protocol):
    async def end_token(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens a second. ``output_per_s`` is 0 where the engine makes none."""

    input_per_s: float
    output_per_s: float


CpuClock = Callable[[], float]


async def measure_text(engine: Engine, cpu_s: CpuClock) -> Rate:
    """Raises EngineError."""
    generation = await _question(engine, cpu_s)
    runs = [await _generate(engine, generation, cpu_s) for _ in range(_RUNS)]
    return Rate(max(run.input_per_s for run in runs), max(run.output_per_s for run in runs))


async def measure_embedding(engine: Engine, cpu_s: CpuClock) -> Rate:
    """Raises EngineError. The first run is not counted: it meets the model's pages for the first
    time."""
    request = EmbeddingRequest((_text(_PROMPT_SENTENCES[0]),) * _TEXTS, _DIMENSIONS, 8192)
    rates = [await _embed(engine, request, cpu_s) for _ in range(_RUNS + 1)][1:]
    return Rate(max(rates), 0.0)


async def _question(engine: Engine, cpu_s: CpuClock) -> Generation:
    """As long a prompt as the engine holds together with the answer. It has run once then."""
    end = await engine.end_token() if isinstance(engine, EndsByToken) else None
    sampling = Sampling(temperature=0.0, logit_bias=() if end is None else ((end, _NEVER),))
    for sentences in _PROMPT_SENTENCES:
        turn = Turn("user", (Text(_text(sentences)),))
        generation = Generation(turns=(turn,), max_tokens=_ANSWER_TOKENS, sampling=sampling)
        try:
            await _generate(engine, generation, cpu_s)
        except InputTooLong:
            continue
        return generation
    raise EngineFailed(f"engine {engine.name!r} holds too few tokens to be measured")


async def _generate(engine: Engine, generation: Generation, cpu_s: CpuClock) -> Rate:
    began = first = cpu_s()
    read = made = 0
    async with aclosing(engine.generate(generation)) as events:
        async for event in events:
            if isinstance(event, Started):
                first, read = cpu_s(), event.input_tokens
            elif isinstance(event, Finished):
                # The first token came with the end of the prompt.
                made = event.output_tokens - 1
    return Rate(_rate(engine, read, first - began), _rate(engine, made, cpu_s() - first))


async def _embed(engine: Engine, request: EmbeddingRequest, cpu_s: CpuClock) -> float:
    began = cpu_s()
    tokens = sum((await engine.embed(request)).input_tokens)
    return _rate(engine, tokens, cpu_s() - began)


def _rate(engine: Engine, tokens: int, taken_s: float) -> float:
    if tokens < 1 or taken_s <= 0:
        raise EngineFailed(f"engine {engine.name!r} did too little to be measured")
    return tokens / taken_s


def _text(sentences: int) -> str:
    return " ".join(f"Item {number} of the list is due." for number in range(sentences))
