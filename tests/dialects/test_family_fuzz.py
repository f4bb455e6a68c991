"""Whatever JSON a client sends, a dialect reads it or raises ValidationException."""

import contextlib
from types import ModuleType
from typing import Any

import pytest
from family_recordings import models
from hypothesis import given, settings, strategies as st

from outcrop.dialects import (
    cohere_command,
    cohere_command_r,
    cohere_embed,
    deepseek,
    jamba,
    jurassic2,
    llama,
    mistral,
    mistral_chat,
    openai_chat,
    titan_embed,
)
from outcrop.errors import ValidationException
from outcrop.generation import Generation, Text, Turn

MODELS: dict[str, ModuleType] = {
    "cohere.command-text-v14": cohere_command,
    "cohere.command-r-v1:0": cohere_command_r,
    "cohere.embed-english-v3": cohere_embed,
    "cohere.embed-v4:0": cohere_embed,
    "deepseek.r1-v1:0": deepseek,
    "ai21.jamba-1-5-mini-v1:0": jamba,
    "ai21.j2-mid-v1": jurassic2,
    "meta.llama3-8b-instruct-v1:0": llama,
    "mistral.mistral-7b-instruct-v0:2": mistral,
    "mistral.mistral-large-2407-v1:0": mistral_chat,
    "openai.gpt-oss-20b-1:0": openai_chat,
    "amazon.titan-embed-text-v1": titan_embed,
    "amazon.titan-embed-text-v2:0": titan_embed,
    "amazon.titan-embed-image-v1": titan_embed,
}
WORDS = [
    *("prompt", "message", "messages", "inputText", "texts", "input_type", "temperature", "top_p"),
    *(
        "p",
        "k",
        "top_k",
        "topP",
        "max_tokens",
        "max_gen_len",
        "maxTokens",
        "stop",
        "stop_sequences",
    ),
    *(
        "logit_bias",
        "truncate",
        "tools",
        "tool_choice",
        "tool_results",
        "chat_history",
        "documents",
    ),
    *("presencePenalty", "scale", "applyToEmojis", "role", "content", "tool_calls", "tool_call_id"),
    *("function", "name", "arguments", "parameters", "parameter_definitions", "type", "required"),
    *("call", "outputs", "embedding_types", "embeddingTypes", "dimensions", "response_format"),
    *("num_generations", "return_likelihoods", "json_schema", "schema", "n", "seed", "preamble"),
]
VALUES = ["user", "assistant", "tool", "system", "USER", "CHATBOT", "END", "ALL", "function", "str"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from([*VALUES, "search_query", "float", "auto", "json_schema", "{}", "\ud800"]),
    st.sampled_from([0, 1, 2, 0.5]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=5),
    ),
    max_leaves=24,
)


@pytest.mark.parametrize("model_id", MODELS)
@settings(deadline=None, max_examples=60)
@given(body=JSON)
def test_any_json_is_read_or_refused(model_id: str, body: Any) -> None:
    with contextlib.suppress(ValidationException):
        MODELS[model_id].parse(body, models()[model_id])


QUESTIONS: dict[str, Any] = {
    "prompt": "hello",
    "message": "hello",
    "messages": [{"role": "user", "content": "hello"}],
    "inputText": "hello",
    "texts": ["hello"],
}
TEXT_MODELS = [each for each in MODELS if "EMBEDDING" not in models()[each].output_modalities]


@pytest.mark.parametrize("model_id", MODELS)
@settings(deadline=None, max_examples=60)
@given(name=st.sampled_from(WORDS), value=JSON)
def test_a_right_body_with_any_member_is_read_or_refused(
    model_id: str, name: str, value: Any
) -> None:
    for question in QUESTIONS:
        body = {question: QUESTIONS[question], "input_type": "clustering", name: value}
        if "EMBEDDING" not in models()[model_id].output_modalities and name != "input_type":
            del body["input_type"]
        with contextlib.suppress(ValidationException):
            MODELS[model_id].parse(body, models()[model_id])


@pytest.mark.parametrize("model_id", TEXT_MODELS)
@settings(deadline=None, max_examples=40)
@given(fields=st.dictionaries(st.sampled_from(WORDS), JSON, max_size=3))
def test_any_converse_fields_are_read_or_refused(model_id: str, fields: dict[str, Any]) -> None:
    base = Generation((Turn("user", (Text("hi"),)),), 7)
    with contextlib.suppress(ValidationException):
        MODELS[model_id].extend(base, fields, models()[model_id])
