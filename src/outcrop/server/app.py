"""The path of a request, on one screen: ``App.handle``."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, cast

from outcrop import __version__
from outcrop.authorization.session_bounds import check_session
from outcrop.catalog.regions import AWS_REGIONS
from outcrop.engines.protocol import EngineError
from outcrop.errors import (
    AWSError,
    InternalServerException,
    InvalidSignatureException,
    ServiceUnavailableException,
)
from outcrop.identity import Caller
from outcrop.security.authenticate import authenticate
from outcrop.security.payload import BodyChecksum, proven
from outcrop.security.presigned import with_headers_of_query
from outcrop.server.deployment import Deployment
from outcrop.server.gateway import get_handler
from outcrop.server.pages import find_page
from outcrop.services.call import Answer, Answered, RawAnswer, StreamAnswer
from outcrop.services.offload import read_beside
from outcrop.services.operation import aws_stream_error
from outcrop.wire import json
from outcrop.wire.compression import decompressed, is_compressed
from outcrop.wire.http import Request, Response
from outcrop.wire.parse import parse_request
from outcrop.wire.routing import Match
from outcrop.wire.serialize import (
    encode_exception,
    serialize,
    serialize_error,
    serialize_stream,
)
from outcrop.wire.spec import Operation
from outcrop.wire.validate import validate

log = logging.getLogger(__name__)

HEALTH = "/_outcrop/health"

STREAM_METHODS = frozenset({"PUT"})
"""Of the operations that take their body while it arrives: PutObject and UploadPart."""

STOPPING = "the server stops"
"""With this message the work of a request is cancelled when its server cannot wait any longer."""


class App:
    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._default_region = deployment.config.server.region
        self._regions = AWS_REGIONS | {self._default_region, *deployment.config.regions}
        self.stream_methods = STREAM_METHODS
        """The methods of operations that take their body while it arrives."""

    def takes_stream(self, request: Request) -> bool:
        """Whether the operation reads ``incoming`` by itself; the head of the request tells."""
        if request.method not in self.stream_methods:
            return False
        try:
            match = self._deployment.router.match(request)
        except AWSError:
            return False
        return match.operation.takes_stream

    async def handle(self, request: Request) -> Response:
        """Match, authenticate, parse and validate, authorize, handle, serialize or frame."""
        if request.raw_path == HEALTH:
            return self._health()
        page = find_page(request, self._deployment.catalog)
        if page is not None:
            return page
        request_id = _new_request_id()
        matched: Match | None = None
        try:
            match = matched = self._deployment.router.match(request)
            operation = match.operation
            now = datetime.now(UTC)
            if operation.is_anonymous:
                # Clients do not sign it, so that we do not have it is told to everyone.
                await get_handler(operation)
            caller = authenticate(
                request,
                signing_name=operation.service.signing_name,
                accepts_bearer=operation.accepts_bearer,
                lookup=self._deployment.credentials,
                now=now,
            )
            self._deployment.state.stores.directory.touch_caller(
                caller, now, operation.service.signing_name, caller.region or ""
            )
            check_session(caller, operation)
            if caller.proof == "query" and operation.service.is_object_store:
                request = with_headers_of_query(request)
            request = await proven(request, caller.payload, _body_checksum(operation))
            params = await _read_params(match, request)
            region = self._region(caller, request)
            if region not in self._regions and operation.service.signing_name == _BEDROCK:
                raise InvalidSignatureException(_OTHER_REGION)
            call = self._deployment.call(operation, caller, region, request, request_id, now)
            answered = await self._deployment.gateway.run(call, params)
            return _response(match, answered, request_id)
        except AWSError as error:
            return self._refusal(error, matched, request, request_id)
        except Exception:
            # The last resort: a bug of ours is logged whole, and the client gets a modelled error.
            log.exception("request %s failed", request_id)
            internal = InternalServerException(_INTERNAL)
            return self._refusal(internal, matched, request, request_id)

    def _region(self, caller: Caller, request: Request) -> str:
        asked = _region(caller, request.host)
        if request.endpoint is None:
            return asked or self._default_region
        own = self._deployment.endpoints.find_region(request.endpoint)
        if own is None or asked not in (None, own):
            raise InvalidSignatureException(_OTHER_REGION)
        return own

    def _refusal(
        self, error: AWSError, match: Match | None, request: Request, request_id: str
    ) -> Response:
        """In the protocol of the request, which may be known without its operation."""
        if match is None:
            asked = self._deployment.router.audience(request)
            response = serialize_error(error, None, asked.service, request_id, asked.protocol)
        else:
            response = serialize_error(error, match.operation, None, request_id, match.protocol)
        if request.method == "HEAD":
            response.body = b""
        return response

    def _health(self) -> Response:
        body = {"status": "ok", "version": __version__}
        return Response(200, {"Content-Type": "application/json"}, json.encode(body))


_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}", re.ASCII)
_BEDROCK = "bedrock"
"""The signing name of the services whose regions have quotas of their own."""
_OTHER_REGION = "Credential should be scoped to a valid region. "
_SHUTTING_DOWN = "The server is shutting down. Retry your request."
_INTERNAL = "The server encountered an internal error. Retry your request."


def _new_request_id() -> str:
    """A random UUID, in a third of the time that ``uuid4`` takes."""
    random = os.urandom(16)
    digits = random.hex()
    variant = "89ab"[random[8] >> 6]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _body_checksum(operation: Operation) -> BodyChecksum:
    rule = operation.raw.get("httpChecksum", {})
    if "requestAlgorithmMember" not in rule:
        return "none"
    return "required" if rule.get("requestChecksumRequired") else "optional"


async def _read_params(match: Match, request: Request) -> dict[str, Any]:
    try:
        if is_compressed(match.operation, request):
            # A small body may open to a large one.
            request = await asyncio.to_thread(decompressed, request)
        return await read_beside(len(request.body), _params, match, request)
    except AWSError:
        # That an operation is not there counts more than how it was asked for.
        await get_handler(match.operation)
        raise


def _params(match: Match, request: Request) -> dict[str, Any]:
    params = parse_request(match.operation, request, match.labels, match.protocol)
    validate(match.operation, params)
    return params


def _response(asked: Match, handled: Answered, request_id: str) -> Response:
    operation = asked.operation
    match handled:
        case RawAnswer():
            return Response(handled.status, dict(handled.headers), handled.body)
        case StreamAnswer():
            response = serialize_stream(operation, handled.result, handled.events, request_id)
            response.headers.update(handled.headers)
            response.body = _ended_in_form(operation, response.body, request_id)
        case Answer():
            response = serialize(operation, handled.result, request_id, asked.protocol)
            response.headers.update(handled.headers)
        case _:
            response = serialize(operation, handled, request_id, asked.protocol)
    return response


async def _ended_in_form(operation: Operation, body: Any, request_id: str) -> AsyncGenerator[bytes]:
    """What fails after the first event ends the stream with its own exception event."""
    frames = cast("AsyncGenerator[bytes]", body)
    try:
        async with aclosing(frames):
            async for frame in frames:
                yield frame
    except EngineError as error:
        yield encode_exception(operation, aws_stream_error(error))
    except asyncio.CancelledError as error:
        if STOPPING not in error.args:
            raise
        yield encode_exception(operation, ServiceUnavailableException(_SHUTTING_DOWN))
    except Exception:
        log.exception("the stream of request %s failed", request_id)
        yield encode_exception(operation, InternalServerException(_INTERNAL))


def _region(caller: Caller, host: str) -> str | None:
    """The one that was signed for; where none was, that in ``bedrock.us-east-1.amazonaws.com``.
    Nothing else that a host name holds gets into an ARN."""
    labels = host.split(".")
    is_regional = len(labels) >= 4 and labels[2] == "amazonaws" and _REGION.fullmatch(labels[1])
    named = labels[1] if is_regional else None
    if caller.region is not None and named not in (None, caller.region):
        raise InvalidSignatureException(_OTHER_REGION)
    return caller.region or named
