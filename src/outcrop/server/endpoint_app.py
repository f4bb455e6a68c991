"""What answers at a private endpoint: the operations of its service, and nothing else."""

from uuid import uuid4

from outcrop.errors import AWSError, UnknownOperationException
from outcrop.server.app import HEALTH, App
from outcrop.wire.http import Request, Response
from outcrop.wire.routing import Match, Router
from outcrop.wire.serialize import serialize_error


class EndpointApp:
    """``service`` is botocore's name."""

    def __init__(self, app: App, router: Router, service: str) -> None:
        self._app = app
        self._router = router
        self._service = service
        self.stream_methods = app.stream_methods

    def takes_stream(self, request: Request) -> bool:
        match = self._match(request)
        return match is not None and self._serves(match) and match.operation.takes_stream

    async def handle(self, request: Request) -> Response:
        match = self._match(request)
        if match is None and request.raw_path != HEALTH:
            # Refused in the form of its protocol.
            return await self._app.handle(request)
        if match is not None and self._serves(match):
            return await self._app.handle(request)
        refused = UnknownOperationException(f"This endpoint is one of {self._service} only.")
        operation, protocol = (match.operation, match.protocol) if match else (None, "rest-json")
        return serialize_error(refused, operation, None, str(uuid4()), protocol)

    def _match(self, request: Request) -> Match | None:
        try:
            return self._router.match(request)
        except AWSError:
            return None

    def _serves(self, match: Match) -> bool:
        return match.operation.service.name == self._service
