"""Converse held against what the real service answered."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from converse_recordings import NOT_BUILT, Recording, recordings
from recorded_answers import converse_completion, converse_events

from outcrop.dialects import converse, text_dialect
from outcrop.dialects.converse_stream import Events
from outcrop.errors import ValidationException
from outcrop.generation import Generation
from outcrop.wire.serialize import encode_event, serialize
from outcrop.wire.spec import load_service

_STOPS = frozenset(converse.STOP_REASONS.values())
# Members that came into answers over the years: recorded answers of one model lack or have them.
_GREW = {
    "serverToolUsage", "cacheReadInputTokenCount", "cacheReadInputTokens",
    "cacheWriteInputTokenCount", "cacheWriteInputTokens",
}  # fmt: skip
_BLOCKS = {"text", "toolUse", "reasoningContent", "citationsContent"}
# The default tier was asked for and the answer names flex: ours names the one that served it.
_OTHER_TIER = "a35fdce6a729abf4"


def _parse(recording: Recording) -> Generation:
    extend = text_dialect(recording.model).extend
    return converse.parse(recording.params, recording.model, extend)


def _reason(message: str) -> str:
    return next((reason for reason in NOT_BUILT if reason in message), message)


def test_recorded_requests_are_read_but_for_the_listed_features() -> None:
    refusals: Counter[str] = Counter()
    read = 0
    for recording in (*recordings(200), *recordings(200, streamed=True)):
        try:
            _parse(recording)
            read += 1
        except ValidationException as error:
            refusals[_reason(error.message)] += 1
    assert refusals == NOT_BUILT
    assert read == 265


def test_refusals_carry_the_recorded_text() -> None:
    for recording in recordings(400):
        with pytest.raises(ValidationException) as caught:
            _parse(recording)
        assert caught.value.message == recording.answer["message"]


def _plain(recording: Recording) -> bool:
    """Answers of what is built: no server tools or guardrails."""
    blocks = recording.answer["output"]["message"]["content"]
    return (
        all(block.keys() <= _BLOCKS for block in blocks)
        and all(block.get("toolUse", {}).get("type") != "server_tool_use" for block in blocks)
        and recording.answer["stopReason"] in _STOPS
        and "usage" in recording.answer
        and "trace" not in recording.answer
    )


def _without_growth(answer: dict[str, Any]) -> dict[str, Any]:
    usage = {name: value for name, value in answer["usage"].items() if value or name not in _GREW}
    # Cache details came in autumn 2025.
    usage.pop("cacheDetails", None)
    blocks = [
        {"toolUse": {k: v for k, v in block["toolUse"].items() if k != "type"}}
        if "toolUse" in block
        else block
        for block in answer["output"]["message"]["content"]
    ]
    message = {**answer["output"]["message"], "content": blocks}
    return {**answer, "usage": usage, "output": {"message": message}}


def _rendered(recording: Recording) -> dict[str, Any]:
    answer = recording.answer
    latency = answer["metrics"]["latencyMs"]
    return converse.render(converse_completion(answer), recording.params, recording.model, latency)


def _as_json(rendered: Any) -> Any:
    """With blobs in base64."""
    return msgspec.json.decode(msgspec.json.encode(rendered))


def test_answers_have_the_recorded_members_and_values() -> None:
    operation = load_service("bedrock-runtime").operations["Converse"]
    compared = 0
    for recording in filter(_plain, recordings(200)):
        answer = recording.answer
        rendered = _rendered(recording)
        assert serialize(operation, rendered, "id").status == 200
        rendered = _as_json(rendered)
        if recording.id == _OTHER_TIER:
            answer = {**answer, "serviceTier": {"type": "default"}}
        assert _without_growth(rendered) == _without_growth(answer), recording.id
        compared += 1
    assert compared == 222


def test_recent_claude_answers_have_exactly_the_recorded_usage_members() -> None:
    recents = [r for r in recordings(200) if "claude-sonnet-4-6" in r.model.id and _plain(r)]
    assert len(recents) == 18
    for recording in recents:
        rendered = _as_json(_rendered(recording))
        assert rendered["usage"].keys() == recording.answer["usage"].keys()
        for ours, theirs in zip(
            rendered["output"]["message"]["content"],
            recording.answer["output"]["message"]["content"],
            strict=True,
        ):
            assert ours == theirs


def _is_built(events: tuple[dict[str, Any], ...]) -> bool:
    """No server tools."""
    for event in events:
        tool = event.get("contentBlockStart", {}).get("start", {}).get("toolUse", {})
        if tool.get("type") == "server_tool_use":
            return False
    return True


def _comparable(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what differs by nature: empty pieces, blocks split without need, newer members."""
    kept: list[dict[str, Any]] = []
    for event in events:
        delta = event.get("contentBlockDelta", {}).get("delta", {})
        if delta.get("text") == "":
            continue
        if "metadata" in event:
            usage = event["metadata"]["usage"]
            event["metadata"]["usage"] = {k: v for k, v in usage.items() if k not in _GREW}
        kept.append(event)
    return kept


def test_streams_have_the_recorded_events_in_their_order() -> None:
    operation = load_service("bedrock-runtime").operations["ConverseStream"]
    compared = 0
    for recording in recordings(200, streamed=True):
        if not _is_built(recording.events):
            continue
        neutral = converse_events(recording.events)
        latency = recording.events[-1]["metadata"]["metrics"]["latencyMs"]
        stream = Events(recording.params, recording.model, lambda latency=latency: latency)
        ours = [event for each in neutral for event in stream.feed(each)]
        assert all(encode_event(operation, event) for event in ours)
        assert _comparable(_as_json(ours)) == _comparable(list(recording.events)), recording.id
        compared += 1
    assert compared == 43
