"""OpenAI's chat completions as the open-weight families on Bedrock take them: messages in,
``choices`` out, ``chat.completion.chunk`` objects in a stream.

Members that would change the answer and are not built (``logprobs``, …) are refused unless they
hold their neutral value.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects import chat, schema, settings
from outcrop.dialects.protocol import Chunks, Rendering
from outcrop.generation import Completion, Event, Finished, Generation

_MOST_ANSWERS: Final = 8
_TABLE: Final = {
    "max_tokens": settings.tokens(1),
    "max_completion_tokens": settings.tokens(1),
    "temperature": settings.number("temperature", 0, 2, 1.0),
    "top_p": settings.number("top_p", 0, 1, 1.0, settings.off_at_one),
    "frequency_penalty": settings.number("frequency_penalty", -2, 2),
    "presence_penalty": settings.number("presence_penalty", -2, 2),
    "seed": settings.integer("seed", -(2**63), 2**63 - 1),
    "stop": settings.Setting(
        "stop_sequences",
        {"anyOf": [{"type": "string", "minLength": 1}, settings.stops(4).schema]},
        read=chat.stops,
    ),
    "reasoning_effort": settings.effort(),
}
_FORMAT: Final = {
    "anyOf": [
        settings.closed({"type": {"type": "string", "enum": ["text", "json_object"]}}, "type"),
        settings.closed(
            {
                "type": {"type": "string", "enum": ["json_schema"]},
                "json_schema": settings.closed(
                    {
                        "name": {"type": "string"},
                        "description": {"type": "string"},
                        "schema": {"type": "object"},
                        "strict": {"type": "boolean"},
                    },
                    "schema",
                ),
            },
            "type",
            "json_schema",
        ),
    ]
}
_SCHEMA: Final = settings.body_schema(
    _TABLE,
    {
        "messages": chat.MESSAGES,
        # The path names the model; clients of this form repeat it, and whether they stream.
        "model": {"type": "string"},
        "stream": {"type": "boolean"},
        "stream_options": settings.closed({"include_usage": {"type": "boolean"}}),
        "user": {"type": "string"},
        "n": {"type": "integer", "minimum": 1, "maximum": _MOST_ANSWERS},
        "tools": chat.TOOLS,
        "tool_choice": chat.TOOL_CHOICE,
        "parallel_tool_calls": {"type": "boolean", "enum": [True]},
        "response_format": _FORMAT,
        "logprobs": {"type": "boolean", "enum": [False]},
    },
    "messages",
)

# Qwen's models are told by this name in Converse (recorded).
extend = settings.extended({**_TABLE, "reasoning_config": settings.effort()})


def parse(body: Any, model: Model) -> Generation:
    schema.check(_SCHEMA(model), body)
    system, turns = chat.conversation(body["messages"], model)
    base = Generation(
        turns,
        model.max_output_tokens,
        system,
        tools=chat.tools(body.get("tools", ())),
        tool_choice=chat.tool_choice(body),
        json_schema=_json_schema(body.get("response_format", {"type": "text"})),
        count=body.get("n", 1),
    )
    return settings.settled(base, _TABLE, model, body)


def _json_schema(wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
    match wanted["type"]:
        case "json_schema":
            return wanted["json_schema"]["schema"]
        case "json_object":
            return {"type": "object"}
        case _:
            return None


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    return {
        "choices": [
            {
                "finish_reason": chat.REASONS[answer.stop],
                "index": index,
                "logprobs": None,
                "message": _message(answer, rendering.model),
            }
            for index, answer in enumerate(answers)
        ],
        **_envelope("chat.completion", rendering.model),
        "usage": chat.usage(answers),
    }


def _message(answer: Completion, model: Model) -> dict[str, Any]:
    calls = chat.render_calls(answer)
    message = {
        "content": chat.content(answer, model) or (None if calls else ""),
        "refusal": None,
        "role": "assistant",
    }
    return {**message, "tool_calls": calls} if calls else message


def _envelope(kind: str, model: Model) -> dict[str, Any]:
    return {
        "created": int(time.time()),
        "id": f"chatcmpl-{uuid.uuid4()}",
        "model": model.id,
        "object": kind,
        "service_tier": "default",
    }


def chunks(rendering: Rendering) -> Chunks:
    return ChatChunks(rendering)


class ChatChunks:
    """One object a delta; with ``stream_options.include_usage`` a last one without choices."""

    def __init__(self, rendering: Rendering) -> None:
        self._envelope = _envelope("chat.completion.chunk", rendering.model)
        count = rendering.body.get("n", 1)
        options = rendering.body.get("stream_options", {})
        self._counts_usage: bool = options.get("include_usage", False)
        self._deltas = [chat.Deltas(rendering.model) for _ in range(count)]
        self._finished: list[Finished] = []

    def feed(self, event: Event, index: int = 0) -> list[dict[str, Any]]:
        if isinstance(event, Finished):
            self._finished.append(event)
            last = self._chunk([self._choice({}, chat.REASONS[event.stop], index)])
            is_end = len(self._finished) == len(self._deltas)
            return [last, self._usage()] if is_end and self._counts_usage else [last]
        delta = self._deltas[index].feed(event)
        return [] if delta is None else [self._chunk([self._choice(delta, None, index)])]

    def _choice(self, delta: dict[str, Any], reason: str | None, index: int) -> dict[str, Any]:
        return {"delta": delta, "finish_reason": reason, "index": index, "logprobs": None}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._envelope, "choices": choices}

    def _usage(self) -> dict[str, Any]:
        return {**self._chunk([]), "usage": chat.usage(self._finished)}
