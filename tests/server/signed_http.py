"""Requests signed by hand, for what no SDK would send: raw paths, odd headers, wrong signatures.

The signer is written from AWS's signing reference and shares nothing with the code under test.
"""

import hashlib
import hmac
import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

ACCESS_KEY = "AKIAOUTCROPTESTS0001"
SECRET_KEY = "tests/only/0123456789abcdefghijklmnopqrs"
TIMEOUT_S = 60


@dataclass(frozen=True)
class Ask:
    """A request before it is signed: ``path`` and ``query`` (``a=b&c=d``) are sent as they are.
    Of ``headers`` those named ``x-amz-`` are signed."""

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True)
class Signer:
    key_id: str = ACCESS_KEY
    secret: str = SECRET_KEY
    region: str = "us-east-1"
    service: str = "bedrock"

    def headers(self, ask: Ask, host: str, when: datetime | None = None) -> dict[str, str]:
        """All headers to send but Content-Length."""
        moment = (when or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        sent = {"host": host, "x-amz-date": moment} | dict(ask.headers)
        signed = {k: v.strip() for k, v in sent.items() if k == "host" or k.startswith("x-amz-")}
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        # Every service but S3 signs the path as sent, encoded once more.
        canonical = (
            f"{ask.method}\n{quote(ask.path, safe='/~')}\n{'&'.join(sorted(_pairs(ask.query)))}\n"
            f"{lines}\n{names}\n{hashlib.sha256(ask.body).hexdigest()}"
        )
        scope = f"{moment[:8]}/{self.region}/{self.service}/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}"
        key = _signing_key(self.secret, moment[:8], self.region, self.service)
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        return sent | {
            "authorization": f"AWS4-HMAC-SHA256 Credential={self.key_id}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        }


def _pairs(query: str) -> list[str]:
    return [one if "=" in one else f"{one}=" for one in query.split("&") if one]


@cache
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def message(self) -> str:
        return self.json.get("message") or self.json.get("Message")

    @property
    def error(self) -> str:
        """The code before the colon of ``x-amzn-ErrorType``."""
        return self.headers["x-amzn-errortype"].partition(":")[0]


def send(url: str, ask: Ask, headers: Mapping[str, str] | None = None) -> Reply:
    """One exchange on a connection of its own. ``headers`` replaces the signed ones."""
    netloc = urlsplit(url).netloc
    connection = http.client.HTTPConnection(netloc, timeout=TIMEOUT_S)
    target = f"{ask.path}?{ask.query}" if ask.query else ask.path
    try:
        connection.putrequest(ask.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in (Signer().headers(ask, netloc) if headers is None else headers).items():
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(ask.body)))
        connection.endheaders(ask.body)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, found, response.read())
    finally:
        connection.close()


def send_signed(url: str, ask: Ask, signer: Signer, when: datetime | None = None) -> Reply:
    return send(url, ask, signer.headers(ask, urlsplit(url).netloc, when))
