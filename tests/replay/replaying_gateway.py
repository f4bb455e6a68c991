"""The whole gateway in this process: recorded requests go in, signed; what it answers comes out.

Everything is the real code but for two things: the engine, which answers what was recorded, and a
temporary key that has expired, which no operation makes.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast
from unittest import mock
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from recorded_engine import RecordedEngine
from recorded_exchanges import Exchange
from running_gateways import OPEN_SETTINGS

from outcrop.config import Binding, Config, Scripted
from outcrop.engines.pool import EnginePool
from outcrop.engines.protocol import Engine
from outcrop.identity import AccessKey, Principal
from outcrop.security.sessions import Credentials as KnownKeys
from outcrop.server.app import App
from outcrop.server.deployment import open_deployment
from outcrop.wire.eventstream import Decoder, Frame
from outcrop.wire.http import Request

ACCOUNT: Final = "123456789012"
KEY: Final = AccessKey(
    "AKIAOUTCROPREPLAY001",
    "replay/only/0123456789abcdefghijklmnopqr",
    Principal(ACCOUNT, "admin", f"arn:aws:iam::{ACCOUNT}:user/admin", "user"),
)
ENVIRONMENT: Final = {
    "OUTCROP_ACCOUNT_ID": ACCOUNT,
    "OUTCROP_ACCESS_KEY_ID": KEY.id,
    "OUTCROP_SECRET_ACCESS_KEY": KEY.secret,
}
_EXPIRED_KEY: Final = replace(
    KEY,
    id="ASIAOUTCROPREPLAY001",
    session_token="over",
    expires_at=datetime(2024, 1, 9, 18, 33, 34, tzinfo=UTC),
)
_UNKNOWN_KEY: Final = replace(KEY, id="AKIAOUTCROPREPLAY404")
_SENT: Final = ("accept", "content-type")


@dataclass(frozen=True)
class Replay:
    """The answer to one exchange; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    frames: tuple[Frame, ...]


class ReplayingGateway:
    def __init__(self, app: App, pool: "_Pool") -> None:
        self._app = app
        self._pool = pool

    async def replay(self, exchange: Exchange) -> Replay:
        return await self.send(_request(exchange), RecordedEngine(exchange))

    async def send(self, request: Request, engine: Engine) -> Replay:
        self._pool.engine = engine
        response = await self._app.handle(request)
        headers = {name.lower(): value for name, value in response.headers.items()}
        if isinstance(response.body, bytes):
            return Replay(response.status, headers, response.body, ())
        decoder = Decoder()
        frames = [frame async for piece in response.body for frame in decoder.feed(piece)]
        decoder.finish()
        return Replay(response.status, headers, b"", tuple(frames))


class _Pool(EnginePool):
    """Every engine of the deployment is the one that is set."""

    engine: Engine | None = None

    async def get(
        self,
        name: str,
        model: str | None = None,
        model_id: str | None = None,
        adapter: str | None = None,
    ) -> Engine:
        if self.engine is None:
            raise LookupError("no exchange is being replayed")
        return self.engine


class _Credentials(KnownKeys):
    """The deployment's keys and the temporary one that has expired."""

    def find_session_key(self, key_id: str, token: str) -> AccessKey | None:
        is_expired = (key_id, token) == (_EXPIRED_KEY.id, _EXPIRED_KEY.session_token)
        return _EXPIRED_KEY if is_expired else super().find_session_key(key_id, token)


@asynccontextmanager
async def open_gateway(folder: Path) -> AsyncGenerator[ReplayingGateway]:
    """The caller has set ``ENVIRONMENT``."""
    config = Config(
        data_dir=folder / "data",
        cache_dir=folder / "cache",
        engines={"recorded": Scripted()},
        bind=(Binding(pattern="*", engine="recorded"),),
        **OPEN_SETTINGS,
    )
    async with open_deployment(config) as deployment:
        pool = _Pool({}, cache_dir=config.cache_dir, memory_mib=0)
        stores = deployment.state.stores
        directory = stores.directory
        keys = _Credentials(directory, stores.sealer, directory.is_current)
        yield ReplayingGateway(App(replace(deployment, engines=pool, credentials=keys)), pool)


def _request(exchange: Exchange) -> Request:
    """The recorded request, signed the way that made the service answer as it did."""
    key, signed_at = KEY, datetime.now(UTC)
    match exchange.headers.get("x-amzn-errortype", "").partition(":")[0]:
        case "ExpiredTokenException":
            key = _EXPIRED_KEY
        case "UnrecognizedClientException":
            key = _UNKNOWN_KEY
        case "InvalidSignatureException":
            signed_at -= timedelta(hours=2)
        case _:
            pass
    kept = {
        name: value
        for name, value in exchange.request_headers.items()
        if name in _SENT or name.startswith("x-amzn-bedrock-")
    }
    return sign(
        exchange.method,
        f"https://{exchange.host}{exchange.path}{'?' if exchange.query else ''}{exchange.query}",
        exchange.request_body,
        kept,
        key=key,
        signed_at=signed_at,
    )


def sign(
    method: str,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    key: AccessKey = KEY,
    signed_at: datetime | None = None,
) -> Request:
    """What botocore would send at that time."""
    parts = urlsplit(url)
    request = AWSRequest(method=method, url=url, data=body, headers=dict(headers))
    credentials = Credentials(key.id, key.secret, key.session_token)
    now = signed_at or datetime.now(UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now):
        SigV4Auth(credentials, "bedrock", parts.netloc.split(".")[1]).add_auth(request)
    sent = cast("Mapping[str, str | bytes]", request.headers)
    pairs = [(name.lower(), _text(value)) for name, value in sent.items()]
    pairs.append(("host", parts.netloc))
    return Request(method, parts.path, parts.query, tuple(pairs), body, parts.netloc)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
