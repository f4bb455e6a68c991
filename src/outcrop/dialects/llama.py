"""Meta Llama 2, 3 and 4: a prompt with the model's own turn markers in, ``generation`` out.

A stream's last chunk holds no text: AWS puts the last token there when the length ended it, which
would hold back every token until the next one is known.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects import schema, settings
from outcrop.dialects.protocol import Rendering
from outcrop.dialects.turns import parse_llama_prompt
from outcrop.generation import Completion, Event, Finished, Generation, Started, Stop, TextDelta

_TABLE: Final = {
    "temperature": settings.number("temperature", 0, 1, 0.5),
    "top_p": settings.number("top_p", 0, 1, 0.9, settings.off_at_ends),
    "max_gen_len": settings.tokens(1, 512),
}
_SCHEMA: Final = settings.body_schema(
    _TABLE, {"prompt": {"type": "string", "minLength": 1}}, "prompt"
)
_REASONS: Final[Mapping[Stop, str]] = {
    "end": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "length": "length",
}

extend = settings.extended(_TABLE)


def parse(body: Any, model: Model) -> Generation:
    schema.check(_SCHEMA(model), body)
    system, turns = parse_llama_prompt(body["prompt"])
    base = Generation(turns, model.max_output_tokens, system)
    return settings.settled(base, _TABLE, model, body)


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    answer = answers[0]
    return {
        "generation": answer.text,
        "prompt_token_count": answer.input_tokens,
        "generation_token_count": answer.output_tokens,
        "stop_reason": _REASONS[answer.stop],
    }


def chunks(rendering: Rendering) -> "LlamaChunks":
    return LlamaChunks()


class LlamaChunks:
    """The prompt's count stands in the first chunk only; the answer's count runs up."""

    def __init__(self) -> None:
        self._prompt_tokens: int | None = None

    def feed(self, event: Event, index: int = 0) -> list[dict[str, Any]]:
        match event:
            case Started():
                self._prompt_tokens = event.input_tokens
            case TextDelta(text=text) if text:
                return [self._chunk(text, event.output_tokens, None)]
            case Finished():
                return [self._chunk("", event.output_tokens, _REASONS[event.stop])]
            case _:
                pass
        return []

    def _chunk(self, text: str, output_tokens: int, reason: str | None) -> dict[str, Any]:
        prompt_tokens, self._prompt_tokens = self._prompt_tokens, None
        return {
            "generation": text,
            "prompt_token_count": prompt_tokens,
            "generation_token_count": output_tokens,
            "stop_reason": reason,
        }
