"""What a dialect is: a module of pure functions for one model family's InvokeModel JSON.

A module listed in ``dialects/__init__.py`` is the dialect; these protocols type it. A dialect never
hears of HTTP or engines. It raises ``ValidationException`` with AWS's text, and where AWS denies
access instead (a cache point the model does not take) that; nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from outcrop.catalog.model import Model
from outcrop.generation import Completion, EmbeddingRequest, Embeddings, Event, Generation


@dataclass(frozen=True, slots=True)
class Rendering:
    """What a rendered answer may need besides the answer itself. ``body`` is the parsed request."""

    body: Mapping[str, Any]
    model: Model
    request_id: str
    elapsed_ms: Callable[[], int]


class Chunks(Protocol):
    """The state of one stream: events in, the family's own chunk objects out, in order.

    ``index`` tells which of several answers (``Generation.count``) an event belongs to. The last
    object returned for the last ``Finished`` carries amazon-bedrock-invocationMetrics, which the
    service adds.
    """

    def feed(self, event: Event, index: int = 0) -> list[dict[str, Any]]: ...


class TextDialect(Protocol):
    """``parse`` validates and reads a body; ``render`` writes the answers (``Generation.count``
    of them); ``extend`` applies Converse's additionalModelRequestFields."""

    def parse(self, body: Any, model: Model) -> Generation: ...

    def render(self, answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]: ...

    def chunks(self, rendering: Rendering) -> Chunks: ...

    def extend(
        self, generation: Generation, fields: Mapping[str, Any], model: Model
    ) -> Generation: ...


class EmbeddingDialect(Protocol):
    def parse(self, body: Any, model: Model) -> EmbeddingRequest: ...

    def render(self, embeddings: Embeddings, rendering: Rendering) -> dict[str, Any]: ...
