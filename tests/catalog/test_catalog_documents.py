"""The catalog against the tables of the source documents; IDs of requirements stand in comments."""

import pytest

from outcrop.catalog.load import load_catalog
from outcrop.catalog.model import Model, Parameter
from outcrop.config import Config

CATALOG = load_catalog(Config())


def get(model_id: str) -> Model:
    return CATALOG.get(model_id, "us-east-1")


# AP-30..AP-44 with OV-08..OV-13: ID, name, provider.
BASE_MODELS = [
    ("ai21.j2-mid-v1", "Jurassic-2 Mid", "AI21 Labs"),
    ("ai21.j2-ultra-v1", "Jurassic-2 Ultra", "AI21 Labs"),
    ("amazon.titan-text-lite-v1", "Titan Text G1 - Lite", "Amazon"),
    ("amazon.titan-text-express-v1", "Titan Text G1 - Express", "Amazon"),
    ("amazon.titan-text-agile-v1", "Titan Text G1 - Agile", "Amazon"),
    ("amazon.titan-embed-text-v1", "Titan Embeddings G1 - Text", "Amazon"),
    ("anthropic.claude-v1", "Claude", "Anthropic"),
    ("anthropic.claude-v2", "Claude", "Anthropic"),
    ("anthropic.claude-instant-v1", "Claude Instant", "Anthropic"),
    ("cohere.command-text-v14", "Command", "Cohere"),
    ("cohere.command-light-text-v14", "Command Light", "Cohere"),
    ("cohere.embed-english-v3", "Embed English", "Cohere"),
    ("cohere.embed-multilingual-v3", "Embed Multilingual", "Cohere"),
    ("meta.llama2-13b-chat-v1", "Llama 2 Chat 13B", "Meta"),
    ("stability.stable-diffusion-xl-v0", "SDXL 0.8", "Stability AI"),
]


@pytest.mark.parametrize(("model_id", "name", "provider"), BASE_MODELS)
def test_the_documents_base_model_is_called_on_demand(
    model_id: str, name: str, provider: str
) -> None:
    model = get(model_id)
    assert (model.name, model.provider) == (name, provider)
    assert model.inference_types == ("ON_DEMAND",)
    assert model.customizations == ()


# PT-13..PT-19; the last of them in the documents' own spelling (C-28).
@pytest.mark.parametrize(
    ("model_id", "base_id", "context_tokens"),
    [
        ("amazon.titan-text-express-v1:0:8k", "amazon.titan-text-express-v1", 8192),
        ("amazon.titan-embed-text-v1:2:8k", "amazon.titan-embed-text-v1", 8192),
        ("anthropic.claude-v2:0:18k", "anthropic.claude-v2", 18_000),
        ("anthropic.claude-v2:0:100k", "anthropic.claude-v2", 100_000),
        ("anthropic.claude-instant-v1:2:100K", "anthropic.claude-instant-v1", 100_000),
        ("stability.stable-diffusion-xl-v1:0", "stability.stable-diffusion-xl-v1", 77),
        ("meta.llama2-13b-chat-v1:0:4k", "meta.llama2-13b-chat-v1", 4096),
    ],
)
def test_the_documents_provisioned_id_is_provisioned_only(
    model_id: str, base_id: str, context_tokens: int
) -> None:
    model = get(model_id)
    assert model.inference_types == ("PROVISIONED",)
    assert (model.base_id, model.context_tokens) == (base_id, context_tokens)


def test_stable_diffusion_1_is_not_called_on_demand() -> None:
    # OV-14. Its quota of on-demand requests (QU-14) contradicts that: C-05.
    model = get("stability.stable-diffusion-xl-v1")
    assert model.inference_types == ("PROVISIONED",)
    assert model.quotas == {"requests_per_minute": 60}


def test_every_text_model_streams_but_jurassic_2() -> None:
    # AP-26.
    for model in CATALOG.all():
        if model.output_modalities == ("TEXT",):
            assert model.streaming == (model.dialect != "jurassic2"), model.id
        else:
            assert not model.streaming, model.id


# QU-03..QU-13.
@pytest.mark.parametrize(
    ("model_id", "requests", "tokens"),
    [
        ("amazon.titan-text-express-v1", 400, 300_000),
        ("amazon.titan-embed-text-v1", 2000, 300_000),
        ("anthropic.claude-instant-v1", 400, 300_000),
        ("anthropic.claude-v2", 100, 200_000),
        ("ai21.j2-mid-v1", 400, 300_000),
        ("ai21.j2-ultra-v1", 100, 300_000),
        ("cohere.command-text-v14", 400, 300_000),
        ("cohere.command-light-text-v14", 400, 300_000),
        ("cohere.embed-english-v3", 400, 300_000),
        ("cohere.embed-multilingual-v3", 400, 300_000),
        ("meta.llama2-13b-chat-v1", 800, 300_000),
    ],
)
def test_quotas_are_the_documents(model_id: str, requests: int, tokens: int) -> None:
    assert get(model_id).quotas == {"requests_per_minute": requests, "tokens_per_minute": tokens}


# IP rows; where today's service takes more (D12), its maximum: the document's stands behind.
@pytest.mark.parametrize(
    ("model_id", "name", "minimum", "maximum", "default"),
    [
        ("amazon.titan-text-lite-v1", "temperature", 0, 1, 0),  # IP-11
        ("amazon.titan-text-express-v1", "topP", 0, 1, 1),  # IP-12
        ("amazon.titan-text-lite-v1", "maxTokenCount", 0, 8000, 512),  # IP-13
        ("amazon.titan-text-express-v1", "maxTokenCount", 0, 8192, 512),  # 8000
        ("anthropic.claude-v1", "temperature", 0, 1, None),  # IP-23; default: dialect
        ("anthropic.claude-v2", "top_p", 0, 1, None),  # IP-24
        ("anthropic.claude-v2:0:18k", "top_k", 0, 500, None),  # IP-25
        ("anthropic.claude-instant-v1", "max_tokens_to_sample", 0, 8191, 200),  # IP-26, 4096
        ("ai21.j2-mid-v1", "temperature", 0, 1, 0.5),  # IP-30
        ("ai21.j2-ultra-v1", "topP", 0, 1, 0.5),  # IP-31
        ("ai21.j2-ultra-v1", "maxTokens", 0, 8191, 200),  # IP-32
        ("ai21.j2-grande-instruct", "maxTokens", 0, 2048, 200),  # IP-33
        ("ai21.j2-mid-v1", "presencePenalty.scale", 0, 5, 0),  # IP-34
        ("ai21.j2-mid-v1", "countPenalty.scale", 0, 1, 0),  # IP-35
        ("ai21.j2-mid-v1", "frequencyPenalty.scale", 0, 500, 0),  # IP-36
        ("cohere.command-text-v14", "logit_bias", -10, 10, None),  # IP-48
        ("cohere.command-text-v14", "num_generations", 1, 5, 1),  # IP-49
        ("cohere.command-light-text-v14", "temperature", 0, 5, 0.9),  # IP-51
        ("cohere.command-text-v14", "p", 0, 1, 0.75),  # IP-52
        ("cohere.command-text-v14", "k", 0, 500, 0),  # IP-53
        ("cohere.command-text-v14", "max_tokens", 1, 4096, 20),  # IP-55
        ("meta.llama2-13b-chat-v1", "temperature", 0, 1, 0.5),  # IP-72
        ("meta.llama2-13b-chat-v1", "top_p", 0, 1, 0.9),  # IP-73
        ("meta.llama2-13b-chat-v1", "max_gen_len", 1, 2048, 512),  # IP-74
        ("stability.stable-diffusion-xl-v0", "cfg_scale", 0, 35, 10),  # IP-78, 30
        ("stability.stable-diffusion-xl-v0", "steps", 10, 150, 30),  # IP-79
    ],
)
def test_a_parameter_has_the_documents_range_and_default(
    model_id: str, name: str, minimum: float, maximum: float, default: float | None
) -> None:
    assert get(model_id).parameters[name] == Parameter(minimum, maximum, default)


def test_embeddings_have_the_documents_size() -> None:
    # EM-03, EM-04, IP-69.
    titan = get("amazon.titan-embed-text-v1")
    assert (titan.max_input_tokens, titan.dimensions) == (8192, (1536,))
    assert get("cohere.embed-english-v3").dimensions == (1024,)
    assert get("cohere.embed-multilingual-v3").dimensions == (1024,)


def test_text_and_text_embeddings_have_a_default_engine_and_nothing_else_has() -> None:
    engines = {"TEXT": "smollm2", "EMBEDDING": "minilm", "IMAGE": None}
    for model in CATALOG.all():
        # Its vectors place pictures and texts in one space, which the default engine cannot.
        is_multimodal = model.id.startswith("amazon.titan-embed-image-v1")
        (made,) = model.output_modalities
        assert model.engine == (None if is_multimodal else engines[made]), model.id
