"""Mistral's text form: a prompt with ``[INST]`` markers in, ``outputs`` out.

A stream's last chunk holds the stop reason and no text, whatever ended it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects import schema, settings
from outcrop.dialects.protocol import Rendering
from outcrop.dialects.turns import parse_mistral_prompt
from outcrop.generation import Completion, Event, Finished, Generation, Stop, TextDelta

_TABLE: Final = {
    "max_tokens": settings.tokens(1, 512),
    "stop": settings.stops(10),
    "temperature": settings.number("temperature", 0, 1, 0.5),
    "top_p": settings.number("top_p", 0, 1, 0.9, settings.off_at_one),
    # Its default differs between the models of the family and is the catalog's to state.
    "top_k": settings.integer("top_k", 1, 200),
}
_SCHEMA: Final = settings.body_schema(
    _TABLE, {"prompt": {"type": "string", "minLength": 1}}, "prompt"
)
_REASONS: Final[Mapping[Stop, str]] = {
    "end": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "length": "length",
    # The family's own reasons are these two.
    "filtered": "stop",
}

extend = settings.extended(_TABLE)


def parse(body: Any, model: Model) -> Generation:
    schema.check(_SCHEMA(model), body)
    system, turns = parse_mistral_prompt(body["prompt"])
    base = Generation(turns, model.max_output_tokens, system)
    return settings.settled(base, _TABLE, model, body)


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    return _outputs(answers[0].text, _REASONS[answers[0].stop])


def chunks(rendering: Rendering) -> "MistralChunks":
    return MistralChunks()


class MistralChunks:
    def feed(self, event: Event, index: int = 0) -> list[dict[str, Any]]:
        match event:
            case TextDelta(text=text) if text:
                return [_outputs(text, None)]
            case Finished():
                return [_outputs("", _REASONS[event.stop])]
            case _:
                return []


def _outputs(text: str, reason: str | None) -> dict[str, Any]:
    return {"outputs": [{"text": text, "stop_reason": reason}]}
