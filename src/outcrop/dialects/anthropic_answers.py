"""Anthropic Claude's messages format on InvokeModel: the answer, whole or as a stream of events.

Which members an answer has, and in which order, depends on the generation of Claude, as recorded.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects.anthropic_messages import version
from outcrop.dialects.ids import claude_tool_use_id, message_id
from outcrop.dialects.protocol import Rendering
from outcrop.generation import (
    AnswerPart,
    CitationDelta,
    Completion,
    Event,
    Finished,
    Reasoning,
    ReasoningDelta,
    Started,
    Stop,
    Text,
    TextDelta,
    TextStarted,
    ToolUse,
    ToolUseDelta,
    ToolUseStarted,
)

Json = dict[str, Any]

_REASONS: Final[Mapping[Stop, str]] = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "filtered": "refusal",
}
_OPENINGS: Final[Mapping[str, Json]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}
# Prompt caching came to answers with 3.7, its division by lifetime with 4.5.
_WITH_CACHE: Final = (3, 7)
_WITH_LIFETIMES: Final = (4, 5)


def render(answers: Sequence[Completion], rendering: Rendering) -> Json:
    answer = answers[0]
    return _message(
        rendering,
        [_block(part) for part in answer.parts if part != Text("")],
        (_REASONS[answer.stop], answer.stop_sequence),
        _usage(rendering.model, answer.input_tokens, answer.output_tokens, answer),
    )


def chunks(rendering: Rendering) -> "MessageEvents":
    return MessageEvents(rendering)


class MessageEvents:
    """``message_start`` tells how many tokens its first content has, so both leave together. What a
    prompt cache did is known at the end only: ``message_delta`` tells it."""

    def __init__(self, rendering: Rendering) -> None:
        self._rendering = rendering
        self._input_tokens = 0
        self._is_opened = False
        self._waiting: list[Json] = []
        self._index = -1
        self._open_block: str | None = None

    def feed(self, event: Event, index: int = 0) -> list[Json]:
        match event:
            case Started():
                self._input_tokens = event.input_tokens
                return []
            case TextDelta():
                if not event.text:
                    return []
                chunks = self._piece("text", {"type": "text_delta", "text": event.text})
                return self._released(chunks, event.output_tokens)
            case ReasoningDelta():
                chunks = self._thought(event)
                return self._released(chunks, event.output_tokens) if chunks else []
            case TextStarted() | CitationDelta():
                # A body of this form that asks for citations is refused.
                return []
            case ToolUseStarted():
                self._waiting += self._tool_use(event)
                return self._released([], None) if self._is_opened else []
            case ToolUseDelta():
                delta = {"type": "input_json_delta", "partial_json": event.json}
                chunks = [self._delta(delta)] if event.json else []
                return self._released(chunks, event.output_tokens)
            case Finished():
                return self._released(self._end(event), event.output_tokens)

    def _released(self, chunks: list[Json], output_tokens: int | None) -> list[Json]:
        released = self._waiting + chunks
        self._waiting = []
        if self._is_opened or output_tokens is None:
            return released
        self._is_opened = True
        usage = _usage(self._rendering.model, self._input_tokens, output_tokens)
        message = _message(self._rendering, [], (None, None), usage)
        return [{"type": "message_start", "message": message}, *released]

    def _piece(self, kind: str, delta: Json) -> list[Json]:
        """A piece of a text or a thought, whose block it opens."""
        chunks: list[Json] = []
        if self._open_block != kind:
            chunks = self._start(kind, dict(_OPENINGS[kind]))
        return [*chunks, self._delta(delta)]

    def _thought(self, event: ReasoningDelta) -> list[Json]:
        if event.redacted is not None:
            return [*self._start("redacted_thinking", _redacted(event.redacted)), *self._stop()]
        chunks: list[Json] = []
        if event.text:
            chunks += self._piece("thinking", {"type": "thinking_delta", "thinking": event.text})
        if event.signature is not None:
            delta = {"type": "signature_delta", "signature": event.signature}
            chunks += [*self._piece("thinking", delta), *self._stop()]
        return chunks

    def _tool_use(self, event: ToolUseStarted) -> list[Json]:
        block: Json = {
            "type": "tool_use",
            "id": claude_tool_use_id(event.id),
            "name": event.name,
            "input": {},
        }
        empty = {"type": "input_json_delta", "partial_json": ""}
        return [*self._start("tool_use", block), self._delta(empty)]

    def _start(self, kind: str, block: Json) -> list[Json]:
        chunks = self._stop()
        self._index += 1
        self._open_block = kind
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        return [*chunks, start]

    def _stop(self) -> list[Json]:
        if self._open_block is None:
            return []
        self._open_block = None
        return [{"type": "content_block_stop", "index": self._index}]

    def _delta(self, delta: Json) -> Json:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _end(self, event: Finished) -> list[Json]:
        delta = {"stop_reason": _REASONS[event.stop], "stop_sequence": event.stop_sequence}
        usage: Json = {"output_tokens": event.output_tokens}
        if event.cache_read_tokens or event.cache_write_tokens:
            usage = {"input_tokens": event.input_tokens, **_cache_counts(event), **usage}
        elif event.input_tokens != self._input_tokens:
            # Unknown at the start; the provider's own totals stand here too.
            usage = {"input_tokens": event.input_tokens, **usage}
        return [
            *self._stop(),
            {"type": "message_delta", "delta": delta, "usage": usage},
            {"type": "message_stop"},
        ]


def _message(
    rendering: Rendering,
    content: list[Json],
    stop: tuple[str | None, str | None],
    usage: Json,
) -> Json:
    model = rendering.model.provider_model or rendering.model.id
    head: Json = {
        "id": message_id(rendering.request_id),
        "type": "message",
        "role": "assistant",
    }
    is_new = version(rendering.model) >= _WITH_LIFETIMES
    return {
        **({"model": model, **head} if is_new else {**head, "model": model}),
        "content": content,
        "stop_reason": stop[0],
        "stop_sequence": stop[1],
        "usage": usage,
    }


def _block(part: AnswerPart) -> Json:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Reasoning(redacted=bytes(redacted)):
            return _redacted(redacted)
        case Reasoning():
            signature = part.signature or ""
            return {"type": "thinking", "thinking": part.text, "signature": signature}
        case ToolUse():
            return {
                "type": "tool_use",
                "id": claude_tool_use_id(part.id),
                "name": part.name,
                "input": part.input,
            }


def _redacted(data: bytes) -> Json:
    return {"type": "redacted_thinking", "data": data.decode("ascii", "backslashreplace")}


def _usage(
    model: Model, input_tokens: int, output_tokens: int, done: Completion | None = None
) -> Json:
    """The counts. Those of prompt caching are 0 until ``done`` tells them."""
    generation = version(model)
    written = 0 if done is None else done.cache_write_tokens
    usage: Json = {"input_tokens": input_tokens}
    if generation >= _WITH_CACHE or (done and (done.cache_read_tokens or written)):
        usage |= _cache_counts(done)
    if generation >= _WITH_LIFETIMES:
        usage["cache_creation"] = {
            "ephemeral_5m_input_tokens": written,
            "ephemeral_1h_input_tokens": 0,
        }
    usage["output_tokens"] = output_tokens
    return usage


def _cache_counts(done: Completion | Finished | None) -> Json:
    return {
        "cache_creation_input_tokens": 0 if done is None else done.cache_write_tokens,
        "cache_read_input_tokens": 0 if done is None else done.cache_read_tokens,
    }
