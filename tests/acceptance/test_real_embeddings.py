"""Embeddings of the default model through boto3: dimensions, lengths, order, limits."""

import json
import math
from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.engine

TITAN = "amazon.titan-embed-text-v1"
TITAN_2 = "amazon.titan-embed-text-v2:0"
COHERE = "cohere.embed-english-v3"
# Of each three the second means the like of the first, the third something else.
TRIPLES = [
    ("The cat sleeps on the sofa.", "A kitten naps on the couch.", "The stock market fell today."),
    ("How do I reset my password?", "I forgot my login credentials.", "What time does it close?"),
    ("Heavy rain flooded the streets.", "The storm caused floods in town.", "He plays the violin."),
    ("She bought a new car.", "A new vehicle was purchased by her.", "Tomatoes grow in summer."),
]


def invoke(runtime: Any, model: str, **body: Any) -> tuple[dict[str, Any], dict[str, str]]:
    answer = runtime.invoke_model(modelId=model, body=json.dumps(body))
    return json.loads(answer["body"].read()), answer["ResponseMetadata"]["HTTPHeaders"]


def cohere(runtime: Any, texts: list[str], **more: Any) -> list[list[float]]:
    answer, _ = invoke(runtime, COHERE, texts=texts, input_type="search_document", **more)
    return answer["embeddings"]


def length(vector: list[float]) -> float:
    return math.sqrt(sum(value * value for value in vector))


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / (length(one) * length(other))


def refusal(runtime: Any, model: str, **body: Any) -> str:
    with pytest.raises(ClientError) as caught:
        invoke(runtime, model, **body)
    answer: Any = caught.value.response
    assert answer["Error"]["Code"] == "ValidationException"
    return answer["Error"]["Message"]


def test_titan_gives_1536_numbers_and_counts_its_tokens(runtime: Any) -> None:
    answer, headers = invoke(runtime, TITAN, inputText="hello world")
    assert len(answer["embedding"]) == 1536
    assert answer["inputTextTokenCount"] == int(headers["x-amzn-bedrock-input-token-count"]) > 0
    assert headers["x-outcrop-served-by"]


def test_titan_2_gives_unit_vectors_of_the_size_asked_for(runtime: Any) -> None:
    for size in (1024, 512):
        answer, _ = invoke(runtime, TITAN_2, inputText="hello", dimensions=size, normalize=True)
        assert len(answer["embedding"]) == size
        assert length(answer["embedding"]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("model", [TITAN, TITAN_2, COHERE])
def test_what_means_the_like_is_closer(runtime: Any, model: str) -> None:
    for texts in TRIPLES:
        if model == COHERE:
            vectors = cohere(runtime, list(texts))
        else:
            vectors = [invoke(runtime, model, inputText=text)[0]["embedding"] for text in texts]
        near, far = cosine(vectors[0], vectors[1]), cosine(vectors[0], vectors[2])
        assert near > far + 0.15, texts


def test_cohere_takes_128_texts_a_call_and_keeps_their_order(runtime: Any) -> None:
    texts = [f"text number {number}" for number in range(128)]
    vectors = cohere(runtime, texts)
    assert {len(vector) for vector in vectors} == {1024}
    assert len(vectors) == 128
    for number in (0, 77, 127):
        assert cosine(vectors[number], cohere(runtime, [texts[number]])[0]) > 0.999
    assert "maximum item count: 128, found: 129" in refusal(
        runtime, COHERE, texts=["a"] * 129, input_type="search_document"
    )


def test_cohere_cuts_or_refuses_a_long_text_as_truncate_says(runtime: Any) -> None:
    # At most 2,048 characters, and more tokens than the 512 the model reads.
    text = f"money {'7 ' * 900}violin"
    start = cohere(runtime, [text], truncate="START")[0]
    end = cohere(runtime, [text], truncate="END")[0]
    first = cohere(runtime, [f"money {'7 ' * 300}"])[0]
    last = cohere(runtime, [f"{'7 ' * 300}violin"])[0]
    assert cosine(end, first) > cosine(start, first)
    assert cosine(start, last) > cosine(end, last)
    message = refusal(runtime, COHERE, texts=[text], input_type="search_document", truncate="NONE")
    assert message == "Input is too long for requested model."


def test_titan_refuses_a_text_beyond_its_limit(runtime: Any) -> None:
    message = refusal(runtime, TITAN, inputText="river mountain " * 6000)
    assert "Too many input tokens" in message or "too long" in message or "maxLength" in message


def test_no_text_is_no_vector(runtime: Any) -> None:
    answer, _ = invoke(runtime, COHERE, texts=[], input_type="search_document")
    assert answer["embeddings"] == []
    assert refusal(runtime, TITAN, inputText="")
