"""Titan and Cohere embeddings: what a request may hold, and what its vectors become."""

import math
from typing import Any

import pytest
from family_recordings import models, rendering

from outcrop.dialects import cohere_embed, titan_embed
from outcrop.errors import ValidationException
from outcrop.generation import EmbeddingRequest, Embeddings

G1 = models()["amazon.titan-embed-text-v1"]
V2 = models()["amazon.titan-embed-text-v2:0"]
MULTIMODAL = models()["amazon.titan-embed-image-v1"]
ENGLISH = models()["cohere.embed-english-v3"]
MULTILINGUAL = models()["cohere.embed-multilingual-v3"]
V4 = models()["cohere.embed-v4:0"]
VECTOR = [0.5, -0.5, 0.0, 0.001, -0.7, 0.1, 0.2, 0.3, -1.0]
ONE = Embeddings((VECTOR,), (3,))


def test_titan_g1_takes_a_text_and_nothing_else() -> None:
    assert titan_embed.parse({"inputText": "x"}, G1) == EmbeddingRequest(
        ("x",), 1536, 8192, normalize=False
    )
    with pytest.raises(ValidationException, match=r"extraneous key \[normalize\]"):
        titan_embed.parse({"inputText": "x", "normalize": True}, G1)
    assert titan_embed.render(ONE, rendering(G1, {"inputText": "x"})) == {
        "embedding": VECTOR,
        "inputTextTokenCount": 3,
    }


@pytest.mark.parametrize("model", [G1, V2], ids=lambda model: model.id)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ([], "expected type: String, found: JSONArray"),
        ("", "expected minLength: 1, actual: 0"),
        ("x" * 50_001, "expected maxLength: 50000, actual: 50001"),
    ],
)
def test_titan_refuses_a_text_as_the_service_does(model: Any, text: Any, told: str) -> None:
    with pytest.raises(ValidationException) as caught:
        titan_embed.parse({"inputText": text}, model)
    assert caught.value.message == (
        f"Malformed input request: {told}, please reformat your input and try again."
    )


def test_titan_v2_sizes_normalizes_and_types() -> None:
    assert titan_embed.parse({"inputText": "x"}, V2) == EmbeddingRequest(("x",), 1024, 8192)
    sized = titan_embed.parse({"inputText": "x", "dimensions": 256, "normalize": False}, V2)
    assert (sized.dimensions, sized.normalize) == (256, False)
    body = {"inputText": "x", "embeddingTypes": ["binary", "float"]}
    assert titan_embed.render(ONE, rendering(V2, body))["embeddingsByType"] == {
        "binary": [1, 0, 0, 1, 0, 1, 1, 1, 0],
        "float": VECTOR,
    }


@pytest.mark.parametrize(
    "body",
    [{"dimensions": 300}, {"dimensions": None}, {"embeddingTypes": []}, {"embeddingTypes": ["x"]}],
)
def test_titan_v2_refuses_what_it_does_not_offer(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationException):
        titan_embed.parse({"inputText": "x", **body}, V2)


def test_multimodal_titan_embeds_texts_and_refuses_images() -> None:
    body = {"inputText": "x", "embeddingConfig": {"outputEmbeddingLength": 384}}
    assert titan_embed.parse(body, MULTIMODAL).dimensions == 384
    answer = titan_embed.render(ONE, rendering(MULTIMODAL, body))
    assert answer == {"embedding": VECTOR, "inputTextTokenCount": 3, "message": None}
    for refused in ({}, {"inputImage": "aGk="}, {"inputText": "x", "inputImage": "aGk="}):
        with pytest.raises(ValidationException):
            titan_embed.parse(refused, MULTIMODAL)


def cohere(model: Any = ENGLISH, **body: Any) -> EmbeddingRequest:
    return cohere_embed.parse({"texts": ["x"], "input_type": "search_query", **body}, model)


@pytest.mark.parametrize("count", [0, 1, 96, 128])
def test_cohere_takes_up_to_128_texts(count: int) -> None:
    assert cohere(texts=["x" * 2048] * count).texts == ("x" * 2048,) * count


@pytest.mark.parametrize(
    ("given", "becomes"),
    [("NONE", "none"), ("START", "start"), ("LEFT", "start"), ("END", "end"), ("RIGHT", "end")],
)
def test_cohere_truncates_by_either_spelling(given: str, becomes: str) -> None:
    assert cohere(truncate=given).truncate == becomes


def test_cohere_leaves_a_text_whole_unless_told() -> None:
    request = cohere()
    assert (request.truncate, request.dimensions, request.max_tokens) == ("none", 1024, 512)
    assert request.input_type == "search_query"


@pytest.mark.parametrize(
    "body",
    [
        {"texts": ["x"] * 129},
        {"texts": ["x" * 2049]},
        {"texts": "x"},
        {"input_type": "image"},
        {"input_type": None},
        {"truncate": "MIDDLE"},
        {"embedding_types": []},
        {"embedding_types": ["float16"]},
        {"images": ["data:"]},
        {"output_dimension": 512},
    ],
)
def test_cohere_refuses_what_it_does_not_offer(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationException):
        cohere(**body)


def test_cohere_names_the_text_that_is_too_long() -> None:
    with pytest.raises(
        ValidationException, match="#/texts/1: expected maxLength: 2048, actual: 4680"
    ):
        cohere(texts=["x", "x" * 4680])


def test_cohere_v4_has_dimensions_a_token_limit_and_no_character_limit() -> None:
    request = cohere(V4, texts=["x" * 3000], output_dimension=256, max_tokens=9)
    assert (request.dimensions, request.max_tokens) == (256, 9)
    assert cohere(V4).dimensions == 1536
    with pytest.raises(ValidationException):
        cohere(V4, output_dimension=300)


def test_cohere_echoes_texts_in_lower_case_only_where_the_model_knows_no_case() -> None:
    body = {"texts": ["ÀB"], "input_type": "search_query"}
    echoes = {
        model.id: cohere_embed.render(ONE, rendering(model, body))["texts"]
        for model in (ENGLISH, MULTILINGUAL, V4)
    }
    assert list(echoes.values()) == [["àb"], ["ÀB"], ["ÀB"]]


def test_cohere_packs_signs_into_bytes() -> None:
    body = {"texts": ["x"], "embedding_types": ["ubinary", "binary", "float"]}
    answer = cohere_embed.render(ONE, rendering(ENGLISH, body))
    assert answer["response_type"] == "embeddings_by_type"
    assert answer["embeddings"] == {
        "ubinary": [[0b10010111, 0]],
        "binary": [[0b10010111 - 128, -128]],
        "float": [VECTOR],
    }


def test_cohere_integers_keep_the_direction_of_a_vector() -> None:
    vector = [math.sin(i * i + 1) for i in range(1024)]
    length = math.hypot(*vector)
    unit = [x / length for x in vector]
    body = {"texts": ["x"], "embedding_types": ["int8", "uint8"]}
    made = cohere_embed.render(Embeddings((unit,), (1,)), rendering(ENGLISH, body))["embeddings"]
    (signed,), (unsigned,) = made["int8"], made["uint8"]
    assert all(-128 <= x <= 127 for x in signed)
    assert unsigned == [x + 128 for x in signed]
    cosine = sum(a * b for a, b in zip(unit, signed, strict=True)) / math.hypot(*signed)
    assert cosine > 0.999
