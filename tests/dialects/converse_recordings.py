"""Recorded Converse and ConverseStream exchanges for models of the catalog, and why some differ."""

import base64
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from outcrop.catalog.load import load_models
from outcrop.catalog.model import Model
from outcrop.wire.eventstream import Decoder

_FILE = Path(__file__).resolve().parents[2] / "../shared/real-responses.jsonl"
_PATH = re.compile(r"/model/(?:.*/)?(?:(?:us|eu|apac|global)\.)?([^/]+)/converse(-stream)?")

# Reason → how many recorded requests are refused for it, though AWS answered 200. All are features
# that are not built (design D12).
NOT_BUILT = {
    "the s3Uri field": 1,
    "systemTool field": 4,
    "the guardrailConfig field": 6,
}
# Bodies that were cut when they were published: no JSON.
UNREADABLE = {"7acf2fa0f094468c", "5d8193f8f2fea1e2"}


@dataclass(frozen=True)
class Recording:
    id: str
    model: Model
    params: dict[str, Any]
    status: int
    answer: dict[str, Any]
    events: tuple[dict[str, Any], ...]


@cache
def models() -> dict[str, Model]:
    return load_models().by_id


@cache
def recordings(status: int, *, streamed: bool = False) -> tuple[Recording, ...]:
    return tuple(
        each for each in _read() if each.status == status and bool(each.events) == streamed
    )


@cache
def _read() -> tuple[Recording, ...]:
    found: list[Recording] = []
    for line in _FILE.read_bytes().splitlines():
        row: dict[str, Any] = msgspec.json.decode(line)
        path = _PATH.fullmatch(unquote(row["path"]))
        model = models().get(path[1]) if path else None
        if model is not None and row["id"] not in UNREADABLE and row["status"] in (200, 400):
            found.append(_recording(row, model))
    return tuple(found)


def _recording(row: dict[str, Any], model: Model) -> Recording:
    stream = row.get("response_body_b64") if row["op"] == "ConverseStream" else None
    return Recording(
        id=row["id"],
        model=model,
        params=_json(row["request_body"]),
        status=row["status"],
        answer={} if stream else _json(row["response_body"]),
        events=tuple(_events(stream)) if stream else (),
    )


def _json(body: Any) -> dict[str, Any]:
    return msgspec.json.decode(body) if isinstance(body, str) else body


def _events(stream: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for frame in Decoder().feed(base64.b64decode(stream)):
        payload: dict[str, Any] = msgspec.json.decode(frame.payload)
        payload.pop("p", None)
        events.append({str(frame.headers[":event-type"]): payload})
    return events
