"""Amazon Nova's answers: whole, and as the inner events of its stream.

As recorded, each piece of text is a content block of its own; a tool use is one block. Nova's
thoughts carry no signature and are never redacted.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.dialects.ids import nova_tool_use_id
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
    "filtered": "content_filtered",
}


def render(answers: Sequence[Completion]) -> Json:
    answer = answers[0]
    content = [_block(part) for part in answer.parts if not _is_unseen(part)]
    return {
        "output": {"message": {"content": content, "role": "assistant"}},
        "stopReason": _REASONS[answer.stop],
        "usage": {
            "inputTokens": answer.input_tokens,
            "outputTokens": answer.output_tokens,
            "totalTokens": answer.input_tokens
            + answer.output_tokens
            + answer.cache_read_tokens
            + answer.cache_write_tokens,
            **_cache_counts(answer),
        },
    }


class NovaEvents:
    def __init__(self) -> None:
        self._index = 0
        self._is_tool_open = False

    def feed(self, event: Event, index: int = 0) -> list[Json]:
        match event:
            case Started():
                return [{"messageStart": {"role": "assistant"}}]
            case TextDelta():
                if not event.text:
                    return []
                return [*self._stop_tool(), self._delta({"text": event.text}), self._stop()]
            case ReasoningDelta():
                if not event.text:
                    return []
                thought = {"reasoningContent": {"reasoningText": {"text": event.text}}}
                return [*self._stop_tool(), self._delta(thought), self._stop()]
            case TextStarted() | CitationDelta():
                # No body of this form asks for citations.
                return []
            case ToolUseStarted():
                stopped = self._stop_tool()
                self._is_tool_open = True
                use = {"toolUseId": nova_tool_use_id(event.id), "name": event.name}
                start: Json = {"start": {"toolUse": use}, "contentBlockIndex": self._index}
                return [*stopped, {"contentBlockStart": start}]
            case ToolUseDelta():
                return [self._delta({"toolUse": {"input": event.json}})] if event.json else []
            case Finished():
                return [*self._stop_tool(), *_end(event)]

    def _delta(self, delta: Json) -> Json:
        return {"contentBlockDelta": {"delta": delta, "contentBlockIndex": self._index}}

    def _stop_tool(self) -> list[Json]:
        if not self._is_tool_open:
            return []
        self._is_tool_open = False
        return [self._stop()]

    def _stop(self) -> Json:
        stop = {"contentBlockStop": {"contentBlockIndex": self._index}}
        self._index += 1
        return stop


def _end(event: Finished) -> list[Json]:
    usage = {
        "inputTokens": event.input_tokens,
        "outputTokens": event.output_tokens,
        **_cache_counts(event),
    }
    return [
        {"messageStop": {"stopReason": _REASONS[event.stop]}},
        {"metadata": {"usage": usage, "metrics": {}, "trace": {}}},
    ]


def _cache_counts(done: Completion | Finished) -> Json:
    return {
        "cacheReadInputTokenCount": done.cache_read_tokens,
        "cacheWriteInputTokenCount": done.cache_write_tokens,
    }


def _is_unseen(part: AnswerPart) -> bool:
    return isinstance(part, Reasoning) and not part.text


def _block(part: AnswerPart) -> Json:
    match part:
        case Text():
            return {"text": part.text}
        case Reasoning():
            return {"reasoningContent": {"reasoningText": {"text": part.text}}}
        case ToolUse():
            use = {"name": part.name, "toolUseId": nova_tool_use_id(part.id), "input": part.input}
            return {"toolUse": use}
