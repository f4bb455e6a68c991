"""Errors of Bedrock's runtime, by their code, as the errors an engine may raise."""

import re
from typing import Any

import msgspec

from outcrop.engines.protocol import (
    EngineBusy,
    EngineError,
    EngineFailed,
    EngineNotReady,
    EngineRefused,
    EngineTimeout,
    InputTooLong,
)

_BY_CODE: dict[str, type[EngineError]] = {
    "throttlingexception": EngineBusy,
    "servicequotaexceededexception": EngineBusy,
    "modelnotreadyexception": EngineNotReady,
    "serviceunavailableexception": EngineNotReady,
    "modeltimeoutexception": EngineTimeout,
}
_BY_STATUS: dict[int, type[EngineError]] = {
    408: EngineTimeout,
    429: EngineBusy,
    503: EngineNotReady,
    504: EngineTimeout,
}
_TOO_LONG = re.compile(r"(\d+) tokens > (\d+) maximum")


def failure(code: str, status: int | None, body: bytes) -> EngineError:
    """``code`` as the header or the frame gives it, with or without the namespace behind it."""
    name = code.partition(":")[0]
    text = _message(body)
    length = _TOO_LONG.search(text)
    if length is not None:
        return InputTooLong(int(length[2]), int(length[1]))
    if name.lower() == "validationexception":
        # About the caller's own request, so in Bedrock's own words.
        return EngineRefused(text)
    kind = _BY_CODE.get(name.lower()) or _BY_STATUS.get(status or 0, EngineFailed)
    return kind(f"Bedrock answered {name or status}: {text}")


def _message(body: bytes) -> str:
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = dict[str, Any]()
    text = fields.get("message") or fields.get("Message")
    return str(text or body.decode(errors="replace"))[:1000]
