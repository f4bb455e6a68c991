"""The recorded exchanges of the real service, and which of them the replay is about."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from outcrop.catalog.load import load_models
from outcrop.catalog.model import Model
from outcrop.wire.eventstream import Decoder, Frame

_FILE = Path(__file__).resolve().parents[2] / "../shared/real-responses.jsonl"
_PATH = re.compile(r"/model/(?:.+/)?([^/]+)/[a-z-]+")
_PROFILE = re.compile(r"(?:us|eu|apac|global|jp|au)\.")
_DEFAULT_REGION = "us-east-1"
# Where the recordings were published, large media was cut out and named by its hash. The name,
# which is base64 itself, stands for it.
_CUT_OUT = re.compile(rb"\{\{blob:([0-9a-f]{32})\}\}")
NO_SUCH_MODEL = "The provided model identifier is invalid."


@dataclass(frozen=True)
class Exchange:
    """``model`` is None where the service, too, knew none of that name."""

    id: str
    service: str
    operation: str
    method: str
    region: str
    path: str
    query: str
    request_headers: Mapping[str, str]
    request_body: bytes
    status: int
    headers: Mapping[str, str]
    body: bytes
    frames: tuple[Frame, ...]
    model: Model | None

    @property
    def host(self) -> str:
        return f"{self.service}.{self.region}.amazonaws.com"

    @property
    def answer(self) -> Any:
        return msgspec.json.decode(self.body)


@cache
def _rows() -> tuple[dict[str, Any], ...]:
    return tuple(msgspec.json.decode(line) for line in _FILE.read_bytes().splitlines())


@cache
def exchanges() -> tuple[Exchange, ...]:
    """Those in scope."""
    return tuple(_exchange(row) for row in _rows() if out_of_scope(row) is None)


def reasons_out_of_scope() -> list[str]:
    return [reason for row in _rows() if (reason := out_of_scope(row)) is not None]


def out_of_scope(row: Mapping[str, Any]) -> str | None:
    """Why an exchange is not replayed, if it is not."""
    if row["service"] not in ("bedrock-runtime", "bedrock"):
        return row["service"]
    if row["op"] == "ApplyGuardrail":
        return "ApplyGuardrail"
    if row["service"] == "bedrock" or _find_model(row["path"]) or row["status"] == 400:
        return None
    return "a model that is not in the catalog"


@cache
def _models() -> dict[str, Model]:
    return load_models().by_id


def _find_model(path: str) -> Model | None:
    found = _PATH.fullmatch(unquote(path))
    return _models().get(_PROFILE.sub("", found[1], count=1)) if found else None


def _exchange(row: Mapping[str, Any]) -> Exchange:
    stream = row.get("response_body_b64")
    return Exchange(
        id=row["id"],
        service=row["service"],
        operation=row["op"],
        method=row["method"],
        region=_region(row["host"]),
        path=row["path"],
        query=row["query"],
        request_headers={name.lower(): v for name, v in row["request_headers"].items()},
        request_body=_CUT_OUT.sub(rb"\1", _bytes(row.get("request_body"))),
        status=row["status"],
        headers={name.lower(): v for name, v in row["response_headers"].items()},
        body=b"" if stream else _bytes(row["response_body"]),
        frames=tuple(Decoder().feed(base64.b64decode(stream))) if stream else (),
        model=_find_model(row["path"]),
    )


def _region(host: str) -> str:
    """Recorders that hid the host named it ``<AWS_REGION>`` or ``recorded.invalid``."""
    region = host.split(".")[1]
    return region if re.fullmatch(r"[a-z]+-[a-z]+-\d", region) else _DEFAULT_REGION


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else msgspec.json.encode(body)
