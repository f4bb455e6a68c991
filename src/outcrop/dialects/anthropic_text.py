"""Anthropic Claude's text completions on InvokeModel: ``prompt`` in, ``completion`` out.

Ranges are the catalog's; ``max_tokens_to_sample`` may be left out, as the user guide's samples do.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from outcrop.catalog.model import Model
from outcrop.dialects import settings
from outcrop.dialects.protocol import Rendering
from outcrop.dialects.schema import check
from outcrop.dialects.turns import CLAUDE_MARKER, parse_claude_prompt
from outcrop.errors import ValidationException
from outcrop.generation import Completion, Event, Finished, Generation, Stop, TextDelta

# Claude ends an answer by opening the next turn, so this stops it whatever the caller asks.
HUMAN: Final = "\n\nHuman:"


_TABLE: Final[settings.Table] = {
    "max_tokens_to_sample": settings.integer("max_tokens", 0, 4_096, 200),
    "temperature": settings.number("temperature", 0, 1, 0.5),
    "top_p": settings.number("top_p", 0, 1, 1.0, settings.off_at_one),
    "top_k": settings.integer("top_k", 0, 500, 250, settings.off_at_zero),
    "stop_sequences": settings.stops(4),
}
_OTHERS: Final = {
    "prompt": {"type": "string", "minLength": 1},
    "anthropic_version": {"type": "string"},
}
_schema = settings.body_schema(_TABLE, _OTHERS, "prompt")
_extended = settings.extended(_TABLE)


def parse(body: Any, model: Model) -> Generation:
    check(_schema(model), body)
    _check_turns(body["prompt"])
    system, turns = parse_claude_prompt(body["prompt"])
    asked = Generation(turns=turns, system=system, max_tokens=0)
    return _stopping(settings.settled(asked, _TABLE, model, body))


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    answer = answers[0]
    return {
        "type": "completion",
        "completion": _opening(answer.text, rendering) + answer.text,
        **_ending(answer.stop, answer.stop_sequence),
    }


def chunks(rendering: Rendering) -> "CompletionChunks":
    return CompletionChunks(rendering)


def extend(generation: Generation, fields: Mapping[str, Any], model: Model) -> Generation:
    return _stopping(_extended(generation, fields, model))


class CompletionChunks:
    """A chunk for each piece of text, and an empty one with the reason at the end."""

    def __init__(self, rendering: Rendering) -> None:
        self._rendering = rendering
        self._is_opened = False

    def feed(self, event: Event, index: int = 0) -> list[dict[str, Any]]:
        match event:
            case TextDelta() if event.text:
                opening = "" if self._is_opened else _opening(event.text, self._rendering)
                self._is_opened = True
                return [_chunk(opening + event.text, {"stop_reason": None, "stop": None})]
            case Finished():
                return [_chunk("", _ending(event.stop, event.stop_sequence))]
            case _:
                return []


def _chunk(text: str, ending: dict[str, Any]) -> dict[str, Any]:
    return {"type": "completion", "completion": text, **ending}


def _opening(text: str, rendering: Rendering) -> str:
    """The blank that Claude writes after ``Assistant:``, unless the answer has its own."""
    is_fresh = str(rendering.body.get("prompt", "")).endswith("Assistant:")
    return " " if is_fresh and text and not text[0].isspace() else ""


def _ending(stop: Stop, stop_sequence: str | None) -> dict[str, Any]:
    if stop == "length":
        return {"stop_reason": "max_tokens", "stop": None}
    return {"stop_reason": "stop_sequence", "stop": stop_sequence or HUMAN}


def _check_turns(prompt: str) -> None:
    """The first turn must be Human's and the last Assistant's, which may have begun its answer.

    A system text may come first, and the very first marker may lack its two line breaks: both have
    been accepted since Claude 2.1.
    """
    speakers = [match[1] for match in CLAUDE_MARKER.finditer(prompt)]
    faults: list[str] = []
    if not speakers or speakers[0] != "Human":
        faults.append('prompt must start with "\\n\\nHuman:" turn')
    if not speakers or speakers[-1] != "Assistant":
        faults.append('prompt must end with "\\n\\nAssistant:" turn')
    if faults:
        raise ValidationException("Invalid prompt: " + ", ".join(faults))


def _stopping(generation: Generation) -> Generation:
    stops = generation.stop_sequences
    return generation if HUMAN in stops else replace(generation, stop_sequences=(*stops, HUMAN))
