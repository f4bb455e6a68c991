"""DeepSeek R1: a prompt with DeepSeek's own turn markers in, ``choices`` of text out.

Form, ranges and stop reasons: AWS's user guide, "DeepSeek models". The guide states no defaults:
sampling is then unmodified and the model's own limit bounds the answer. A thought stands in the
text between its own tags, as R1 writes it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects import schema, settings
from outcrop.dialects.protocol import Rendering
from outcrop.generation import (
    Completion,
    Event,
    Finished,
    Generation,
    Reasoning,
    ReasoningDelta,
    Role,
    Stop,
    Text,
    TextDelta,
    Turn,
)

_TABLE: Final = {
    "temperature": settings.number("temperature", 0, 1, 1.0),
    "top_p": settings.number("top_p", 0, 1, 1.0, settings.off_at_one),
    "max_tokens": settings.tokens(1),
    "stop": settings.stops(10),
}
_SCHEMA: Final = settings.body_schema(
    _TABLE, {"prompt": {"type": "string", "minLength": 1}}, "prompt"
)
_REASONS: Final[Mapping[Stop, str]] = {
    "end": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "length": "length",
    "filtered": "content_filter",
}
# The markers are written with full-width bars (U+FF5C) and lower blocks (U+2581).
_MARKER: Final = re.compile(
    "<\uff5c(begin\u2581of\u2581sentence|end\u2581of\u2581sentence|User|Assistant)\uff5c>"
)

extend = settings.extended(_TABLE)


def parse(body: Any, model: Model) -> Generation:
    schema.check(_SCHEMA(model), body)
    system, turns = _conversation(body["prompt"])
    base = Generation(turns, model.max_output_tokens, system)
    return settings.settled(base, _TABLE, model, body)


def _conversation(prompt: str) -> tuple[str | None, tuple[Turn, ...]]:
    """What stands before the first turn is the system text; a prompt without turns is one turn."""
    role: Role | None = None
    system = ""
    turns: list[Turn] = []
    pieces = _MARKER.split(prompt)
    for marker, text in zip(["", *pieces[1::2]], pieces[::2], strict=True):
        if marker in ("User", "Assistant"):
            role = "user" if marker == "User" else "assistant"
        said = text.strip()
        if not said:
            continue
        if role is None:
            system = f"{system}\n\n{said}" if system else said
        else:
            turns.append(Turn(role, (Text(text if role == "assistant" else said),)))
    if not turns:
        return None, (Turn("user", (Text(system or prompt),)),)
    return system or None, tuple(turns)


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    answer = answers[0]
    written: list[str] = []
    is_thinking = False
    for part in answer.parts:
        if isinstance(part, Text | Reasoning) and part.text:
            written += [_tag(is_thinking, isinstance(part, Reasoning)), part.text]
            is_thinking = isinstance(part, Reasoning)
    return _choices("".join(written), _REASONS[answer.stop])


def _tag(was_thinking: bool, is_thinking: bool) -> str:
    if was_thinking == is_thinking:
        return ""
    return "<think>\n" if is_thinking else "\n</think>\n\n"


def chunks(rendering: Rendering) -> "DeepSeekChunks":
    return DeepSeekChunks()


class DeepSeekChunks:
    def __init__(self) -> None:
        self._is_thinking = False

    def feed(self, event: Event, index: int = 0) -> list[dict[str, Any]]:
        match event:
            case TextDelta(text=text) | ReasoningDelta(text=text) if text:
                is_thinking = isinstance(event, ReasoningDelta)
                tag = _tag(self._is_thinking, is_thinking)
                self._is_thinking = is_thinking
                return [_choices(tag + text, None)]
            case Finished():
                return [_choices("", _REASONS[event.stop])]
            case _:
                return []


def _choices(text: str, reason: str | None) -> dict[str, Any]:
    return {"choices": [{"text": text, "stop_reason": reason}]}
