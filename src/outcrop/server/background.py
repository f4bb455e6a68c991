"""Performs what Outcrop's own services ask for: through the same gate as every request."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import uuid4

from outcrop.authorization.access import Access
from outcrop.errors import ServiceError
from outcrop.identity import Caller
from outcrop.server.relay import Connection, Traffic
from outcrop.services.background import VpcPath
from outcrop.services.call import Call, RawAnswer
from outcrop.services.service_callers import service_request
from outcrop.stores.bucket_records import Bucket, bucket_place
from outcrop.wire.http import Request
from outcrop.wire.spec import Operation, load_service

if TYPE_CHECKING:
    from outcrop.server.deployment import Deployment

_NO_PORT: Final = 0
"""What is asked inside has no port to come from."""

_UNKNOWN: Final = "-"
"""The address of an endpoint that has not listened yet, as flow records write what there is not."""


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
        path: VpcPath | None = None,
    ) -> Mapping[str, Any]:
        request = _request(caller, body, path)
        call = await self._asking(caller, service, operation, params, request)
        with self._followed(path) as traffic:
            traffic.bytes_out = len(body)
            return await call.perform(service, operation, params)

    async def fetch(
        self,
        caller: Caller,
        service: str,
        operation: str,
        params: Mapping[str, Any],
        *,
        path: VpcPath | None = None,
    ) -> RawAnswer:
        request = _request(caller, b"", path)
        call = await self._asking(caller, service, operation, params, request)
        answered = await call.gateway.perform(call, service, operation, params)
        if not isinstance(answered, RawAnswer):
            raise TypeError(f"{operation} of {service} is not answered piece by piece")
        return replace(answered, body=self._counted(answered.body, path))

    async def may(self, caller: Caller, access: Access, *, path: VpcPath | None = None) -> bool:
        region = caller.region or self._deployment.config.server.region
        # Of which operation does not matter: the access alone is asked for.
        operation = load_service("sts").operations["GetCallerIdentity"]
        request = _request(caller, b"", path)
        return await self._call(caller, region, operation, request).may(access)

    async def _asking(
        self,
        caller: Caller,
        service: str,
        operation: str,
        params: Mapping[str, Any],
        request: Request,
    ) -> Call:
        region = await self._region(caller, service, params)
        return self._call(caller, region, load_service(service).operations[operation], request)

    def _call(self, caller: Caller, region: str, operation: Operation, request: Request) -> Call:
        return self._deployment.call(
            operation,
            replace(caller, region=region),
            region,
            request,
            str(uuid4()),
            datetime.now(UTC),
        )

    @contextmanager
    def _followed(self, path: VpcPath | None) -> Generator[Traffic]:
        """What passes the network interface is in its flow logs."""
        if path is None:
            yield Traffic()
            return
        record = path.endpoint.record
        connection = Connection(
            interface=path.interface,
            address=record.host or _UNKNOWN,
            port=record.port or 0,
            is_accepted=True,
            began_at=datetime.now(UTC),
        )
        self._deployment.flows.follow(connection, _NO_PORT)
        try:
            yield connection.traffic
        finally:
            connection.ended_at = datetime.now(UTC)

    async def _counted(
        self, body: bytes | AsyncIterator[bytes], path: VpcPath | None
    ) -> AsyncGenerator[bytes]:
        with self._followed(path) as traffic:
            if isinstance(body, bytes):
                traffic.bytes_in += len(body)
                yield body
                return
            async with aclosing(cast("AsyncGenerator[bytes]", body)) as pieces:
                async for piece in pieces:
                    traffic.bytes_in += len(piece)
                    yield piece

    async def _region(self, caller: Caller, service: str, params: Mapping[str, Any]) -> str:
        own = caller.region or self._deployment.config.server.region
        if service != "s3":
            return own
        async with self._deployment.state.stores.resources.reading() as view:
            found = await view.find(Bucket, bucket_place(params["Bucket"]))
        if found is None:
            raise ServiceError("NoSuchBucket", "The specified bucket does not exist", status=404)
        return found.record.region


def _request(caller: Caller, body: bytes, path: VpcPath | None) -> Request:
    request = service_request(_acting(caller), body)
    if path is None:
        return request
    return replace(request, endpoint=path.endpoint.name, client=path.interface.record.address)


def _acting(caller: Caller) -> str:
    session = caller.session
    return (session.service if session else None) or caller.principal.name
