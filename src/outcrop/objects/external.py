"""Another S3 by its endpoint: AWS's own, MinIO, Ceph. The AWS SDK's sources find credentials."""

import asyncio

import botocore.exceptions
from botocore.session import Session

from outcrop.config import S3
from outcrop.objects.client import Place, StoreClient
from outcrop.objects.protocol import StoreAnswer, StoreNotReady, StoreRequest
from outcrop.objects.signing import Credentials


class ExternalStore:
    failure = None

    def __init__(self, endpoint: str, config: S3) -> None:
        self._url = endpoint.rstrip("/")
        self._region = config.region
        self._aws = Session(profile=config.profile)
        self._client = StoreClient(self._place)

    async def start(self) -> None:
        """It runs elsewhere."""

    async def send(self, request: StoreRequest) -> StoreAnswer:
        return await self._client.send(request)

    async def close(self) -> None:
        await self._client.close()

    async def _place(self) -> Place:
        # In a thread: finding or refreshing credentials may read files and ask other services.
        return Place(self._url, self._region, await asyncio.to_thread(self._credentials))

    def _credentials(self) -> Credentials:
        try:
            found = self._aws.get_credentials()
            frozen = found.get_frozen_credentials() if found is not None else None
        except botocore.exceptions.BotoCoreError as error:
            raise StoreNotReady(f"The AWS credentials cannot be read: {error}") from error
        if frozen is None or not frozen.access_key or not frozen.secret_key:
            raise StoreNotReady("The AWS SDK finds no credentials for services.s3.endpoint.")
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)
