"""Unmodified clients complete a chat, a stream, a tool call and an embedding on the real models."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
RunProgram = Callable[[str, Mapping[str, str]], dict[str, Any]]


def _assert_chat(result: dict[str, Any], whole: str, streamed: str) -> None:
    assert whole.strip()
    assert streamed == whole, "at temperature 0 the stream says what the whole answer says"
    assert 0 < result["output_tokens"] <= 24


def _assert_tool(use: dict[str, Any]) -> None:
    assert use["name"] == "get_weather"
    assert isinstance(use["input"]["city"], str)


def test_javascript_sdk_over_http2(gateway: Any, run_node: RunProgram) -> None:
    result = run_node("chat.mjs", gateway.environment)
    assert result["providers"] == ["Anthropic"]
    assert result["text"].strip()
    assert 0 < result["outputTokens"] <= 24
    events = result["events"]
    assert events[0] == "messageStart"
    assert events[-3:] == ["contentBlockStop", "messageStop", "metadata"]
    assert events.count("contentBlockDelta") > 1
    assert result["streamed"].strip()
    assert result["nativeText"].strip()
    assert result["nativeMetrics"]["outputTokenCount"] <= 12
    assert result["toolStop"] == "tool_use"
    _assert_tool(result["toolUse"])
    assert result["dimensions"] == 1536
    assert result["error"] == {
        "name": "ValidationException",
        "message": "The provided model identifier is invalid.",
        "status": 400,
    }


def test_anthropic_sdk(gateway: Any, run_python: RunProgram) -> None:
    result = run_python("anthropic_chat.py", gateway.environment)
    _assert_chat(result, result["text"], result["streamed"])
    assert result["pieces"] > 1
    _assert_tool(result["tool"])
    assert result["tool"]["stop"] == "tool_use"


def test_litellm_as_a_client(gateway: Any, run_python: RunProgram) -> None:
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    result = run_python("litellm_chat.py", gateway.environment | offline)
    _assert_chat(result, result["text"], result["streamed"])
    assert result["pieces"] > 1
    _assert_tool(result["tool"])
    assert result["dimensions"] == 1536


def test_langchain_aws(gateway: Any, run_python: RunProgram) -> None:
    result = run_python("langchain_chat.py", gateway.environment)
    assert result["native"].strip()
    assert result["converse"]
    assert result["native_pieces"] > 1
    assert result["converse_pieces"] > 1
    assert [call["name"] for call in result["tool_calls"]] == ["get_weather"]
    assert isinstance(result["tool_calls"][0]["args"]["city"], str)
    assert result["dimensions"] == 1536


@pytest.mark.parametrize("version", ["aws_v1", "aws_v2"])
def test_aws_cli(
    version: str, gateway: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    aws = request.getfixturevalue(version)

    def run(*arguments: str) -> Any:
        done = subprocess.run(
            [aws, *arguments],
            env=gateway.environment,
            cwd=tmp_path,
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    listed = run("bedrock", "list-foundation-models", "--by-provider", "cohere")
    assert {model["providerName"] for model in listed["modelSummaries"]} == {"Cohere"}
    (tmp_path / "embed.json").write_text('{"inputText": "granite"}')
    run(
        *("bedrock-runtime", "invoke-model", "--model-id", "amazon.titan-embed-text-v1"),
        *("--body", "fileb://embed.json", "out.json"),
    )
    assert len(json.loads((tmp_path / "out.json").read_text())["embedding"]) == 1536
    messages = '[{"role":"user","content":[{"text":"Name one color of the sky."}]}]'
    answer = run(
        *("bedrock-runtime", "converse", "--model-id", HAIKU, "--messages", messages),
        *("--inference-config", '{"maxTokens":24,"temperature":0}'),
    )
    assert answer["output"]["message"]["content"][0]["text"].strip()
