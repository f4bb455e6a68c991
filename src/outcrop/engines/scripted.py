"""The deterministic engine of tests and load measurement: ``engines/script.py`` says what it
answers. It pretends no model and is never a default."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator

import numpy as np

from outcrop.config import Scripted
from outcrop.engines import script
from outcrop.engines.fitting import Fitting
from outcrop.engines.honours import PARAMETERS, honours
from outcrop.engines.lift import Vectors, lift
from outcrop.engines.protocol import EngineError
from outcrop.engines.scripted_prompt import PromptCache, check, pieces, prompt
from outcrop.generation import (
    EmbeddingRequest,
    Embeddings,
    Event,
    Generation,
    ReasoningDelta,
    Sampling,
    TextDelta,
    ToolUseDelta,
)

DIMENSIONS = 384
# The event loop gets a turn after so many events, even where the reader never waits.
_TURN = 32
_SAMPLERS = Sampling.__struct_fields__
_MEDIA = ("image", "document, text", "document, pdf", "document, office", "video")
_WAITS = (script.Pause, script.Sleep)
_DELTAS = (TextDelta, ReasoningDelta, ToolUseDelta)


class ScriptedEngine:
    """``started``, ``finished``, ``cancelled`` and ``failed`` count generations. With an adapter it
    answers no otherwise: ``served_by`` alone tells custom models apart."""

    HONOURS = honours(
        PARAMETERS,
        without=("s3Location", "citations"),
        where={
            **dict.fromkeys(_SAMPLERS, "accepted: one token is possible"),
            **dict.fromkeys(_MEDIA, "accepted: counted as a word or two"),
            **dict.fromkeys(("reasoning, budget", "reasoning, effort"), "a made-up thought"),
            "tools, tool": "a tool of the request",
            "json_schema": "a schema whose smallest value it finds",
            "dimensions": f"{DIMENSIONS} or more",
            "input_type": "accepted: its vectors mean nothing",
        },
    )

    def __init__(self, name: str, config: Scripted, fitting: Fitting | None = None) -> None:
        self.name = name
        self.served_by = f"scripted+{fitting.id}" if fitting else "scripted"
        self.started = 0
        self.finished = 0
        self.cancelled = 0
        self.failed = 0
        self._config = config
        self._cache = PromptCache()
        self._reached: dict[str, asyncio.Event] = {}
        self._released: dict[str, asyncio.Event] = {}

    def release(self, name: str) -> None:
        """Let every generation go on that waits, or will wait, at the pause ``name``."""
        self._released.setdefault(name, asyncio.Event()).set()

    async def reached(self, name: str) -> None:
        """Return once a generation has come to the pause ``name``."""
        await self._reached.setdefault(name, asyncio.Event()).wait()

    async def generate(self, generation: Generation) -> AsyncGenerator[Event]:
        self.started += 1
        outcome = "cancelled"
        try:
            check(generation, self.name)
            answer = script.Answer(generation, self._config.tokens, self.name, self._cache)
            delay_s = self._config.delay_s
            for number, event in enumerate(answer.events(), 1):
                if isinstance(event, _WAITS):
                    await self._wait(event)
                    continue
                yield event
                if delay_s and isinstance(event, _DELTAS):
                    await asyncio.sleep(delay_s)
                elif not number % _TURN:
                    await asyncio.sleep(0)
            outcome = "finished"
        except EngineError:
            outcome = "failed"
            raise
        finally:
            setattr(self, outcome, getattr(self, outcome) + 1)

    async def count_tokens(self, generation: Generation) -> int:
        check(generation, self.name)
        return len(prompt(generation))

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        kept = [
            script.fit(pieces(text), request.max_tokens, request.truncate) for text in request.texts
        ]
        vectors = np.stack([_vector("".join(tokens)) for tokens in kept])
        lifted = lift(vectors, request.dimensions, self.name)
        return Embeddings(tuple(lifted.tolist()), tuple(len(tokens) for tokens in kept))

    async def close(self) -> None:
        for released in self._released.values():
            released.set()

    async def _wait(self, step: script.Pause | script.Sleep) -> None:
        if isinstance(step, script.Sleep):
            await asyncio.sleep(step.seconds)
            return
        self._reached.setdefault(step.name, asyncio.Event()).set()
        await self._released.setdefault(step.name, asyncio.Event()).wait()


def _vector(text: str) -> Vectors:
    """A vector of length 1 that depends on every byte of ``text`` and means nothing."""
    raw = np.frombuffer(hashlib.shake_256(text.encode()).digest(DIMENSIONS * 4), dtype="<i4")
    return (raw / np.linalg.norm(raw.astype(np.float64))).astype(np.float32)
