"""Places in a log as clients pass them: tokens of pages and IDs of events.

They are no secrets and lead nowhere that the same request could not go.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from outcrop.logs.events import Position
from outcrop.wire import json

Direction = Literal["f", "b"]

_AT_DIGITS: Final = 14
_ID_DIGITS: Final = 42
_PLACE: Final = re.compile(r"[0-9]{56}", re.ASCII)
_STREAM_TOKEN: Final = re.compile(r"([fb])/([0-9]{56})/s", re.ASCII)
_DIGEST_DIGITS: Final = 32
_LARGEST: Final = 2**63 - 1

START: Final = Position(0, 0)


def render_position(position: Position) -> str:
    """As long as AWS's IDs of events."""
    return f"{position.at_ms:0{_AT_DIGITS}d}{position.id:0{_ID_DIGITS}d}"


def find_position(text: str) -> Position | None:
    if not _PLACE.fullmatch(text):
        return None
    position = Position(int(text[:_AT_DIGITS]), int(text[_AT_DIGITS:]))
    return position if position.id <= _LARGEST else None


def stream_token(direction: Direction, position: Position) -> str:
    return f"{direction}/{render_position(position)}/s"


def find_stream_token(token: str) -> tuple[Direction, Position] | None:
    found = _STREAM_TOKEN.fullmatch(token)
    position = find_position(found[2]) if found else None
    if found is None or position is None:
        return None
    return ("f" if found[1] == "f" else "b"), position


def search_token(params: Mapping[str, Any], position: Position) -> str:
    """Fits the same request alone."""
    return render_position(position) + _digest(params)


def find_search_token(params: Mapping[str, Any], token: str) -> Position | None:
    place, digest = token[:-_DIGEST_DIGITS], token[-_DIGEST_DIGITS:]
    return find_position(place) if digest == _digest(params) else None


def _digest(params: Mapping[str, Any]) -> str:
    fixed = sorted((k, v) for k, v in params.items() if k not in ("nextToken", "limit"))
    return hashlib.blake2b(json.encode(fixed), digest_size=_DIGEST_DIGITS // 2).hexdigest()
