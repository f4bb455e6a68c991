"""Cohere Embed v3 and v4, texts only: a list of texts in, a vector each out, in the types wanted.

A model with several dimensions in the catalog speaks the v4 form. Cohere does not publish the scale
of its int8 embeddings. Ours is one scale for all vectors of a dimension, so that products stay
comparable: four standard deviations of a unit vector's elements reach the ends of the range.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects import schema, settings
from outcrop.dialects.protocol import Rendering
from outcrop.generation import EmbeddingRequest, Embeddings, Truncate

_V3_TOKENS: Final = 512
_V4_TOKENS: Final = 128_000
_REACH: Final = 4
# Both the words of the documents (LEFT, RIGHT) and today's are taken.
_TRUNCATE: Final[Mapping[str, Truncate]] = {
    "NONE": "none",
    "START": "start",
    "LEFT": "start",
    "END": "end",
    "RIGHT": "end",
}
_INPUT_TYPES: Final = ["search_document", "search_query", "classification", "clustering"]


def _body(model: Model) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string"}
    members: dict[str, Any] = {
        "texts": {"type": "array", "maxItems": 128, "items": text},
        "input_type": {"type": "string", "enum": _INPUT_TYPES},
        "truncate": {"type": "string", "enum": list(_TRUNCATE)},
        "embedding_types": {
            "type": "array",
            "minItems": 1,
            "maxItems": len(_FORMS),
            "items": {"type": "string", "enum": list(_FORMS)},
        },
    }
    if _is_sized(model):
        members["output_dimension"] = {"type": "integer", "enum": list(model.dimensions)}
        members["max_tokens"] = {"type": "integer", "minimum": 1, "maximum": _limit(model)}
    else:
        text["maxLength"] = 2048
    return settings.closed(members, "texts", "input_type")


def _is_sized(model: Model) -> bool:
    return len(model.dimensions) > 1


def _limit(model: Model) -> int:
    return model.max_input_tokens or (_V4_TOKENS if _is_sized(model) else _V3_TOKENS)


def parse(body: Any, model: Model) -> EmbeddingRequest:
    schema.check(_SCHEMA(model), body)
    return EmbeddingRequest(
        texts=tuple(body["texts"]),
        dimensions=body.get(
            "output_dimension", schema.default(model, "output_dimension", max(model.dimensions))
        ),
        max_tokens=body.get("max_tokens", _limit(model)),
        truncate=_TRUNCATE[body.get("truncate", schema.default(model, "truncate", "NONE"))],
        input_type=body["input_type"],
    )


def render(embeddings: Embeddings, rendering: Rendering) -> dict[str, Any]:
    wanted = rendering.body.get("embedding_types")
    if wanted is None and not _is_sized(rendering.model):
        vectors: Any = [list(vector) for vector in embeddings.vectors]
        response_type = "embeddings_floats"
    else:
        vectors = {
            name: [_FORMS[name](vector) for vector in embeddings.vectors]
            for name in dict.fromkeys(wanted or ["float"])
        }
        response_type = "embeddings_by_type"
    return {
        "embeddings": vectors,
        "id": rendering.request_id,
        "response_type": response_type,
        "texts": _echo(rendering.body["texts"], rendering.model),
    }


def _echo(texts: Sequence[str], model: Model) -> list[str]:
    # The English model knows no case, and its answers show the texts as it read them.
    return [text.lower() for text in texts] if "embed-english" in model.id else list(texts)


def _int8(vector: Sequence[float]) -> list[int]:
    scale = 127 * math.sqrt(len(vector)) / _REACH
    return [max(-128, min(127, round(x * scale))) for x in vector]


def _uint8(vector: Sequence[float]) -> list[int]:
    return [x + 128 for x in _int8(vector)]


def _ubinary(vector: Sequence[float]) -> list[int]:
    """Eight dimensions a byte, the first in the highest bit; a bit is set for a positive number."""
    return [
        sum(1 << (7 - place) for place, x in enumerate(vector[first : first + 8]) if x > 0)
        for first in range(0, len(vector), 8)
    ]


def _binary(vector: Sequence[float]) -> list[int]:
    return [byte - 128 for byte in _ubinary(vector)]


_FORMS: Final[Mapping[str, Callable[[Sequence[float]], list[Any]]]] = {
    "float": list,
    "int8": _int8,
    "uint8": _uint8,
    "binary": _binary,
    "ubinary": _ubinary,
}
_SCHEMA: Final = schema.per_model(_body)
