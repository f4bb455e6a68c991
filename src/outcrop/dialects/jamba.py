"""AI21 Jamba: OpenAI-like messages in, ``choices`` out with running usage in each chunk.

The token ID that the service names as ``stop_reason`` of a finished stream belongs to its own
tokenizer: here the member holds the stop sequence met, or null.
"""

import uuid
from collections.abc import Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects import chat, schema, settings
from outcrop.dialects.protocol import Chunks, Rendering
from outcrop.generation import (
    Completion,
    Event,
    Finished,
    Generation,
    Started,
    TextDelta,
    ToolUseDelta,
)

METRICS_APART: Final = True

_MOST_ANSWERS: Final = 16
_TABLE: Final = {
    "max_tokens": settings.tokens(1),
    "temperature": settings.number("temperature", 0, 2, 1.0),
    "top_p": settings.number("top_p", 0, 1, 1.0, settings.off_at_one),
    "frequency_penalty": settings.number("frequency_penalty", -2, 2),
    "presence_penalty": settings.number("presence_penalty", -2, 2),
}
# A single stop sequence may come as a string.
_STOP: Final = {"anyOf": [{"type": "string", "minLength": 1}, settings.stops().schema]}
_SCHEMA: Final = settings.body_schema(
    _TABLE,
    {
        "messages": chat.MESSAGES,
        "stop": _STOP,
        "n": {"type": "integer", "minimum": 1, "maximum": _MOST_ANSWERS},
        "tools": chat.TOOLS,
    },
    "messages",
)

extend = settings.extended(
    {**_TABLE, "stop": settings.Setting("stop_sequences", _STOP, read=chat.stops)}
)


def parse(body: Any, model: Model) -> Generation:
    schema.check(_SCHEMA(model), body)
    system, turns = chat.conversation(body["messages"], model)
    base = Generation(
        turns,
        model.max_output_tokens,
        system,
        stop_sequences=chat.stops(body.get("stop", ())),
        tools=chat.tools(body.get("tools", ())),
        count=body.get("n", 1),
    )
    return settings.settled(base, _TABLE, model, body)


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    return {
        "id": _new_id(),
        "choices": [
            {
                "index": index,
                "message": {
                    "role": "assistant",
                    "content": answer.text,
                    "tool_calls": chat.render_calls(answer) or None,
                },
                "finish_reason": chat.REASONS[answer.stop],
            }
            for index, answer in enumerate(answers)
        ],
        "usage": chat.usage(answers),
        "meta": _meta(rendering),
        "model": rendering.model.provider_model or rendering.model.id,
    }


def _new_id() -> str:
    return f"chatcmpl-{uuid.uuid4()}"


def _meta(rendering: Rendering) -> dict[str, Any]:
    return {"requestDurationMillis": rendering.elapsed_ms()}


def chunks(rendering: Rendering) -> Chunks:
    return JambaChunks(rendering)


class JambaChunks:
    """Deltas of each answer with the tokens all answers have by then."""

    def __init__(self, rendering: Rendering) -> None:
        self._rendering = rendering
        self._id = _new_id()
        count = rendering.body.get("n", 1)
        self._deltas = [chat.Deltas(rendering.model) for _ in range(count)]
        self._output_tokens = [0] * count
        self._input_tokens = 0

    def feed(self, event: Event, index: int = 0) -> list[dict[str, Any]]:
        match event:
            case Started():
                self._input_tokens = event.input_tokens
            case TextDelta() | ToolUseDelta() | Finished():
                self._output_tokens[index] = event.output_tokens
            case _:
                pass
        if isinstance(event, Finished):
            self._input_tokens = event.input_tokens
            return [self._last(event, index)]
        delta = self._deltas[index].feed(event)
        return (
            [] if delta is None else [self._chunk({"delta": delta, "finish_reason": None}, index)]
        )

    def _last(self, event: Finished, index: int) -> dict[str, Any]:
        choice: dict[str, Any] = {
            "delta": {"content": ""},
            "finish_reason": chat.REASONS[event.stop],
            "stop_reason": event.stop_sequence,
        }
        return {**self._chunk(choice, index), "meta": _meta(self._rendering)}

    def _chunk(self, choice: dict[str, Any], index: int) -> dict[str, Any]:
        written = sum(self._output_tokens)
        return {
            "id": self._id,
            "choices": [{"index": index, **choice}],
            "usage": {
                "prompt_tokens": self._input_tokens,
                "total_tokens": self._input_tokens + written,
                "completion_tokens": written,
            },
        }
