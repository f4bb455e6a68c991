"""Tool use on the default model: each tool choice, results fed back, arguments held to the schema.

The model has 135 million parameters: which tool it picks and whether it calls one by itself is its
own affair; that a call is well formed, and that a demanded call comes, is ours.
"""

import json
from typing import Any

import jsonschema
import pytest

pytestmark = pytest.mark.engine

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer"},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
CLOCK: dict[str, Any] = {
    "type": "object",
    "properties": {"zone": {"type": "string", "maxLength": 20}},
    "required": ["zone"],
}
QUESTION = {"role": "user", "content": [{"text": "What is the weather in Oslo, in celsius?"}]}


def _tools(choice: dict[str, Any] | None) -> dict[str, Any]:
    specs = [
        {
            "toolSpec": {
                "name": name,
                "description": description,
                "inputSchema": {"json": schema},
            }
        }
        for name, description, schema in (
            ("get_weather", "The weather of a city", WEATHER),
            ("get_time", "The time of a zone", CLOCK),
        )
    ]
    return {"tools": specs} | ({"toolChoice": choice} if choice is not None else {})


def _ask(runtime: Any, choice: dict[str, Any] | None) -> dict[str, Any]:
    return runtime.converse(
        modelId=HAIKU,
        messages=[QUESTION],
        toolConfig=_tools(choice),
        inferenceConfig={"maxTokens": 160, "temperature": 0},
    )


def _uses(answer: dict[str, Any]) -> list[dict[str, Any]]:
    content = answer["output"]["message"]["content"]
    return [block["toolUse"] for block in content if "toolUse" in block]


def _assert_well_formed(use: dict[str, Any]) -> None:
    schema = {"get_weather": WEATHER, "get_time": CLOCK}[use["name"]]
    jsonschema.validate(use["input"], schema)
    assert use["toolUseId"].startswith("tooluse_")


def test_any_demands_a_call_of_one_of_the_tools(runtime: Any) -> None:
    answer = _ask(runtime, {"any": {}})
    assert answer["stopReason"] == "tool_use"
    assert _uses(answer)
    for use in _uses(answer):
        _assert_well_formed(use)


@pytest.mark.parametrize("name", ["get_weather", "get_time"])
def test_a_named_tool_is_the_one_called(runtime: Any, name: str) -> None:
    answer = _ask(runtime, {"tool": {"name": name}})
    assert answer["stopReason"] == "tool_use"
    assert [use["name"] for use in _uses(answer)] == [name]
    _assert_well_formed(_uses(answer)[0])


@pytest.mark.parametrize("choice", [None, {"auto": {}}])
def test_auto_is_text_or_well_formed_calls(runtime: Any, choice: dict[str, Any] | None) -> None:
    answer = _ask(runtime, choice)
    uses = _uses(answer)
    assert (answer["stopReason"] == "tool_use") == bool(uses)
    for use in uses:
        _assert_well_formed(use)
    assert uses or answer["output"]["message"]["content"][0]["text"].strip()


def test_the_result_of_a_tool_is_read_by_the_model(runtime: Any) -> None:
    called = _ask(runtime, {"tool": {"name": "get_weather"}})
    use = _uses(called)[0]

    def answer_to(result: str) -> dict[str, Any]:
        reply = {
            "toolResult": {
                "toolUseId": use["toolUseId"],
                "content": [{"json": {"forecast": result}}],
            }
        }
        return runtime.converse(
            modelId=HAIKU,
            messages=[
                QUESTION,
                called["output"]["message"],
                {"role": "user", "content": [reply]},
            ],
            toolConfig=_tools(None),
            inferenceConfig={"maxTokens": 60, "temperature": 0},
        )

    snow, short = answer_to("heavy snow all day long and a strong wind"), answer_to("sun")
    assert snow["usage"]["inputTokens"] > short["usage"]["inputTokens"]
    assert snow["output"] != short["output"]


def test_a_streamed_call_is_the_whole_call_in_pieces(runtime: Any) -> None:
    whole = _uses(_ask(runtime, {"tool": {"name": "get_weather"}}))[0]
    stream = runtime.converse_stream(
        modelId=HAIKU,
        messages=[QUESTION],
        toolConfig=_tools({"tool": {"name": "get_weather"}}),
        inferenceConfig={"maxTokens": 160, "temperature": 0},
    )["stream"]
    events = [next(iter(event.items())) for event in stream]
    starts = [body["start"]["toolUse"] for kind, body in events if kind == "contentBlockStart"]
    pieces = [
        body["delta"]["toolUse"]["input"] for kind, body in events if kind == "contentBlockDelta"
    ]
    assert [start["name"] for start in starts] == ["get_weather"]
    assert len(pieces) > 1
    assert json.loads("".join(pieces)) == whole["input"]


def test_arguments_that_no_grammar_can_hold_are_refused_before_the_model_runs(runtime: Any) -> None:
    tools = _tools(None)
    tools["tools"][0]["toolSpec"]["inputSchema"]["json"] = {"type": "objekt"}
    with pytest.raises(runtime.exceptions.ValidationException):
        runtime.converse(modelId=HAIKU, messages=[QUESTION], toolConfig=tools)
