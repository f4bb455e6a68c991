"""Reads a model's raw text stream: text, tool calls, and the JSON that was asked for.

A character is passed on as soon as it can no longer be the start of a tool call. Arguments are
checked against the tool's schema when their last brace has come.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from outcrop.generation import (
    Event,
    Finished,
    Stop,
    TextDelta,
    Token,
    ToolUseDelta,
    ToolUseStarted,
)
from outcrop.prompting.errors import OutputInvalid, ToolArgumentsInvalid
from outcrop.prompting.schemas import explain

CALL_OPEN = "<tool_call>"
CALL_CLOSE = "</tool_call>"

_MAX_HEAD = 512
_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)')
_State = Literal["text", "head", "arguments", "tail"]


def new_tool_use_id() -> str:
    return f"tooluse_{secrets.token_urlsafe(16)}"


class Reader:
    """The state of one stream. ``tools`` maps the names that may be called to their schemas."""

    def __init__(
        self, tools: Mapping[str, Mapping[str, Any]], json_schema: Mapping[str, Any] | None = None
    ) -> None:
        self._tools = tools
        self._json_schema = json_schema
        self._state: _State = "text"
        self._pending = ""
        self._tokens: tuple[Token, ...] = ()
        self._tool = ""
        self._arguments: list[str] = []
        self._scanner = _ObjectScanner()
        self._calls = 0
        self._answer: list[str] = []

    def feed(self, text: str, output_tokens: int, tokens: tuple[Token, ...] = ()) -> list[Event]:
        """``text`` is whole characters without any stop sequence; ``output_tokens`` counts from
        the start of the answer. Raises ToolArgumentsInvalid."""
        if not self._tools:
            return self._text(text, output_tokens, tokens)
        self._pending += text
        self._tokens += tokens
        events: list[Event] = []
        while self._step(events, output_tokens):
            pass
        return events

    def finish(
        self,
        stop: Stop,
        input_tokens: int,
        output_tokens: int,
        stop_sequence: str | None = None,
    ) -> list[Event]:
        """The last events. Raises OutputInvalid, or ToolArgumentsInvalid when the model ended its
        answer inside a call; one cut off by its length or a stop sequence stays incomplete."""
        events: list[Event] = []
        if self._state == "text" and not (self._calls and not self._pending.strip()):
            events += self._text(self._pending, output_tokens, self._tokens)
        elif self._state in ("head", "arguments") and stop == "end":
            raise ToolArgumentsInvalid(self._tool, "the model ended its answer inside the call")
        if self._calls and stop == "end":
            stop = "tool_use"
        elif stop == "end":
            self._check_answer()
        events.append(Finished(stop, input_tokens, output_tokens, stop_sequence))
        return events

    def _step(self, events: list[Event], output_tokens: int) -> bool:
        """Consumes pending characters; False when more must come first."""
        match self._state:
            case "text":
                return self._step_text(events, output_tokens)
            case "head":
                return self._step_head(events)
            case "arguments":
                return self._step_arguments(events, output_tokens)
            case "tail":
                return self._step_tail()

    def _step_text(self, events: list[Event], output_tokens: int) -> bool:
        before, tag, after = self._pending.partition(CALL_OPEN)
        if tag:
            # White space around a call belongs to its layout, not to the answer.
            events += self._text(before.rstrip(), output_tokens, ())
            self._pending, self._tokens, self._state = after, (), "head"
            return True
        held = _held_back(self._pending)
        ready = self._pending[: len(self._pending) - held]
        if ready:
            events += self._text(ready, output_tokens, self._tokens)
            self._pending, self._tokens = self._pending[len(ready) :], ()
        return False

    def _step_head(self, events: list[Event]) -> bool:
        head = _HEAD.match(self._pending)
        if head is None:
            if len(self._pending) > _MAX_HEAD:
                raise ToolArgumentsInvalid(self._tool, "the call does not name a function")
            return False
        self._tool = _decode(head[1], self._tool)
        if self._tool not in self._tools:
            raise ToolArgumentsInvalid(self._tool, "there is no such tool")
        self._calls += 1
        self._arguments, self._scanner = [], _ObjectScanner()
        self._pending, self._state = self._pending[head.end() :], "arguments"
        events.append(ToolUseStarted(new_tool_use_id(), self._tool))
        return True

    def _step_arguments(self, events: list[Event], output_tokens: int) -> bool:
        size = self._scanner.scan(self._pending)
        piece, self._pending = self._pending[:size], self._pending[size:]
        if piece:
            self._arguments.append(piece)
            events.append(ToolUseDelta(piece, output_tokens))
        if not self._scanner.closed:
            return False
        self._check_arguments()
        self._state = "tail"
        return True

    def _step_tail(self) -> bool:
        _, tag, after = self._pending.partition(CALL_CLOSE)
        if not tag:
            self._pending = self._pending[-len(CALL_CLOSE) :]
            return False
        self._pending, self._state = after.lstrip(), "text"
        return True

    def _text(self, text: str, output_tokens: int, tokens: tuple[Token, ...]) -> list[Event]:
        if not text and not tokens:
            return []
        if self._json_schema is not None:
            self._answer.append(text)
        return [TextDelta(text, output_tokens, tokens)]

    def _check_arguments(self) -> None:
        arguments = _decode("".join(self._arguments), self._tool)
        reason = explain(arguments, self._tools[self._tool])
        if reason is not None:
            raise ToolArgumentsInvalid(self._tool, reason)

    def _check_answer(self) -> None:
        if self._json_schema is None:
            return
        try:
            answer = msgspec.json.decode("".join(self._answer))
        except (msgspec.DecodeError, RecursionError) as error:
            raise OutputInvalid(str(error)) from error
        reason = explain(answer, self._json_schema)
        if reason is not None:
            raise OutputInvalid(reason)


class _ObjectScanner:
    """Finds the end of a JSON object that comes in pieces."""

    def __init__(self) -> None:
        self.closed = False
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def scan(self, text: str) -> int:
        """How many characters of ``text`` belong to the object."""
        for position, char in enumerate(text):
            self._character(char)
            if self.closed:
                return position + 1
        return len(text)

    def _character(self, char: str) -> None:
        if self._escaped:
            self._escaped = False
        elif self._in_string:
            self._escaped = char == "\\"
            self._in_string = char != '"'
        elif char == '"':
            self._in_string = True
        elif char in "{[":
            self._depth += 1
        elif char in "}]":
            self._depth -= 1
            self.closed = self._depth <= 0


def _held_back(text: str) -> int:
    """How many characters at the end may be white space before a call, or the start of its tag."""
    for size in range(min(len(CALL_OPEN) - 1, len(text)), 0, -1):
        if text.endswith(CALL_OPEN[:size]):
            rest = text[:-size]
            return size + len(rest) - len(rest.rstrip())
    return len(text) - len(text.rstrip())


def _decode(text: str, tool: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ToolArgumentsInvalid(tool, f"not JSON: {error}") from error
