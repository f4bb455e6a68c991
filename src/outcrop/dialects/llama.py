"""Meta Llama 2, 3 and 4: a prompt with the model's own turn markers in, ``generation`` out.

Models that see take ``images`` beside the prompt, one for each ``<|image|>`` in it, or all of them
before the last question. A stream's last chunk holds no text: AWS puts the last token there when
the length ended it, which would hold back every token until the next one is known.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects import schema, settings
from outcrop.dialects.media import find_bytes, find_image_format, require
from outcrop.dialects.protocol import Rendering
from outcrop.dialects.turns import parse_llama_prompt
from outcrop.generation import (
    Completion,
    Event,
    Finished,
    Generation,
    Image,
    Part,
    Started,
    Stop,
    Text,
    TextDelta,
    Turn,
)

_TABLE: Final = {
    "temperature": settings.number("temperature", 0, 1, 0.5),
    "top_p": settings.number("top_p", 0, 1, 0.9, settings.off_at_ends),
    "max_gen_len": settings.tokens(1, 512),
}
_OTHERS: Final = {
    "prompt": {"type": "string", "minLength": 1},
    "images": {"type": "array", "items": {"type": "string"}},
}
_SCHEMA: Final = settings.body_schema(_TABLE, _OTHERS, "prompt")
_IMAGE: Final = "<|image|>"
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
    system, turns = parse_llama_prompt(body["prompt"])
    images = _images(body.get("images", ()), model)
    base = Generation(_with_images(turns, images), model.max_output_tokens, system)
    return settings.settled(base, _TABLE, model, body)


def _images(encoded: Sequence[str], model: Model) -> list[Image]:
    if encoded:
        require("image", model)
    return [_image(text, f"#/images/{index}") for index, text in enumerate(encoded)]


def _image(text: str, pointer: str) -> Image:
    data = find_bytes(text)
    format = find_image_format(data) if data else None
    if not data or format is None:
        raise schema.malformed([(pointer, "expected a PNG, JPEG, GIF or WebP image in base64")])
    return Image(format, data)


def _with_images(turns: tuple[Turn, ...], images: Sequence[Image]) -> tuple[Turn, ...]:
    if not images:
        return turns
    marks = sum(_text(turn).count(_IMAGE) for turn in turns if turn.role == "user")
    if marks == 0:
        last = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=0)
        seen = Turn(turns[last].role, (*images, *turns[last].parts))
        return (*turns[:last], seen, *turns[last + 1 :])
    if marks != len(images):
        told = f"expected item count: {marks}, found: {len(images)}"
        raise schema.malformed([("#/images", told)])
    waiting = iter(images)
    return tuple(_seen(turn, waiting) if turn.role == "user" else turn for turn in turns)


def _seen(turn: Turn, waiting: Iterator[Image]) -> Turn:
    """The turn with the next images in the places of their marks."""
    parts: list[Part] = []
    for place, text in enumerate(_text(turn).split(_IMAGE)):
        if place:
            parts.append(next(waiting))
        if text.strip():
            parts.append(Text(text))
    return Turn(turn.role, tuple(parts))


def _text(turn: Turn) -> str:
    return "".join(part.text for part in turn.parts if isinstance(part, Text))


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
    """The prompt's count stands in the first chunk only, or in the last where the engine learns it
    at the end; the answer's count runs up."""

    def __init__(self) -> None:
        self._prompt_tokens: int | None = None
        self._is_counted = False

    def feed(self, event: Event, index: int = 0) -> list[dict[str, Any]]:
        match event:
            case Started():
                self._prompt_tokens = event.input_tokens or None
                self._is_counted = self._prompt_tokens is not None
            case TextDelta(text=text) if text:
                return [self._chunk(text, event.output_tokens, None)]
            case Finished():
                if not self._is_counted:
                    self._prompt_tokens = event.input_tokens
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
