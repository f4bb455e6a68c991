"""Amazon Titan embeddings of text: G1 takes a text and nothing else, V2 sizes and types as well.

The catalog's facts choose the form: a model that takes images speaks the multimodal one (texts only
here), one with several dimensions V2's. Binary embeddings hold 1 for each positive number and 0 for
the others, one element a dimension.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects import schema, settings
from outcrop.dialects.protocol import Rendering
from outcrop.errors import ValidationException
from outcrop.generation import EmbeddingRequest, Embeddings

_MAX_TOKENS: Final = 8192
# AWS leaves the pointer out of its messages about the text.
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 50_000, "bare": True}

_HAS_TEXT: Final = {"required": ["inputText"]}
_HAS_IMAGE: Final = {"required": ["inputImage"]}


def _body(model: Model) -> dict[str, Any]:
    if _is_multimodal(model):
        length = {"type": "integer", "enum": list(model.dimensions)}
        config = settings.closed({"outputEmbeddingLength": length})
        members = {"inputText": _TEXT, "inputImage": {"type": "string"}, "embeddingConfig": config}
        return {**settings.closed(members), "anyOf": [_HAS_TEXT, _HAS_IMAGE]}
    if not _is_sized(model):
        return settings.closed({"inputText": _TEXT}, "inputText")
    return settings.closed(
        {
            "inputText": _TEXT,
            "dimensions": {"type": "integer", "enum": list(model.dimensions)},
            "normalize": {"type": "boolean"},
            "embeddingTypes": {
                "type": "array",
                "minItems": 1,
                "maxItems": 2,
                "items": {"type": "string", "enum": ["float", "binary"]},
            },
        },
        "inputText",
    )


_SCHEMA: Final = schema.per_model(_body)


def _is_sized(model: Model) -> bool:
    return len(model.dimensions) > 1


def _is_multimodal(model: Model) -> bool:
    return "IMAGE" in model.input_modalities


def parse(body: Any, model: Model) -> EmbeddingRequest:
    schema.check(_SCHEMA(model), body)
    if "inputImage" in body:
        raise ValidationException("Image embeddings are not available in this deployment.")
    return EmbeddingRequest(
        texts=(body["inputText"],),
        dimensions=_dimensions(body, model),
        max_tokens=model.max_input_tokens or _MAX_TOKENS,
        # G1's recorded vectors have lengths far from one.
        normalize=_is_sized(model) and body.get("normalize", True),
    )


def _dimensions(body: Mapping[str, Any], model: Model) -> int:
    wanted = body.get("dimensions")
    if _is_multimodal(model):
        wanted = body.get("embeddingConfig", {}).get("outputEmbeddingLength")
    return wanted or schema.default(model, "dimensions", max(model.dimensions))


def render(embeddings: Embeddings, rendering: Rendering) -> dict[str, Any]:
    vector = list(embeddings.vectors[0])
    counted = {"inputTextTokenCount": embeddings.input_tokens[0]}
    if _is_multimodal(rendering.model):
        return {"embedding": vector, **counted, "message": None}
    if not _is_sized(rendering.model):
        return {"embedding": vector, **counted}
    return {"embedding": vector, "embeddingsByType": _by_type(vector, rendering.body), **counted}


def _by_type(vector: Sequence[float], body: Mapping[str, Any]) -> dict[str, Any]:
    wanted = body.get("embeddingTypes", ["float"])
    forms = {"float": lambda: list(vector), "binary": lambda: [int(x > 0) for x in vector]}
    return {name: forms[name]() for name in dict.fromkeys(wanted)}
