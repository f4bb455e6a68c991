"""Identifiers in a family's own form, derived so that the same source always gives the same one."""

import hashlib
import uuid
from typing import Final

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ANTHROPIC_CHARS: Final = 22
# Two digits at a time halve the divisions of a large number.
_PAIRS: Final = tuple(second + first for first in _BASE58 for second in _BASE58)


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
    # What lies above the characters taken would only make the divisions longer.
    number = int.from_bytes(_digest(source)) % len(_BASE58) ** _ANTHROPIC_CHARS
    pairs: list[str] = []
    for _ in range(_ANTHROPIC_CHARS // 2):
        number, pair = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[pair])
    return "".join(pairs)


def _digest(source: str) -> bytes:
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).digest()
