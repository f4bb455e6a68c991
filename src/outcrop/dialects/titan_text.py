"""Amazon Titan Text on InvokeModel.

Requests take the user guide's form and today's; answers take the recorded one (``FINISH``, though
the guide prints ``FINISHED``). Facts: the recordings, and the user guide of November 2023.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects import settings
from outcrop.dialects.protocol import Rendering
from outcrop.dialects.schema import check, per_model
from outcrop.dialects.turns import parse_titan_prompt
from outcrop.generation import (
    Completion,
    Event,
    Finished,
    Generation,
    Started,
    Stop,
    TextDelta,
)

_REASONS: Final[Mapping[Stop, str]] = {
    "end": "FINISH",
    "length": "LENGTH",
    "stop_sequence": "STOP_CRITERIA_MET",
    # Titan Text has no tools; an engine that ends so all the same has finished.
    "tool_use": "FINISH",
    "filtered": "CONTENT_FILTERED",
}
_STOP_SEQUENCE: Final = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 20},
        {"type": "string", "pattern": r"^(\|+|User:)$"},
    ]
}


_TABLE: Final[settings.Table] = {
    "temperature": settings.number("temperature", 0, 1, 0.0),
    "topP": settings.number("top_p", 0, 1, 1.0, settings.off_at_one),
    "maxTokenCount": settings.integer("max_tokens", 0, 8_000, 512),
    "stopSequences": settings.Setting(
        "stop_sequences", {"type": "array", "items": _STOP_SEQUENCE}, (), tuple
    ),
}


def parse(body: Any, model: Model) -> Generation:
    check(_schema(model), body)
    system, turns = parse_titan_prompt(body["inputText"])
    asked = Generation(turns=turns, system=system, max_tokens=0)
    return settings.settled(asked, _TABLE, model, body.get("textGenerationConfig", {}))


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    return {
        "inputTextTokenCount": answers[0].input_tokens,
        "results": [
            {
                "tokenCount": answer.output_tokens,
                "outputText": answer.text,
                "completionReason": _REASONS[answer.stop],
            }
            for answer in answers
        ],
    }


def chunks(rendering: Rendering) -> "TitanChunks":
    return TitanChunks()


def extend(generation: Generation, fields: Mapping[str, Any], model: Model) -> Generation:
    """Titan's own fields are its configuration and nothing else."""
    check(_extension(model), dict(fields))
    return settings.applied(generation, _TABLE, fields.get("textGenerationConfig", {}))


class TitanChunks:
    """Each piece of text is held until the next event, so the last one carries the totals."""

    def __init__(self) -> None:
        self._input_tokens: int | None = None
        self._is_counted = False
        self._held: str | None = None

    def feed(self, event: Event, index: int = 0) -> list[dict[str, Any]]:
        match event:
            case Started():
                self._input_tokens = event.input_tokens or None
                self._is_counted = self._input_tokens is not None
            case TextDelta():
                released = self._release(None, None)
                self._held = event.text
                return released
            case Finished():
                self._held = self._held or ""
                if not self._is_counted:
                    self._input_tokens = event.input_tokens
                return self._release(event.output_tokens, _REASONS[event.stop])
            case _:
                pass
        return []

    def _release(self, output_tokens: int | None, reason: str | None) -> list[dict[str, Any]]:
        if self._held is None:
            return []
        chunk: dict[str, Any] = {
            "outputText": self._held,
            "index": 0,
            "totalOutputTextTokenCount": output_tokens,
            "completionReason": reason,
            "inputTextTokenCount": self._input_tokens,
        }
        # Only the first chunk tells the prompt's tokens, or the last if they were unknown before.
        self._held = self._input_tokens = None
        return [chunk]


@per_model
def _schema(model: Model) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": 50_000, "bare": True}
    return settings.closed({"inputText": text, **_extension(model)["properties"]}, "inputText")


@per_model
def _extension(model: Model) -> dict[str, Any]:
    configuration = settings.closed(settings.properties(_TABLE, model))
    return settings.closed({"textGenerationConfig": configuration})
