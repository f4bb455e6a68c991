"""What an engine is: something that computes and knows no model family.

Errors below are all an engine may raise, besides bugs; ``services`` turns them into AWS errors.

    EngineError
    ├── InputTooLong      the prompt does not fit (nothing was generated)
    ├── Unsupported       a parameter is set to a value this engine cannot honour
    ├── EngineRefused     what the caller asked for is refused, in words meant for the caller
    ├── EngineBusy        the queue is full: try again
    ├── EngineNotReady    the engine is starting or loading: try again
    ├── EngineTimeout     no answer within the engine's time limit
    ├── EngineGone        the process or the connection was lost, before or while it answered
    └── EngineFailed      the engine itself reported an error
"""

from collections.abc import AsyncGenerator
from typing import Annotated, Protocol

import msgspec

from outcrop.generation import EmbeddingRequest, Embeddings, Event, Generation

TokenCount = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
"""As another server tells it: no other number can be one, and goes into quotas and onto bills."""


class EngineError(Exception):
    pass


class InputTooLong(EngineError):
    def __init__(self, limit: int, received: int) -> None:
        super().__init__(f"the input has {received} tokens, the limit is {limit}")
        self.limit = limit
        self.received = received


class Unsupported(EngineError):
    def __init__(self, parameter: str, value: object, engine: str) -> None:
        super().__init__(f"{parameter}={value!r} cannot be honoured by the engine {engine!r}")
        self.parameter = parameter
        self.value = value
        self.engine = engine


class EngineRefused(EngineError):
    pass


class EngineBusy(EngineError):
    pass


class EngineNotReady(EngineError):
    pass


class EngineTimeout(EngineError):
    pass


class EngineGone(EngineError):
    pass


class EngineFailed(EngineError):
    pass


class Engine(Protocol):
    """Closing the iterator of ``generate`` stops the generation in the engine itself."""

    name: str

    served_by: str
    """What truly answers, for x-outcrop-served-by: ``llama.cpp/SmolLM2-135M-Instruct.Q4_1``."""

    def generate(self, generation: Generation) -> AsyncGenerator[Event]:
        """Events of one answer (``count`` is the caller's affair: an engine produces one)."""
        ...

    async def count_tokens(self, generation: Generation) -> int:
        """Tokens the prompt of ``generation`` would have, by the engine's own tokenizer."""
        ...

    async def embed(self, request: EmbeddingRequest) -> Embeddings: ...

    async def close(self) -> None: ...
