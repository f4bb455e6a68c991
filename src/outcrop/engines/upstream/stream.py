"""The events of ConverseStream as neutral events.

Bedrock tells its counts at the end: ``Started`` says 0 input tokens, and a delta's
``output_tokens`` counts deltas; ``Finished`` has the true numbers.
"""

from collections.abc import Iterator

import msgspec

from outcrop.engines.protocol import EngineFailed, EngineGone, TokenCount
from outcrop.engines.stops import StopFilter
from outcrop.engines.upstream import citations
from outcrop.engines.upstream.failures import failure
from outcrop.generation import (
    CitationDelta,
    Event,
    Finished,
    Generation,
    ReasoningDelta,
    Started,
    Stop,
    TextDelta,
    TextStarted,
    ToolUseDelta,
    ToolUseStarted,
)
from outcrop.wire.eventstream import Frame

_STOPS: dict[str, Stop] = {
    "end_turn": "end",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "content_filtered": "filtered",
    "guardrail_intervened": "filtered",
}


class _Use(msgspec.Struct, rename="camel"):
    tool_use_id: str | None = None
    name: str | None = None
    input: str | None = None


class _Thought(msgspec.Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: bytes | None = None


class _Delta(msgspec.Struct, rename="camel"):
    text: str | None = None
    citation: citations.Told | None = None
    reasoning_content: _Thought | None = None
    tool_use: _Use | None = None


class _Usage(msgspec.Struct, rename="camel"):
    input_tokens: TokenCount
    output_tokens: TokenCount
    cache_read_input_tokens: TokenCount = 0
    cache_write_input_tokens: TokenCount = 0


class _Fields(msgspec.Struct):
    stop_sequence: str | None = None


class _Payload(msgspec.Struct, rename="camel"):
    content_block_index: int | None = None
    start: _Delta | None = None
    delta: _Delta | None = None
    stop_reason: str | None = None
    additional_model_response_fields: _Fields | None = None
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Payload).decode


class Reader:
    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._filter = StopFilter(generation.stop_sequences)
        self._has_citations = citations.are_asked_for(generation)
        self._text_block: int | None = None
        self._deltas = 0
        self._stop: Stop | None = None
        self._matched: str | None = None
        self._told: str | None = None
        self._usage: _Usage | None = None

    def feed(self, frame: Frame) -> Iterator[Event]:
        if frame.headers.get(":message-type") != "event":
            code = frame.headers.get(":exception-type") or frame.headers.get(":error-code")
            raise failure(str(code), None, frame.payload)
        payload = _read(frame.payload)
        self._usage = payload.usage or self._usage
        if payload.stop_reason is not None:
            self._end(payload)
        if frame.headers.get(":event-type") == "messageStart":
            yield Started(0)
        elif self._generation.max_tokens and self._matched is None:
            yield from self._content(payload)

    def finish(self) -> Iterator[Event]:
        if self._stop is None or self._usage is None:
            raise EngineGone("Bedrock ended the stream in the middle of the answer")
        if self._matched is None:
            yield from self._flush()
        usage = self._usage
        output_tokens = usage.output_tokens if self._generation.max_tokens else 0
        yield Finished(
            self._stop,
            usage.input_tokens,
            output_tokens,
            self._matched or self._told,
            usage.cache_read_input_tokens,
            usage.cache_write_input_tokens,
        )

    def _content(self, payload: _Payload) -> Iterator[Event]:
        if payload.start is not None and payload.start.tool_use is not None:
            yield from self._flush()
            use = payload.start.tool_use
            yield ToolUseStarted(use.tool_use_id or "", use.name or "")
        delta = payload.delta
        if delta is None:
            return
        if delta.reasoning_content is not None:
            yield from self._think(delta.reasoning_content)
        if delta.text or delta.citation is not None:
            yield from self._begin_text(payload.content_block_index)
        if delta.citation is not None:
            yield CitationDelta(citations.read(delta.citation))
        if delta.text:
            yield from self._text(delta.text)
        if delta.tool_use is not None and delta.tool_use.input:
            self._deltas += 1
            yield ToolUseDelta(delta.tool_use.input, self._deltas)

    def _think(self, thought: _Thought) -> Iterator[Event]:
        yield from self._flush()
        self._deltas += 1
        if thought.redacted_content is not None:
            yield ReasoningDelta("", self._deltas, redacted=thought.redacted_content)
        elif thought.signature is not None:
            yield ReasoningDelta("", self._deltas, thought.signature)
        elif thought.text:
            yield ReasoningDelta(thought.text, self._deltas)

    def _begin_text(self, block: int | None) -> Iterator[Event]:
        """Without citations, how Bedrock cuts a text into blocks means nothing."""
        if self._has_citations and self._text_block not in (None, block):
            yield from self._flush()
            yield TextStarted()
        self._text_block = block

    def _text(self, received: str) -> Iterator[Event]:
        self._deltas += 1
        text, _, self._matched = self._filter.feed(received)
        if text:
            yield TextDelta(text, self._deltas)

    def _flush(self) -> Iterator[Event]:
        text, _ = self._filter.flush()
        if text:
            yield TextDelta(text, self._deltas)

    def _end(self, payload: _Payload) -> None:
        reason = payload.stop_reason or ""
        if reason not in _STOPS:
            raise EngineFailed(f"Bedrock ended the answer for the reason {reason!r}")
        self._stop = _STOPS[reason] if self._matched is None else "stop_sequence"
        sequences = self._generation.stop_sequences
        if self._stop == "stop_sequence" and self._matched is None:
            fields = payload.additional_model_response_fields
            told = fields.stop_sequence if fields else None
            self._told = told if told in sequences else None
            if len(sequences) == 1:
                self._told = sequences[0]


def _read(payload: bytes) -> _Payload:
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EngineFailed(f"Bedrock sent an event that cannot be read: {error}") from error
