"""What the scripted engine answers: a pure function of the request, as an iterator of events. Only
the figures of its cache depend on what was asked before.

A last user turn that holds ``script:`` and a JSON array is a script, else the answer echoes the
texts of that turn. Steps of a script, made in order:

    {"text": "…"}                      that text
    {"tokens": 50}                     so many tokens of made-up text: " w0 w1 w2…"
    {"reasoning": "…"}                 that thought; with "signature", its signature behind it
    {"redacted": "…"}                  a thought that nobody may read
    {"tool": "name", "input": {…}}     a call; EngineFailed where the request does not allow it
    {"pause": "name"}                  waits for ``release(name)`` or for cancellation
    {"sleep_s": 0.5}                   waits that long
    {"stop": "filtered"}               the engine's filters end the answer here
    {"error": "gone"}                  also failed, timeout, busy, not_ready

A tool choice that demands a call gets one at the end if the script made none, with the smallest
arguments that the schema allows; without a script ``json_schema`` is answered in that way too, and
a thought comes first where one is asked for. Every token is the only possible one, so sampling
parameters change nothing; log-probabilities are made up from the token.
"""

import itertools
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from outcrop.engines.instance import find_smallest
from outcrop.engines.protocol import (
    EngineBusy,
    EngineError,
    EngineFailed,
    EngineGone,
    EngineNotReady,
    EngineTimeout,
    InputTooLong,
    Unsupported,
)
from outcrop.engines.scripted_prompt import CacheUse, PromptCache, pieces, prompt
from outcrop.engines.stops import StopFilter
from outcrop.generation import (
    Event,
    Finished,
    Generation,
    ReasoningDelta,
    Started,
    Stop,
    Text,
    TextDelta,
    Token,
    ToolResult,
    ToolUseDelta,
    ToolUseStarted,
    Truncate,
    Turn,
)

_MARK = re.compile(r"script:\s*(?=\[)")
_ERRORS: dict[str, type[EngineError]] = {
    "gone": EngineGone,
    "failed": EngineFailed,
    "timeout": EngineTimeout,
    "busy": EngineBusy,
    "not_ready": EngineNotReady,
}


@dataclass(frozen=True, slots=True)
class Pause:
    name: str


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class _Say:
    pieces: Iterable[str]


@dataclass(frozen=True, slots=True)
class _Think:
    pieces: Iterable[str]
    signature: str | None = None
    redacted: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    tool: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class _Fail:
    error: str


@dataclass(frozen=True, slots=True)
class _Filter:
    pass


_Step = _Say | _Think | _Call | _Fail | _Filter | Pause | Sleep


def fit(tokens: list[str], limit: int | None, truncate: Truncate) -> list[str]:
    """``tokens`` cut to ``limit`` as ``truncate`` says."""
    if limit is None or len(tokens) <= limit:
        return tokens
    if truncate == "none":
        raise InputTooLong(limit, len(tokens))
    return tokens[:limit] if truncate == "end" else tokens[len(tokens) - limit :]


class Answer:
    """One generation. ``tokens`` fixes the length of an echo."""

    def __init__(
        self, generation: Generation, tokens: int | None, engine: str, cache: PromptCache
    ) -> None:
        self._generation = generation
        self._engine = engine
        whole = prompt(generation)
        self._prompt = fit(whole, generation.max_input_tokens, generation.truncate)
        # A prompt that was cut is not the one that comes again.
        self._cache = cache.use(generation) if self._prompt is whole else CacheUse()
        self._steps = _steps(generation, tokens, engine)
        self._filter = StopFilter(generation.stop_sequences)
        self._plain = not generation.stop_sequences and generation.logprobs == "none"
        self._count = 0
        self._calls = 0
        self._stop: Stop | None = None
        self._matched: str | None = None

    def events(self) -> Iterator[Event | Pause | Sleep]:
        scored = self._generation.logprobs == "all"
        yield Started(len(self._prompt), _scored_prompt(self._prompt) if scored else ())
        for step in self._steps:
            yield from self._make(step)
            if self._stop is not None:
                break
        if self._matched is None:
            yield from self._flush()
        stop = self._stop or ("tool_use" if self._calls else "end")
        read, written = self._cache.read_tokens, self._cache.write_tokens
        rest = len(self._prompt) - read - written
        yield Finished(stop, rest, self._count, self._matched, read, written)

    def _make(self, step: _Step) -> Iterator[Event | Pause | Sleep]:
        match step:
            case _Say():
                yield from self._say(step.pieces)
            case _Think():
                yield from self._flush()
                yield from self._think(step)
            case _Call():
                yield from self._flush()
                yield from self._call(step)
            case _Fail():
                yield from self._flush()
                raise _ERRORS[step.error]("the script says so")
            case _Filter():
                self._stop = "filtered"
            case Pause() | Sleep():
                yield step

    def _say(self, said: Iterable[str]) -> Iterator[Event]:
        remaining = iter(said)
        for piece in itertools.islice(remaining, self._room):
            self._count += 1
            if self._plain:
                yield TextDelta(piece, self._count)
                continue
            text, tokens, self._matched = self._filter.feed(piece, self._tokens(piece))
            if text or tokens:
                yield TextDelta(text, self._count, tokens)
            if self._matched is not None:
                self._stop = "stop_sequence"
                return
        self._check_length(remaining)

    def _think(self, thought: _Think) -> Iterator[Event]:
        remaining = iter(thought.pieces)
        for piece in itertools.islice(remaining, self._room):
            self._count += 1
            yield ReasoningDelta(piece, self._count)
        self._check_length(remaining)
        if self._stop is None and (thought.signature or thought.redacted):
            yield ReasoningDelta("", self._count, thought.signature, thought.redacted)

    def _call(self, call: _Call) -> Iterator[Event]:
        _check_allowed(call, self._generation)
        remaining = iter(pieces(msgspec.json.encode(call.arguments).decode()))
        first = list(itertools.islice(remaining, min(1, self._room)))
        if not first:
            self._stop = "length"
            return
        self._calls += 1
        yield ToolUseStarted(f"tooluse_scripted{self._calls:04d}", call.tool)
        for piece in itertools.chain(first, itertools.islice(remaining, self._room - 1)):
            self._count += 1
            yield ToolUseDelta(piece, self._count)
        self._check_length(remaining)

    def _flush(self) -> Iterator[Event]:
        text, tokens = self._filter.flush()
        if text or tokens:
            yield TextDelta(text, self._count, tokens)

    @property
    def _room(self) -> int:
        return self._generation.max_tokens - self._count

    def _check_length(self, remaining: Iterator[str]) -> None:
        if next(remaining, None) is not None:
            self._stop = "length"

    def _tokens(self, piece: str) -> tuple[Token, ...]:
        return () if self._generation.logprobs == "none" else (_token(piece),)


def _token(piece: str) -> Token:
    number = zlib.crc32(piece.encode())
    return Token(piece, number, -(number % 1000 + 1) / 100)


def _scored_prompt(tokens: list[str]) -> tuple[Token, ...]:
    scored = [_token(piece) for piece in tokens]
    return tuple(
        token if position else Token(token.text, token.id, None)
        for position, token in enumerate(scored)
    )


def _last_user_text(turns: tuple[Turn, ...]) -> str:
    for turn in reversed(turns):
        if turn.role == "user":
            return "".join(part.text for part in turn.parts if isinstance(part, Text | ToolResult))
    return ""


def _steps(generation: Generation, tokens: int | None, engine: str) -> list[_Step]:
    text = _last_user_text(generation.turns)
    script = _script(text)
    forced = generation.tool_choice.mode in ("any", "tool")
    steps: list[_Step] = script or []
    if script is None and generation.reasoning is not None:
        steps.append(_thought(generation, text))
    if script is None and not forced:
        steps.append(_Say(_echo(generation, text, tokens, engine)))
    if forced and not any(isinstance(step, _Call) for step in steps):
        steps.append(_forced(generation, engine))
    return steps


def _script(text: str) -> list[_Step] | None:
    mark = _MARK.search(text)
    if mark is None:
        return None
    try:
        script, _ = json.JSONDecoder().raw_decode(text, mark.end())
        return [_step(step) for step in script]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise EngineFailed(f"the script cannot be read: {error!r}") from error


def _step(step: dict[str, Any]) -> _Step:
    match step:
        case {"text": str(text)}:
            return _Say(pieces(text))
        case {"tokens": int(count)}:
            return _Say(_words(count))
        case {"reasoning": str(text)}:
            return _Think(pieces(text), signature=step.get("signature"))
        case {"redacted": str(text)}:
            return _Think((), redacted=text.encode())
        case {"tool": str(name), "input": arguments}:
            return _Call(name, arguments)
        case {"pause": str(name)}:
            return Pause(name)
        case {"sleep_s": int(seconds) | float(seconds)}:
            return Sleep(seconds)
        case {"error": str(error)} if error in _ERRORS:
            return _Fail(error)
        case {"stop": "filtered"}:
            return _Filter()
        case _:
            raise ValueError(f"no such step: {step}")


def _echo(generation: Generation, text: str, tokens: int | None, engine: str) -> Iterable[str]:
    if generation.json_schema is not None:
        return pieces(_smallest(generation.json_schema, "json_schema", engine).decode())
    whole = prompt(generation)
    kept = fit(whole, generation.max_input_tokens, generation.truncate)
    echo = pieces(text) if kept is whole else kept
    if tokens is None:
        return echo
    return itertools.islice(itertools.cycle(echo) if echo else _words(tokens), tokens)


def _thought(generation: Generation, text: str) -> _Think:
    asked = generation.reasoning
    thought = pieces(f"The last turn has {len(pieces(text))} words.")
    return _Think(thought[: asked.budget_tokens if asked else None], signature="c2NyaXB0ZWQ=")


def _words(count: int) -> Iterator[str]:
    return (f" w{number}" for number in range(count))


def _forced(generation: Generation, engine: str) -> _Call:
    choice = generation.tool_choice
    for tool in generation.tools:
        if choice.mode == "any" or tool.name == choice.name:
            smallest = find_smallest(tool.schema)
            if smallest is None:
                raise Unsupported(f"the schema of the tool {tool.name}", tool.schema, engine)
            return _Call(tool.name, smallest[0])
    raise Unsupported("tool_choice", choice.name or choice.mode, engine)


def _smallest(schema: Mapping[str, Any], parameter: str, engine: str) -> bytes:
    smallest = find_smallest(schema)
    if smallest is None:
        raise Unsupported(parameter, schema, engine)
    return msgspec.json.encode(smallest[0])


def _check_allowed(call: _Call, generation: Generation) -> None:
    choice = generation.tool_choice
    offered = any(tool.name == call.tool for tool in generation.tools)
    if not offered or choice.mode == "none" or (choice.name or call.tool) != call.tool:
        raise EngineFailed(f"the script calls {call.tool!r}, which the request does not allow")
