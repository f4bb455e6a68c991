"""Rows of the requirements that are about calls as a whole, through boto3 and a running server."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from outcrop.catalog.load import load_models

CLAUDE, TITAN = "anthropic.claude-v2", "amazon.titan-text-lite-v1"
MESSAGES = [{"role": "user", "content": "hello"}]
# The least body of each dialect: AP-14.
BODIES: dict[str, dict[str, Any]] = {
    "cohere_command": {"prompt": "hello", "max_tokens": 9},
    "cohere_command_r": {"message": "hello"},
    "deepseek": {"prompt": "hello"},
    "jamba": {"messages": MESSAGES},
    "jurassic2": {"prompt": "hello"},
    "llama": {"prompt": "hello"},
    "mistral": {"prompt": "<s>[INST] hello [/INST]"},
    "mistral_chat": {"messages": MESSAGES},
    "nova": {"messages": [{"role": "user", "content": [{"text": "hello"}]}]},
    "openai_chat": {"messages": MESSAGES},
    "titan_text": {"inputText": "hello"},
}
COMPLETION = {"prompt": "\n\nHuman: hello\n\nAssistant:"}
CHAT = {"anthropic_version": "any", "max_tokens": 9, "messages": MESSAGES}


def body_of(model_id: str) -> dict[str, Any]:
    model = load_models().by_id[model_id]
    if model.dialect == "anthropic":
        return COMPLETION if "completions" in model.supports else CHAT
    return BODIES[model.dialect]


def invoke(runtime: Any, model_id: str, body: dict[str, Any], **members: Any) -> Any:
    return runtime.invoke_model(modelId=model_id, body=json.dumps(body), **members)


def refusal(call: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error: Any = caught.value.response
    return error["Error"]["Code"], error["Error"]["Message"]


def test_every_listed_text_model_answers_by_id_and_by_arn(
    scripted_gateway: Any, scripted_runtime: Any
) -> None:
    listed = scripted_gateway.client("bedrock").list_foundation_models(
        byOutputModality="TEXT", byInferenceType="ON_DEMAND"
    )["modelSummaries"]
    assert len({model["providerName"] for model in listed}) > 5
    for model in listed:
        body = body_of(model["modelId"])
        for identifier in (model["modelId"], model["modelArn"]):
            answer = invoke(scripted_runtime, identifier, body)
            assert "hello" in answer["body"].read().decode(), identifier


def test_an_answer_ends_at_the_tokens_asked_for(scripted_runtime: Any) -> None:
    prompt = '\n\nHuman: script: [{"tokens": 400}]\n\nAssistant:'
    answer = invoke(scripted_runtime, CLAUDE, {"prompt": prompt, "max_tokens_to_sample": 300})
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-bedrock-output-token-count"] == "300"
    assert json.loads(answer["body"].read())["stop_reason"] == "max_tokens"


def test_media_types_default_to_json_and_no_other_is_served(scripted_runtime: Any) -> None:
    body = {"inputText": "hello"}
    answer = invoke(scripted_runtime, TITAN, body)
    assert answer["contentType"] == "application/json"
    both = {"contentType": "application/json", "accept": "*/*"}
    named = invoke(scripted_runtime, TITAN, body, **both)
    assert json.loads(named["body"].read()) == json.loads(answer["body"].read())
    for member in both:
        code, message = refusal(
            lambda member=member: invoke(scripted_runtime, TITAN, body, **{member: "text/csv"})
        )
        assert code == "ValidationException"
        assert "not supported" in message


@pytest.mark.parametrize(
    ("model_id", "body"),
    [
        ("ai21.j2-mid-v1", {"prompt": "hello"}),
        ("cohere.embed-english-v3", {"texts": ["hello"], "input_type": "search_query"}),
    ],
)
def test_what_does_not_stream_says_so(
    scripted_runtime: Any, model_id: str, body: dict[str, Any]
) -> None:
    stream = scripted_runtime.invoke_model_with_response_stream
    told = refusal(lambda: stream(modelId=model_id, body=json.dumps(body)))
    assert told == ("ValidationException", "The model is unsupported for streaming.")


def test_what_is_only_provisioned_is_not_called_on_demand(scripted_runtime: Any) -> None:
    body = {"text_prompts": [{"text": "a stone"}]}
    code, message = refusal(
        lambda: invoke(scripted_runtime, "stability.stable-diffusion-xl-v1", body)
    )
    assert code == "ValidationException"
    assert "on-demand throughput isn\u2019t supported" in message


def test_cohere_gives_as_many_generations_as_asked_for(scripted_runtime: Any) -> None:
    body = {"prompt": "hello", "num_generations": 5}
    answer = json.loads(invoke(scripted_runtime, "cohere.command-text-v14", body)["body"].read())
    assert [each["text"] for each in answer["generations"]] == ["hello"] * 5
    assert len({each["id"] for each in answer["generations"]}) == 5


def test_a_prompt_with_several_answers_is_counted_once(scripted_runtime: Any) -> None:
    def counts(count: int) -> tuple[str, str]:
        body = {"prompt": "one two", "num_generations": count}
        answer = invoke(scripted_runtime, "cohere.command-text-v14", body)
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        prefix = "x-amzn-bedrock"
        return headers[f"{prefix}-input-token-count"], headers[f"{prefix}-output-token-count"]

    read, written = counts(1)
    assert counts(3) == (read, str(3 * int(written)))


@pytest.mark.parametrize(
    "model_id",
    [
        "amazon.titan-embed-text-v1",
        "cohere.embed-english-v3",
        "amazon.titan-image-generator-v1",
        "stability.stable-diffusion-xl-v0",
        "anthropic.claude-v1",
    ],
)
def test_what_does_not_converse_says_so(scripted_runtime: Any, model_id: str) -> None:
    messages = [{"role": "user", "content": [{"text": "hello"}]}]
    told = refusal(lambda: scripted_runtime.converse(modelId=model_id, messages=messages))
    assert told == (
        "ValidationException",
        "This action doesn't support the model that you provided. "
        "Try again with a supported text or chat model.",
    )


def test_a_format_that_is_not_there_is_named(scripted_runtime: Any) -> None:
    body = {"text_prompts": [{"text": "a stone"}]}
    told = refusal(lambda: invoke(scripted_runtime, "stability.stable-diffusion-xl-v0", body))
    assert told == (
        "ValidationException",
        "stability.stable-diffusion-xl-v0 cannot be invoked in this deployment: "
        "its format (stability) is not available.",
    )


@pytest.mark.engine
def test_titan_embeds_a_text_of_8192_tokens_and_none_longer(runtime: Any) -> None:
    model = "amazon.titan-embed-text-v1"
    answer = json.loads(invoke(runtime, model, {"inputText": "a " * 8192})["body"].read())
    assert len(answer["embedding"]) == 1536
    assert answer["inputTextTokenCount"] == 8192
    code, _ = refusal(lambda: invoke(runtime, model, {"inputText": "a " * 8193}))
    assert code == "ValidationException"


@pytest.mark.engine
def test_cohere_embeds_each_text_in_1024_numbers(runtime: Any) -> None:
    texts = ["a stone", "", "a river", "石"]
    body = {"texts": texts, "input_type": "search_document"}
    answer = json.loads(invoke(runtime, "cohere.embed-multilingual-v3", body)["body"].read())
    assert [len(vector) for vector in answer["embeddings"]] == [1024] * len(texts)
    assert answer["texts"] == texts


@pytest.mark.engine
def test_cohere_refuses_or_cuts_a_text_of_too_many_tokens(runtime: Any) -> None:
    def embed(text: str, **members: str) -> Any:
        body = {"texts": [text], "input_type": "search_query", **members}
        return json.loads(invoke(runtime, "cohere.embed-english-v3", body)["body"].read())

    long, kept = "a " * 512 + "b " * 300, "a " * 512
    assert refusal(lambda: embed(long))[0] == "ValidationException"
    for truncate in ("RIGHT", "END"):
        (cut,), (whole,) = (embed(text, truncate=truncate)["embeddings"] for text in (long, kept))
        assert cut == pytest.approx(whole, abs=1e-4)
    (start,), (end,) = (embed(long, truncate=side)["embeddings"] for side in ("LEFT", "RIGHT"))
    assert start != pytest.approx(end, abs=1e-2)
