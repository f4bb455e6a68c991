"""The chunks of a chat completion stream, turned into events one by one.

Counts come from the server wherever it tells them: usage in every chunk (vLLM), timings (llama.cpp)
or usage at the end. Where it tells nothing until the end, ``Started`` says 0 input tokens, and an
answer that ended at a stop sequence found here counts one token a chunk or log-probability.

Tokens read from a cache are told apart where the caller set cache points. No server tells what it
put into its cache.
"""

import secrets
from collections.abc import Iterator
from typing import Any

import msgspec

from outcrop.engines.openai.failures import describe
from outcrop.engines.protocol import EngineFailed, EngineGone, InputTooLong, TokenCount
from outcrop.engines.stops import StopFilter
from outcrop.generation import (
    Event,
    Finished,
    Generation,
    ReasoningDelta,
    Started,
    Stop,
    TextDelta,
    Token,
    ToolUseDelta,
    ToolUseStarted,
)
from outcrop.prompting.cachepoints import has_cache_points

UNKNOWN_TOKEN_ID = -1
# A server that ends a thought does so with words of its own.
BUDGET_SLACK = 64


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class _ToolCall(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Delta(msgspec.Struct):
    content: str | None = None
    # The name of today and the older one; servers in between send both.
    reasoning: Any = None
    reasoning_content: Any = None
    tool_calls: list[_ToolCall] | None = None


class _Logprob(msgspec.Struct):
    token: str
    logprob: float | None = None
    id: int = UNKNOWN_TOKEN_ID


class _Logprobs(msgspec.Struct):
    content: list[_Logprob] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: TokenCount | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: TokenCount = 0
    completion_tokens: TokenCount = 0
    prompt_tokens_details: _PromptDetails | None = None


class _Timings(msgspec.Struct):
    cache_n: int = 0
    prompt_n: int = 0
    predicted_n: int = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    timings: _Timings | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode
_STOPS: dict[str, Stop] = {
    "stop": "end",
    "eos_token": "end",
    "length": "length",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "filtered",
}


class Reader:
    """``feed`` the data of each event; ``done`` once nothing more is wanted, then ``finish``."""

    def __init__(self, generation: Generation) -> None:
        self.done = False
        self._generation = generation
        self._filter = StopFilter(generation.stop_sequences)
        self._input_tokens = 0
        self._output_tokens = 0
        self._cached_tokens = 0
        self._counted = False
        self._started = False
        self._has_text = False
        self._stop: Stop | None = None
        self._matched: str | None = None
        self._call_index = -1
        self._arguments: list[str] = []

    def feed(self, data: bytes) -> Iterator[Event]:
        if data.strip() == b"[DONE]":
            self.done = True
            return
        chunk = self._read(data)
        self._count(chunk)
        for choice in chunk.choices[:1]:
            if not _carries(choice):
                self._end(choice)
                continue
            if not self._counted:
                self._output_tokens += len(_tokens(choice)) or 1
            yield from self._start()
            if self._generation.max_tokens:
                yield from self._content(choice)
            self._end(choice)

    def finish(self) -> Iterator[Event]:
        """The end; raises EngineGone if the server stopped in the middle."""
        if self._stop is None:
            raise EngineGone("the server ended the stream in the middle of the answer")
        yield from self._start()
        if self._matched is None:
            yield from self._flush()
        yield from self._end_call()
        forced = self._generation.tool_choice.mode in ("any", "tool") and self._generation.tools
        if forced and self._call_index < 0 and self._stop == "end":
            raise EngineFailed("the server made no tool call although the request demands one")
        # Several servers say "stop" after a call, above all after one that was demanded.
        stop = "tool_use" if self._stop == "end" and self._call_index >= 0 else self._stop
        output_tokens = self._output_tokens if self._generation.max_tokens else 0
        # No more of the prompt can come from a cache than there is.
        cached = min(self._cached_tokens, self._input_tokens)
        read = cached if has_cache_points(self._generation) else 0
        rest = self._input_tokens - read
        yield Finished(stop, rest, output_tokens, self._matched, cache_read_tokens=read)

    def _read(self, data: bytes) -> _Chunk:
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise EngineFailed(f"the server sent a chunk that cannot be read: {error}") from error
        if chunk.error is not None:
            raise EngineFailed(f"the server reported an error: {describe(chunk.error)[:500]}")
        return chunk

    def _count(self, chunk: _Chunk) -> None:
        if chunk.usage is not None:
            self._input_tokens = chunk.usage.prompt_tokens
            self._output_tokens = chunk.usage.completion_tokens
            details = chunk.usage.prompt_tokens_details
            self._cached_tokens = (details.cached_tokens if details else None) or 0
            self._counted = True
        elif chunk.timings is not None:
            self._input_tokens = chunk.timings.cache_n + chunk.timings.prompt_n
            self._output_tokens = chunk.timings.predicted_n
            self._cached_tokens = chunk.timings.cache_n
            self._counted = True

    def _start(self) -> Iterator[Event]:
        if self._started:
            return
        limit = self._generation.max_input_tokens
        if limit is not None and self._input_tokens > limit:
            raise InputTooLong(limit, self._input_tokens)
        self._started = True
        yield Started(self._input_tokens)

    def _content(self, choice: _Choice) -> Iterator[Event]:
        thought = _thought(choice)
        if thought:
            yield from self._think(thought)
        # The log-probabilities that come with a thought are the thought's.
        if choice.delta.content or (_tokens(choice) and not thought):
            yield from self._text(choice)
        for call in choice.delta.tool_calls or ():
            if self._matched is None:
                yield from self._tool_call(call)

    def _end(self, choice: _Choice) -> None:
        if choice.finish_reason is not None and self._matched is None:
            self._stop = _stop(choice.finish_reason)

    def _think(self, thought: str) -> Iterator[Event]:
        yield from self._flush()
        asked = self._generation.reasoning
        budget = asked.budget_tokens if asked else None
        only_thought = self._call_index < 0 and not self._has_text
        if budget is not None and only_thought and self._output_tokens > budget + BUDGET_SLACK:
            raise EngineFailed(
                f"the server thinks longer than the {budget} tokens it was asked to; vLLM keeps to "
                "a budget where it is started with --reasoning-config"
            )
        yield ReasoningDelta(thought, self._output_tokens)

    def _text(self, choice: _Choice) -> Iterator[Event]:
        self._has_text = True
        tokens = _tokens(choice) if self._generation.logprobs != "none" else ()
        text, released, matched = self._filter.feed(choice.delta.content or "", tokens)
        if text or released:
            yield TextDelta(text, self._output_tokens, released)
        if matched is not None:
            self._matched, self._stop = matched, "stop_sequence"
            self.done = True

    def _tool_call(self, call: _ToolCall) -> Iterator[Event]:
        if call.index < self._call_index:
            raise EngineFailed("the server mixed the pieces of several tool calls")
        if call.index > self._call_index:
            yield from self._flush()
            yield from self._end_call()
            if not call.function.name:
                raise EngineFailed("the server began a tool call without a name")
            self._call_index = call.index
            name = call.function.name
            yield ToolUseStarted(call.id or f"tooluse_{secrets.token_urlsafe(16)}", name)
        piece = call.function.arguments
        if piece is not None and not isinstance(piece, str):
            piece = msgspec.json.encode(piece).decode()
        if piece:
            self._arguments.append(piece)
            yield ToolUseDelta(piece, self._output_tokens)

    def _end_call(self) -> Iterator[Event]:
        """Check the arguments of the call that ends; a call without any gets an empty object."""
        if self._call_index < 0 or self._stop == "length":
            return
        if not "".join(self._arguments).strip():
            self._arguments = ["{}"]
            yield ToolUseDelta("{}", self._output_tokens)
        try:
            msgspec.json.decode("".join(self._arguments), type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            raise EngineFailed(f"the server's tool call is not a JSON object: {error}") from error
        self._arguments = []

    def _flush(self) -> Iterator[Event]:
        text, tokens = self._filter.flush()
        if text or tokens:
            yield TextDelta(text, self._output_tokens, tokens)


def _stop(reason: str) -> Stop:
    if reason not in _STOPS:
        raise EngineFailed(f"the server ended the answer for the reason {reason!r}")
    return _STOPS[reason]


def _carries(choice: _Choice) -> bool:
    delta = choice.delta
    return bool(delta.content or delta.tool_calls or _tokens(choice) or _thought(choice))


def _thought(choice: _Choice) -> str:
    thought = choice.delta.reasoning or choice.delta.reasoning_content
    return thought if isinstance(thought, str) else ""


def _tokens(choice: _Choice) -> tuple[Token, ...]:
    logprobs = choice.logprobs.content if choice.logprobs else None
    return tuple(Token(entry.token, entry.id, entry.logprob) for entry in logprobs or ())
