"""The path of a request, on one screen: ``App.handle``."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
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
from outcrop.journal.records import CLIENT_GONE
from outcrop.security.authenticate import authenticate
from outcrop.security.payload import BodyChecksum, proven
from outcrop.security.presigned import with_headers_of_query
from outcrop.server.deployment import Deployment
from outcrop.server.gateway import get_handler
from outcrop.server.pages import find_page
from outcrop.server.prometheus import render_metrics
from outcrop.server.recorder import Passage
from outcrop.server.topic_pages import find_certificate
from outcrop.services.anonymous import find_anonymous
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
METRICS = "/metrics"

STREAM_METHODS = frozenset({"PUT"})
"""Of the operations that take their body while it arrives: PutObject and UploadPart."""

STOPPING = "the server stops"
"""With this message the work of a request is cancelled when its server cannot wait any longer."""


class App:
    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._recorder = deployment.recorder
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
        if request.raw_path == METRICS:
            return await render_metrics(self._deployment, request)
        page = find_page(request, self._deployment.catalog) or await find_certificate(
            request, self._deployment.state.stores
        )
        if page is not None:
            return page
        passage = self._recorder.begin(request, _new_request_id())
        try:
            response = await self._answer(passage)
        except AWSError as error:
            response = self._refusal(error, passage)
        except Exception:
            # The last resort: a bug of ours is logged whole, and the client gets a modelled error.
            log.exception("request %s failed", passage.request_id)
            response = self._refusal(InternalServerException(_INTERNAL), passage)
        except asyncio.CancelledError as error:
            passage.status = 503 if STOPPING in error.args else CLIENT_GONE
            self._recorder.finish(passage)
            raise
        passage.status = response.status
        if isinstance(response.body, bytes):
            passage.output = b"" if passage.error else response.body
            self._recorder.finish(passage)
        return response

    async def _answer(self, passage: Passage) -> Response:
        request, request_id = passage.request, passage.request_id
        match = passage.match = self._deployment.router.match(request)
        operation = match.operation
        now = passage.now = datetime.now(UTC)
        if operation.is_anonymous:
            # Clients do not sign it, so that we do not have it is told to everyone.
            await get_handler(operation)
        caller = find_anonymous(operation, request) or authenticate(
            request,
            signing_name=operation.service.signing_name,
            accepts_bearer=operation.accepts_bearer,
            lookup=self._deployment.credentials,
            now=now,
        )
        passage.caller = caller
        passage.region = self._known(caller.region)
        if caller.proof != "none":
            self._deployment.state.stores.directory.touch_caller(
                caller, now, operation.service.signing_name, caller.region or ""
            )
        check_session(caller, operation)
        if caller.proof == "query" and operation.service.is_object_store:
            request = with_headers_of_query(request)
        request = passage.request = await proven(request, caller.payload, _body_checksum(operation))
        asked = self._region(caller, request)
        region = passage.region = self._known(asked)
        params = passage.params = await _read_params(match, request)
        if operation.service.name == _ANYWHERE:
            region = asked
        elif region != asked and not operation.service.is_object_store:
            raise InvalidSignatureException(_OTHER_REGION)
        call = self._deployment.call(operation, caller, region, request, request_id, now)
        passage.seen = call.seen
        answered = passage.answered = await self._deployment.gateway.run(call, params)
        return self._response(passage, match, answered)

    def _known(self, region: str | None) -> str:
        """Nobody makes up regions: each has quotas, folders of trails and digests of its own.
        Clients of S3 sign for whatever their users wrote; that is here, then."""
        return region if region in self._regions else self._default_region

    def _region(self, caller: Caller, request: Request) -> str:
        asked = _region(caller, request.host)
        if request.endpoint is None:
            return asked or self._default_region
        own = self._deployment.endpoints.find_region(request.endpoint)
        if own is None or asked not in (None, own):
            raise InvalidSignatureException(_OTHER_REGION)
        return own

    def _refusal(self, error: AWSError, passage: Passage) -> Response:
        """In the protocol of the request, which may be known without its operation."""
        passage.error = error
        match, request_id = passage.match, passage.request_id
        if match is None:
            asked = self._deployment.router.audience(passage.request)
            response = serialize_error(error, None, asked.service, request_id, asked.protocol)
        else:
            response = serialize_error(error, match.operation, None, request_id, match.protocol)
        if passage.request.method == "HEAD":
            response.body = b""
        return response

    def _response(self, passage: Passage, match: Match, handled: Answered) -> Response:
        operation, request_id = match.operation, passage.request_id
        match handled:
            case RawAnswer(body=bytes()):
                return Response(handled.status, dict(handled.headers), handled.body)
            case RawAnswer():
                response = Response(handled.status, dict(handled.headers), handled.body)
                response.body = self._followed(passage, cast(Any, handled.body))
                return response
            case StreamAnswer():
                events = handled.events
                if self._recorder.wants_events(passage):
                    passage.events = []
                    events = _gathered(events, passage.events)
                response = serialize_stream(operation, handled.result, events, request_id)
                response.headers.update(handled.headers)
                response.body = self._ended_in_form(passage, operation, response.body)
            case Answer():
                response = serialize(operation, handled.result, request_id, match.protocol)
                response.headers.update(handled.headers)
            case _:
                response = serialize(operation, handled, request_id, match.protocol)
        return response

    async def _followed(
        self, passage: Passage, pieces: AsyncGenerator[bytes]
    ) -> AsyncGenerator[bytes]:
        """Recorded when the last piece is out, or the client has gone."""
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        except (GeneratorExit, asyncio.CancelledError):
            passage.status = CLIENT_GONE
            raise
        finally:
            self._recorder.finish(passage)

    async def _ended_in_form(
        self, passage: Passage, operation: Operation, body: Any
    ) -> AsyncGenerator[bytes]:
        """What fails after the first event ends the stream with its own exception event; what came
        of it is recorded before the stream's end goes out."""
        frames = cast("AsyncGenerator[bytes]", body)
        try:
            async with aclosing(frames):
                async for frame in frames:
                    yield frame
        except EngineError as error:
            passage.error = aws_stream_error(error)
        except GeneratorExit:
            passage.status = CLIENT_GONE
            raise
        except asyncio.CancelledError as error:
            if STOPPING not in error.args:
                passage.status = CLIENT_GONE
                raise
            passage.error = ServiceUnavailableException(_SHUTTING_DOWN)
        except Exception:
            log.exception("the stream of request %s failed", passage.request_id)
            passage.error = InternalServerException(_INTERNAL)
        finally:
            self._recorder.finish(passage)
        if passage.error is not None:
            yield encode_exception(operation, passage.error)

    def _health(self) -> Response:
        body = {"status": "ok", "version": __version__}
        return Response(200, {"Content-Type": "application/json"}, json.encode(body))


_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}", re.ASCII)
_ANYWHERE = "ec2"
"""The documents ask it for the endpoint services of a region that is called ``region``."""
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


async def _gathered(
    events: AsyncIterator[Mapping[str, Any]], kept: list[Mapping[str, Any]]
) -> AsyncGenerator[Mapping[str, Any]]:
    async with aclosing(cast("AsyncGenerator[Mapping[str, Any]]", events)) as coming:
        async for event in coming:
            kept.append(event)
            yield event


def _region(caller: Caller, host: str) -> str | None:
    """The one that was signed for; where none was, that in ``bedrock.us-east-1.amazonaws.com``.
    Nothing else that a host name holds gets into an ARN."""
    labels = host.split(".")
    is_regional = len(labels) >= 4 and labels[2] == "amazonaws" and _REGION.fullmatch(labels[1])
    named = labels[1] if is_regional else None
    if caller.region is not None and named not in (None, caller.region):
        raise InvalidSignatureException(_OTHER_REGION)
    return caller.region or named
