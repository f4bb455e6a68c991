"""Signed requests to Bedrock's runtime: botocore finds the credentials and signs, aiohttp sends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
import botocore.exceptions
import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.session import Session
from yarl import URL

from outcrop.config import Upstream
from outcrop.engines.protocol import EngineFailed, EngineGone, EngineTimeout
from outcrop.engines.upstream.failures import failure

CONNECT_TIMEOUT_S = 10.0
_ERROR_BODY_BYTES = 64 << 10


class Client:
    def __init__(self, config: Upstream) -> None:
        self._region = config.region
        default = f"https://bedrock-runtime.{config.region}.amazonaws.com"
        self._endpoint = (config.endpoint_url or default).rstrip("/")
        self._aws = Session(profile=config.profile)
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=config.timeout_s
        )
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def post(
        self, model: str, action: str, body: Any
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """The response to ``POST /model/{model}/{action}``, its status 200."""
        # An ID may be an ARN: its slashes and colons are part of one path segment.
        url = f"{self._endpoint}/model/{quote(model, safe='')}/{action}"
        data = msgspec.json.encode(body)
        headers = await self._sign(url, data)
        try:
            async with self._open().post(
                URL(url, encoded=True), data=data, headers=headers
            ) as response:
                if response.status != 200:
                    code = response.headers.get("x-amzn-errortype", "")
                    refusal = await response.content.read(_ERROR_BODY_BYTES)
                    raise failure(code, response.status, refusal)
                yield response
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise EngineTimeout("Bedrock did not answer within the engine's time limit") from error
        except (aiohttp.ClientError, OSError) as error:
            raise EngineGone(f"the connection to Bedrock failed: {error}") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _sign(self, url: str, data: bytes) -> dict[str, str]:
        # In a thread: finding or refreshing credentials may read files and ask other services.
        credentials = await asyncio.to_thread(self._credentials)
        request = AWSRequest("POST", url, {"Content-Type": "application/json"}, data)
        SigV4Auth(credentials, "bedrock", self._region).add_auth(request)
        return dict(request.headers.items())

    def _credentials(self) -> ReadOnlyCredentials:
        try:
            found = self._aws.get_credentials()
            if found is None:
                raise EngineFailed("the AWS SDK finds no credentials for the upstream engine")
            return found.get_frozen_credentials()
        except botocore.exceptions.BotoCoreError as error:
            raise EngineFailed(f"the AWS credentials cannot be read: {error}") from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout, connector=aiohttp.TCPConnector(limit=0)
            )
        return self._session
