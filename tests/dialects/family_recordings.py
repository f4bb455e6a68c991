"""Recorded exchanges of the real service, for the families tested in this folder."""

import base64
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import msgspec

from outcrop.catalog.load import load_models
from outcrop.catalog.model import Model
from outcrop.dialects.protocol import Rendering

_FILE = Path(__file__).resolve().parents[2] / "../shared/real-responses.jsonl"
_MODEL = re.compile(r"/model/(?:(?:us|eu|apac)\.)?(.+)/invoke(?:-with-response-stream)?")
METRICS = "amazon-bedrock-invocationMetrics"


@dataclass(frozen=True)
class Recording:
    id: str
    model: Model
    body: dict[str, Any]
    answer: dict[str, Any]
    chunks: tuple[dict[str, Any], ...]

    @property
    def metrics(self) -> dict[str, int]:
        return self.chunks[-1][METRICS]


@cache
def models() -> dict[str, Model]:
    return load_models().by_id


@cache
def recordings(dialect: str, *, streamed: bool = False) -> tuple[Recording, ...]:
    """The answers (or streams) of the models that speak ``dialect``."""
    return tuple(
        each for each in _read() if each.model.dialect == dialect and bool(each.chunks) == streamed
    )


@cache
def _read() -> tuple[Recording, ...]:
    return tuple(_rows())


def _rows() -> Iterator[Recording]:
    for line in _FILE.read_bytes().splitlines():
        row: dict[str, Any] = msgspec.json.decode(line)
        path = _MODEL.fullmatch(unquote(row["path"]))
        model = models().get(path[1]) if path else None
        if model is None or row["status"] != 200 or not row["op"].startswith("InvokeModel"):
            continue
        body = msgspec.json.decode(row["request_body"])
        if "response_body_b64" in row:
            chunks = tuple(_frames(base64.b64decode(row["response_body_b64"])))
            yield Recording(row["id"], model, body, {}, chunks)
        else:
            answer = msgspec.json.decode(row["response_body"])
            yield Recording(row["id"], model, body, answer, ())


def _frames(stream: bytes) -> Iterator[dict[str, Any]]:
    at = 0
    while at < len(stream):
        length, headers_length = struct.unpack_from(">II", stream, at)
        payload = msgspec.json.decode(stream[at + 12 + headers_length : at + length - 4])
        yield msgspec.json.decode(base64.b64decode(payload["bytes"]))
        at += length


def rendering(model: Model, body: dict[str, Any], request_id: str = "request-id") -> Rendering:
    return Rendering(body, model, request_id, lambda: 7)


def shape(value: Any) -> Any:
    """Members and types of a value; a list is the shapes that its elements have."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {name: shape(each) for name, each in sorted(members.items()) if name != METRICS}
    if isinstance(value, list):
        shapes: list[Any] = []
        for element in cast("list[Any]", value):
            if (each := shape(element)) not in shapes:
                shapes.append(each)
        return shapes
    return type(value).__name__
