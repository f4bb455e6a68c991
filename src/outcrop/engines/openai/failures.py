"""Error answers of OpenAI-compatible servers as the errors an engine may raise."""

import re
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from outcrop.engines.protocol import (
    EngineBusy,
    EngineError,
    EngineFailed,
    EngineGone,
    EngineNotReady,
    EngineTimeout,
    InputTooLong,
)

SHOWN_CHARACTERS = 500

_NOT_FOUND = 404
_BY_STATUS: dict[int, type[EngineError]] = {
    408: EngineTimeout,
    429: EngineBusy,
    502: EngineGone,
    503: EngineNotReady,
    504: EngineTimeout,
}
# How the servers word it: OpenAI and vLLM (three wordings), llama.cpp, TGI (two wordings).
_LIMIT = re.compile(
    r"maximum context length is (\d+)|context size \((\d+)|must have less than (\d+)"
    r"|`max_new_tokens` must be <= (\d+)|maximum model length of (\d+)",
)
_RECEIVED = re.compile(
    r"\((\d+) in the messages|messages resulted in (\d+)|has (\d+) input tokens"
    r"|request \((\d+) tokens\)|Given: (\d+)|contains at least (\d+) input"
    r"|prompt \(length (\d+)\)|input is (\d+) tokens",
)


class UnknownModel(EngineFailed):
    """The server has no model of the name that it was asked for."""


@dataclass(frozen=True, slots=True)
class ContextLength:
    """A refusal for length: ``received`` may be below ``limit`` when max_tokens did not fit."""

    limit: int
    received: int


def message(body: bytes) -> str:
    """The server's own words, whatever the shape they came in."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode(errors="replace")[:SHOWN_CHARACTERS]
    return describe(value)[:SHOWN_CHARACTERS]


def describe(value: Any) -> str:
    while isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        names = [name for name in ("error", "message", "detail") if fields.get(name)]
        if not names:
            break
        value = fields[names[0]]
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def find_context_length(text: str) -> ContextLength | None:
    limit, received = _LIMIT.search(text), _RECEIVED.search(text)
    if limit is None or received is None:
        return None
    return ContextLength(_number(limit), _number(received))


def failure(status: int, text: str) -> EngineError:
    """The error for a refusal, before anything was generated."""
    length = find_context_length(text) if status in (400, 413, 422) else None
    if length is not None:
        return InputTooLong(length.limit, length.received)
    if status == _NOT_FOUND and "model" in text:
        return UnknownModel(f"the server answered {status}: {text}")
    return _BY_STATUS.get(status, EngineFailed)(f"the server answered {status}: {text}")


def _number(match: re.Match[str]) -> int:
    return int(next(group for group in match.groups() if group))
