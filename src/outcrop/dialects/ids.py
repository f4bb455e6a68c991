"""Identifiers in a family's own form, derived so that the same source always gives the same one."""

import hashlib
import uuid
from typing import Final

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ANTHROPIC_CHARS: Final = 22


def message_id(request_id: str) -> str:
    """``msg_bdrk_01…``, the ID of Claude's answer to a request."""
    return f"msg_bdrk_01{_base58(request_id)}"


def claude_tool_use_id(engine_id: str) -> str:
    """``toolu_bdrk_01…``; an ID that Claude itself gave stays as it is."""
    if engine_id.startswith("toolu_"):
        return engine_id
    return f"toolu_bdrk_01{_base58(engine_id)}"


def nova_tool_use_id(engine_id: str) -> str:
    """A UUID; one that the model itself gave stays as it is."""
    try:
        return str(uuid.UUID(engine_id))
    except ValueError:
        return str(uuid.UUID(bytes=_digest(engine_id)[:16], version=4))


def _base58(source: str) -> str:
    number = int.from_bytes(_digest(source))
    digits: list[str] = []
    for _ in range(_ANTHROPIC_CHARS):
        number, digit = divmod(number, 58)
        digits.append(_BASE58[digit])
    return "".join(digits)


def _digest(source: str) -> bytes:
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).digest()
