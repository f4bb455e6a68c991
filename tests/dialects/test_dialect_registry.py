"""Which module speaks for which model."""

from dataclasses import replace

import pytest
from family_recordings import models

from outcrop.catalog.model import Model
from outcrop.dialects import (
    NoDialect,
    cohere_embed,
    embedding_dialect,
    llama,
    nova,
    text_dialect,
)


def test_a_models_dialect_is_the_module_of_that_name() -> None:
    assert text_dialect(models()["meta.llama2-13b-chat-v1"]) is llama
    assert text_dialect(models()["amazon.nova-lite-v1:0"]) is nova
    assert embedding_dialect(models()["cohere.embed-english-v3"]) is cohere_embed


def test_a_dialect_that_is_not_built_is_named() -> None:
    model = replace(models()["meta.llama2-13b-chat-v1"], dialect="morse")
    for find in (text_dialect, embedding_dialect):
        with pytest.raises(NoDialect, match=r"its format \(morse\) is not available"):
            find(model)


def _answers_text(model: Model) -> bool:
    return model.output_modalities == ("TEXT",)


def test_every_text_and_embedding_model_of_the_catalog_has_its_dialect() -> None:
    for model in models().values():
        if _answers_text(model):
            assert text_dialect(model)
        elif "EMBEDDING" in model.output_modalities:
            assert embedding_dialect(model)
