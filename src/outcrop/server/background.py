"""Performs what Outcrop's own services ask for: through the same gate as every request."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from outcrop.authorization.access import Access
from outcrop.errors import ServiceError
from outcrop.identity import Caller
from outcrop.services.call import Call
from outcrop.services.service_callers import service_request
from outcrop.stores.bucket_records import Bucket, bucket_place
from outcrop.wire.spec import Operation, load_service

if TYPE_CHECKING:
    from outcrop.server.deployment import Deployment


class DeploymentBackground:
    """``services.background.Background``. ``deployment`` gives it once it runs."""

    def __init__(self, deployment: "Callable[[], Deployment]") -> None:
        self._find_deployment = deployment

    @property
    def _deployment(self) -> "Deployment":
        return self._find_deployment()

    async def perform(
        self,
        caller: Caller,
        service: str,
        operation: str,
        params: Mapping[str, Any],
        *,
        body: bytes = b"",
    ) -> Mapping[str, Any]:
        region = await self._region(caller, service, params)
        call = self._call(caller, region, load_service(service).operations[operation], body)
        return await call.perform(service, operation, params)

    async def may(self, caller: Caller, access: Access) -> bool:
        region = caller.region or self._deployment.config.server.region
        # Of which operation does not matter: the access alone is asked for.
        call = self._call(caller, region, load_service("sts").operations["GetCallerIdentity"])
        return await call.may(access)

    def _call(self, caller: Caller, region: str, operation: Operation, body: bytes = b"") -> Call:
        return self._deployment.call(
            operation,
            replace(caller, region=region),
            region,
            service_request(_acting(caller), body),
            str(uuid4()),
            datetime.now(UTC),
        )

    async def _region(self, caller: Caller, service: str, params: Mapping[str, Any]) -> str:
        own = caller.region or self._deployment.config.server.region
        if service != "s3":
            return own
        async with self._deployment.state.stores.resources.reading() as view:
            found = await view.find(Bucket, bucket_place(params["Bucket"]))
        if found is None:
            raise ServiceError("NoSuchBucket", "The specified bucket does not exist", status=404)
        return found.record.region


def _acting(caller: Caller) -> str:
    session = caller.session
    return (session.service if session else None) or caller.principal.name
