"""One gateway whose engine is another one: all that the ``bedrock`` engine does, end to end."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from running_gateways import ACCESS_KEY, SECRET_KEY, Gateway, start_gateway

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TOOLS: dict[str, Any] = {
    "tools": [
        {
            "toolSpec": {
                "name": "weather",
                "inputSchema": {
                    "json": {
                        "type": "object",
                        "properties": {"city": {"enum": ["Paris"]}},
                        "required": ["city"],
                    }
                },
            }
        }
    ],
    "toolChoice": {"any": {}},
}


def start_front(folder: Path, behind: Gateway, secret_key: str) -> Gateway:
    toml = f"""
[engines.cloud]
kind = "bedrock"
region = "us-east-1"
endpoint_url = "{behind.url}"

[[bind]]
pattern = "*"
engine = "cloud"
"""
    variables = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    return start_gateway(folder, toml, variables=variables)


@pytest.fixture(scope="module")
def front(scripted_gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = start_front(tmp_path_factory.mktemp("front"), scripted_gateway, SECRET_KEY)
    yield gateway
    gateway.stop()


@pytest.fixture
def client(front: Gateway) -> Any:
    return front.client("bedrock-runtime")


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]


def test_a_model_that_only_a_profile_reaches_is_asked_by_the_profile(client: Any) -> None:
    profile_arn = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{CLAUDE}"
    for identifier in (CLAUDE, profile_arn):
        answer = client.converse(modelId=identifier, messages=said("one two"))
        assert answer["output"]["message"]["content"] == [{"text": "one two"}]
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert headers["x-outcrop-served-by"] == f"bedrock/{CLAUDE}"


def test_a_stream_passes_with_the_counts_of_the_engine_behind(
    client: Any, scripted_runtime: Any
) -> None:
    def stream(runtime: Any) -> tuple[list[Any], Any]:
        answer = runtime.converse_stream(modelId=CLAUDE, messages=said("one two three"))
        events = list(answer["stream"])
        return [event for event in events if "metadata" not in event], events[-1]["metadata"]

    (front_events, front_end), (events, end) = stream(client), stream(scripted_runtime)
    assert front_events == events
    assert front_end["usage"] == end["usage"]


def test_a_tool_is_called_through_both(client: Any) -> None:
    answer = client.converse(modelId=CLAUDE, messages=said("Weather?"), toolConfig=TOOLS)
    (block,) = answer["output"]["message"]["content"]
    assert answer["stopReason"] == "tool_use"
    assert block["toolUse"]["input"] == {"city": "Paris"}


@pytest.mark.parametrize(
    ("model_id", "body"),
    [
        ("amazon.titan-embed-text-v1", {"inputText": "a stone"}),
        ("cohere.embed-english-v3", {"texts": ["a", "b"], "input_type": "search_query"}),
    ],
)
def test_embeddings_are_those_of_the_engine_behind(
    client: Any, scripted_runtime: Any, model_id: str, body: dict[str, Any]
) -> None:
    def vectors(runtime: Any) -> list[list[float]]:
        answer = runtime.invoke_model(modelId=model_id, body=json.dumps(body))
        decoded: Any = json.loads(answer["body"].read())
        return [decoded["embedding"]] if "embedding" in decoded else decoded["embeddings"]

    for front, behind in zip(vectors(client), vectors(scripted_runtime), strict=True):
        assert front == pytest.approx(behind, abs=1e-6)


def test_tokens_are_counted_by_the_engine_behind(client: Any, scripted_runtime: Any) -> None:
    counted = {"converse": {"messages": said("one two three")}}
    model_id = CLAUDE.removeprefix("us.")
    front, behind = (
        runtime.count_tokens(modelId=model_id, input=counted)["inputTokens"]
        for runtime in (client, scripted_runtime)
    )
    assert front == behind


def test_the_default_of_a_family_that_converse_has_no_word_for_reaches_it(client: Any) -> None:
    # Mistral's own top_k of 50.
    body = json.dumps({"prompt": "<s>[INST] hello [/INST]"})
    answer = client.invoke_model(modelId="mistral.mistral-7b-instruct-v0:2", body=body)
    assert json.loads(answer["body"].read())["outputs"][0]["text"] == "hello"


def test_a_refusal_of_the_one_behind_is_told_in_its_own_words(client: Any) -> None:
    with pytest.raises(ClientError) as caught:
        client.invoke_model(
            modelId="cohere.embed-english-v3",
            body=json.dumps({"texts": ["a " * 1000], "input_type": "search_query"}),
        )
    error: Any = caught.value.response
    assert (error["Error"]["Code"], error["Error"]["Message"]) == (
        "ValidationException",
        "Input is too long for requested model.",
    )


def test_wrong_credentials_are_named_and_are_not_the_callers_fault(
    scripted_gateway: Gateway, tmp_path: Path
) -> None:
    gateway = start_front(tmp_path, scripted_gateway, "wrong")
    try:
        with pytest.raises(ClientError) as caught:
            gateway.client("bedrock-runtime").converse(modelId=CLAUDE, messages=said("hi"))
    finally:
        gateway.stop()
    error: Any = caught.value.response
    assert error["Error"]["Code"] == "ModelErrorException"
    assert "InvalidSignatureException" in error["Error"]["Message"]
