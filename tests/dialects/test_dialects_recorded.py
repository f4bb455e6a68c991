"""Claude, Titan Text and Nova against recorded exchanges of the real service: what it accepted is
accepted, and an answer with the recorded content renders as the recorded answer."""

import base64
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from urllib.parse import unquote

import msgspec
import pytest
from botocore.eventstream import EventStreamBuffer
from family_recordings import models
from recorded_answers import METRICS, completion, stream_events

from outcrop.catalog.model import Model
from outcrop.dialects import anthropic, nova, titan_text
from outcrop.dialects.protocol import Rendering

Json = dict[str, Any]
RECORDINGS = Path(__file__).resolve().parents[2] / "../shared/real-responses.jsonl"

# Answers in a form that the service sent only then, or that was cut or invented by the recorder.
OTHER_FORM = {
    "2bdbd1e5999fe848": "spring 2024: message ID without bdrk_, model after content",
    "dd84efad49bc007f": "spring 2024: message ID without bdrk_, model after content",
    "774fe7d495e970c2": "a guardrail rewrote the answer",
    "5a1ba16494800b4a": "a guardrail rewrote the answer: every number is a float",
    "4b843893c5f9719a": "a guardrail blocked the prompt",
    "a6f91aebd758a80d": "what the cache did was told at the start; here it is known at the end",
    "7ef937747ece9287": "an empty piece ends the thought, and the end repeats the prompt's counts",
    "7bf41ad28bcbe641": "the recorder removed usage",
    "b3e07fc7063bd0be": "written by hand: a completion for messages",
    "2fadee5ce7c9e879": "written by hand: completionReason max_tokens",
}
# Members that were added later: without them the recorded answer is older than our form.
ADDED = {"type", "cache_creation", "cacheReadInputTokenCount", "cacheWriteInputTokenCount"}


def _dialect(model_id: str) -> ModuleType | None:
    if "claude" in model_id:
        return anthropic
    if "titan-text" in model_id or "titan-tg1" in model_id:
        return titan_text
    if "nova" in model_id and "embed" not in model_id:
        return nova
    return None


def _recordings() -> Iterator[tuple[Json, ModuleType]]:
    for line in RECORDINGS.read_bytes().splitlines():
        record: Json = msgspec.json.decode(line)
        if record["status"] == 200 and record["op"].startswith("InvokeModel"):
            record["model"] = unquote(record["path"].split("/")[2]).split("/")[-1]
            dialect = _dialect(record["model"])
            if dialect is not None:
                yield record, dialect


def _json(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, str) else value


def _chunks(record: Json) -> list[Json]:
    buffer = EventStreamBuffer()
    buffer.add_data(base64.b64decode(record["response_body_b64"]))
    return [
        msgspec.json.decode(base64.b64decode(msgspec.json.decode(message.payload)["bytes"]))
        for message in buffer
    ]


ALL = list(_recordings())
COMPARED = [(r, d) for r, d in ALL if r["id"] not in OTHER_FORM]
WHOLE = [pair for pair in COMPARED if pair[0]["op"] == "InvokeModel"]
STREAMED = [pair for pair in COMPARED if pair[0]["op"] != "InvokeModel"]


def _ids(pairs: list[tuple[Json, ModuleType]]) -> list[str]:
    return [f"{record['id']}-{record['model']}" for record, _ in pairs]


def _model(record: Json) -> Model:
    model_id = record["model"]
    known = models()
    return known[model_id] if model_id in known else known[model_id.partition(".")[2]]


def _rendering(record: Json) -> Rendering:
    return Rendering(_json(record["request_body"]), _model(record), record["id"], lambda: 1)


def test_the_recordings_are_read():
    assert len(WHOLE) >= 30
    assert len(STREAMED) >= 25
    assert {record["id"] for record, _ in ALL} >= OTHER_FORM.keys()


@pytest.mark.parametrize(("record", "dialect"), ALL, ids=_ids(ALL))
def test_a_body_the_service_accepted_is_accepted(record: Json, dialect: ModuleType):
    generation = dialect.parse(_json(record["request_body"]), _model(record))
    assert generation.turns[0].role == "user"


@pytest.mark.parametrize(("record", "dialect"), WHOLE, ids=_ids(WHOLE))
def test_an_answer_renders_as_recorded(record: Json, dialect: ModuleType):
    recorded = _json(record["response_body"])
    rendering = _rendering(record)
    rendered = dialect.render([completion(rendering.model.dialect, recorded)], rendering)
    assert _comparable(rendered, recorded) == recorded | _own_id(rendered)


@pytest.mark.parametrize(("record", "dialect"), STREAMED, ids=_ids(STREAMED))
def test_a_stream_renders_as_recorded(record: Json, dialect: ModuleType):
    recorded = _chunks(record)
    message: Json = recorded[0].get("message", {})
    rendering = _rendering(record)
    stream = dialect.chunks(rendering)
    events = stream_events(rendering.model.dialect, recorded)
    rendered = [chunk for event in events for chunk in stream.feed(event)]
    recorded[-1].pop(METRICS)
    if message:
        message |= _own_id(rendered[0]["message"])
    _align_indexes(recorded)
    assert len(rendered) == len(recorded)
    assert [
        _comparable(ours, theirs) for ours, theirs in zip(rendered, recorded, strict=True)
    ] == recorded


def _own_id(rendered: Json) -> Json:
    """Message IDs are ours; their form is the recorded one."""
    if "id" not in rendered:
        return {}
    assert len(rendered["id"]) == len("msg_bdrk_01CmG6WWSyyBzYoApTJb79vd")
    assert rendered["id"].startswith("msg_bdrk_01")
    return {"id": rendered["id"]}


def _comparable(ours: Json, theirs: Json) -> Json:
    """Ours without the members that were added to the form after the recording."""
    return {
        name: _comparable(_members(value), _members(theirs.get(name)))
        if isinstance(value, dict)
        else value
        for name, value in ours.items()
        if name in theirs or name not in ADDED
    }


def _members(value: Any) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _align_indexes(recorded: list[Json]) -> None:
    """Nova skips an index before a tool use; ours are consecutive."""
    places: dict[int, int] = {}
    for chunk in recorded:
        for member in map(_members, chunk.values()):
            if "contentBlockIndex" in member:
                place: int = member["contentBlockIndex"]
                member["contentBlockIndex"] = places.setdefault(place, len(places))
