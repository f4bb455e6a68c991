"""The dialects by the name that a model's ``dialect`` gives. A new family is a line here."""

from collections.abc import Mapping
from typing import Final, TypeVar

from outcrop.catalog.model import Model
from outcrop.dialects import (
    anthropic,
    cohere_command,
    cohere_command_r,
    cohere_embed,
    deepseek,
    jamba,
    jurassic2,
    llama,
    mistral,
    mistral_chat,
    nova,
    openai_chat,
    titan_embed,
    titan_text,
)
from outcrop.dialects.protocol import EmbeddingDialect, TextDialect

Dialect = TypeVar("Dialect", TextDialect, EmbeddingDialect)

_TEXT: Final[Mapping[str, TextDialect]] = {
    "anthropic": anthropic,
    "cohere_command": cohere_command,
    "cohere_command_r": cohere_command_r,
    "deepseek": deepseek,
    "jamba": jamba,
    "jurassic2": jurassic2,
    "llama": llama,
    "mistral": mistral,
    "mistral_chat": mistral_chat,
    "nova": nova,
    "openai_chat": openai_chat,
    "titan_text": titan_text,
}
_EMBEDDING: Final[Mapping[str, EmbeddingDialect]] = {
    "cohere_embed": cohere_embed,
    "titan_embed": titan_embed,
}


class NoDialect(Exception):
    """No module here speaks the InvokeModel JSON of this model."""

    def __init__(self, model: Model) -> None:
        super().__init__(
            f"{model.id} cannot be invoked in this deployment: "
            f"its format ({model.dialect}) is not available."
        )
        self.model = model


def text_dialect(model: Model) -> TextDialect:
    """The dialect of a model that answers text, or raises NoDialect."""
    return _find(_TEXT, model)


def embedding_dialect(model: Model) -> EmbeddingDialect:
    """The dialect of a model that embeds, or raises NoDialect."""
    return _find(_EMBEDDING, model)


def _find(dialects: Mapping[str, Dialect], model: Model) -> Dialect:
    found = dialects.get(model.dialect)
    if found is None:
        raise NoDialect(model)
    return found
