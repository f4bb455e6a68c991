"""Cohere Command R and R+: a message with its history in, a text or tool calls out.

Documents reach the model as part of the system text, as the family's own template has them;
citations are not made. Billed units are the tokens read and written, template included.
"""

import uuid
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects import cohere_tools, schema, settings
from outcrop.dialects.protocol import Chunks, Rendering
from outcrop.folding import Fold
from outcrop.generation import (
    Completion,
    Event,
    Finished,
    Generation,
    Part,
    Stop,
    Text,
    TextDelta,
    ToolResult,
    ToolUse,
    Turn,
)

_TABLE: Final = {
    "max_tokens": settings.tokens(1),
    "temperature": settings.number("temperature", 0, 1, 0.3),
    "p": settings.number("top_p", 0, 1, 0.75, settings.off_at_ends),
    "k": settings.integer("top_k", 0, 500, 0, settings.off_at_zero),
    "frequency_penalty": settings.number("frequency_penalty", 0, 1, 0),
    "presence_penalty": settings.number("presence_penalty", 0, 1, 0),
    "seed": settings.integer("seed", 0, 2**64 - 1),
    "stop_sequences": settings.stops(5),
}
_STRING: Final = {"type": "string"}
_TURN: Final = settings.closed(
    {
        "role": {"type": "string", "enum": ["USER", "CHATBOT"]},
        "message": _STRING,
        "tool_calls": {"type": "array", "items": cohere_tools.CALL},
    },
    "role",
    "message",
)
_SCHEMA: Final = settings.body_schema(
    _TABLE,
    {
        "message": _STRING,
        "chat_history": {"type": "array", "items": _TURN},
        "documents": {"type": "array", "items": {"type": "object"}},
        "preamble": _STRING,
        "search_queries_only": {"type": "boolean"},
        "prompt_truncation": {"type": "string", "enum": ["OFF", "AUTO_PRESERVE_ORDER"]},
        "return_prompt": {"type": "boolean"},
        "raw_prompting": {"type": "boolean"},
        "tools": cohere_tools.TOOLS,
        "tool_results": cohere_tools.RESULTS,
    },
    "message",
)
# What the service can do and Outcrop cannot, by the only value that is taken.
_NEUTRAL: Final = {
    "search_queries_only": False,
    "prompt_truncation": "OFF",
    "return_prompt": False,
    "raw_prompting": False,
}
_REASONS: Final[Mapping[Stop, str]] = {
    "end": "COMPLETE",
    "stop_sequence": "STOP_SEQUENCE",
    "tool_use": "COMPLETE",
    "length": "MAX_TOKENS",
    "filtered": "ERROR_TOXIC",
}

extend = settings.extended(_TABLE)


def parse(body: Any, model: Model) -> Generation:
    schema.check(_SCHEMA(model), body)
    for name, neutral in _NEUTRAL.items():
        if body.get(name, neutral) != neutral:
            raise settings.not_honoured(name, body[name], f"Leave it out or set it to {neutral!r}.")
    base = Generation(
        turns=_turns(body),
        max_tokens=model.max_output_tokens,
        system=_system(body),
        tools=cohere_tools.tools(body.get("tools", ())),
    )
    return settings.settled(base, _TABLE, model, body)


def _system(body: Mapping[str, Any]) -> str | None:
    parts = [body.get("preamble", "")]
    for number, document in enumerate(body.get("documents", ())):
        lines = [f"{name}: {_document_text(value)}" for name, value in document.items()]
        parts.append("\n".join([f"Document {number}", *lines]))
    return "\n\n".join(part for part in parts if part) or None


def _document_text(value: Any) -> str:
    return value if isinstance(value, str) else cohere_tools.as_json(value)


def _turns(body: Mapping[str, Any]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for index, said in enumerate(body.get("chat_history", ())):
        calls = said.get("tool_calls", ())
        uses = [cohere_tools.use(call, f"{index}_{place}") for place, call in enumerate(calls)]
        parts: list[Part] = [Text(said["message"])] if said["message"] or not uses else []
        turns.append(Turn("user" if said["role"] == "USER" else "assistant", (*parts, *uses)))
    if body["message"]:
        turns.append(Turn("user", (Text(body["message"]),)))
    turns.extend(_result_turns(body, turns))
    if not turns or turns[-1].role != "user":
        raise schema.malformed([("#/message", "expected minLength: 1, actual: 0")])
    return tuple(turns)


def _result_turns(body: Mapping[str, Any], turns: Sequence[Turn]) -> list[Turn]:
    """The calls of ``tool_results`` and their outputs; calls that end the history already are not
    repeated."""
    results = body.get("tool_results", ())
    if not results:
        return []
    asked = [part for part in turns[-1].parts if isinstance(part, ToolUse)] if turns else []
    made = [cohere_tools.use(each["call"], f"result_{n}") for n, each in enumerate(results)]
    if [(use.name, use.input) for use in asked] == [(use.name, use.input) for use in made]:
        made, new = asked, list[Turn]()
    else:
        new = [Turn("assistant", tuple(made))]
    outputs = [cohere_tools.as_json(each["outputs"]) for each in results]
    answers = [ToolResult(use.id, output) for use, output in zip(made, outputs, strict=True)]
    return [*new, Turn("user", tuple(answers))]


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    answer = answers[0]
    calls = [cohere_tools.render_call(use) for use in answer.tool_uses]
    called: dict[str, Any] = {"tool_calls": calls} if calls else {}
    # The first half names what served the call: eight hexadecimal digits, the same for a model.
    served_by = f"{zlib.crc32(rendering.model.id.encode()):08x}"
    body = rendering.body
    # A Converse request has turns of its own form and no message.
    message = [{"role": "USER", "message": body["message"]}] if body.get("message") else []
    return {
        "response_id": f"{served_by}/{rendering.request_id}",
        "text": answer.text,
        "generation_id": str(uuid.uuid4()),
        "chat_history": [
            *body.get("chat_history", ()),
            *message,
            {"role": "CHATBOT", "message": answer.text, **called},
        ],
        "finish_reason": _REASONS[answer.stop],
        **called,
    }


def chunks(rendering: Rendering) -> Chunks:
    return CommandRChunks(rendering)


class CommandRChunks:
    """Pieces of text, tool calls when all are known, and the whole answer at the end."""

    def __init__(self, rendering: Rendering) -> None:
        self._rendering = rendering
        self._fold = Fold()

    def feed(self, event: Event, index: int = 0) -> list[dict[str, Any]]:
        self._fold.feed(event)
        match event:
            case TextDelta(text=text) if text:
                return [{"is_finished": False, "event_type": "text-generation", "text": text}]
            case Finished():
                return self._end(self._fold.completion())
            case _:
                return []

    def _end(self, answer: Completion) -> list[dict[str, Any]]:
        response = render([answer], self._rendering)
        units = {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens}
        meta = {"api_version": {"version": "1"}, "billed_units": units, "tokens": units}
        end = {
            "is_finished": True,
            "event_type": "stream-end",
            "response": {**response, "meta": meta},
            "finish_reason": response["finish_reason"],
        }
        if "tool_calls" not in response:
            return [end]
        calls = {
            "is_finished": False,
            "event_type": "tool-calls-generation",
            "tool_calls": response["tool_calls"],
        }
        return [calls, end]
