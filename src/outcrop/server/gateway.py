"""From an authenticated caller to an answer: authorize, then the handler.

Requests come here from ``App.handle``; a handler that needs another operation, as its caller or as
a role passed to it, comes here too.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from outcrop.authorization.access import Access, Asked
from outcrop.authorization.authorizer import Authorizer
from outcrop.authorization.context import Setting
from outcrop.authorization.table import accesses_of
from outcrop.errors import AuthorizationDenied, AWSError, NotImplementedException
from outcrop.security.policy.evaluate import Decision
from outcrop.server.recorder import Recorder
from outcrop.services import handlers
from outcrop.services.call import Answered, Call, Seen
from outcrop.services.operation import Handler, aws_errors, find_handler
from outcrop.wire.spec import Operation, load_service

_LOADED: set[str] = set()
"""The services whose handlers are imported."""

BEARER = "bedrock:CallWithBearerToken"


class Gateway:
    def __init__(self, authorizer: Authorizer, recorder: Recorder) -> None:
        self._authorizer = authorizer
        self._recorder = recorder

    async def run(self, call: Call, params: Mapping[str, Any]) -> Answered:
        """``params`` are parsed and validated."""
        await self._authorize(call, params)
        # Whoever may not ask for an operation is not told whether it is there.
        handler = await get_handler(call.operation)
        with aws_errors():
            return await handler(call, params)

    async def perform(
        self, call: Call, service: str, operation: str, params: Mapping[str, Any]
    ) -> Answered:
        inner = replace(call, operation=load_service(service).operations[operation], seen=Seen())
        try:
            answered = await self.run(inner, params)
        except AWSError as error:
            self._recorder.inner(inner, params, None, error)
            raise
        self._recorder.inner(inner, params, answered, None)
        return answered

    async def decide(self, call: Call, access: Access) -> Decision:
        return await self._authorizer.decide(self._setting(call), access)

    async def _authorize(self, call: Call, params: Mapping[str, Any]) -> None:
        setting = self._setting(call)
        if call.caller.proof == "bearer":
            kind = "LONG_TERM" if call.caller.region is None else "SHORT_TERM"
            bearer = Access(BEARER, keys={"bedrock:bearertokentype": kind})
            await self._authorizer.authorize(setting, (bearer,))
        asked = Asked(
            params, call.caller, call.region, call.catalog, call.request, call.stores.models
        )
        await self._authorizer.authorize(setting, accesses_of(call.operation, asked))

    def _setting(self, call: Call) -> Setting:
        endpoint = self._authorizer.find_endpoint(call.request.endpoint)
        if call.request.endpoint is not None and endpoint is None:
            raise AuthorizationDenied("The VPC endpoint that took the request is gone.")
        return Setting(call.caller, call.region, call.request, call.now, endpoint)


async def get_handler(operation: Operation) -> Handler:
    service = operation.service.name
    if service not in _LOADED:
        # Imports take a while; beside the event loop nobody else waits for them.
        await asyncio.to_thread(handlers.load, service)
        _LOADED.add(service)
    handler = find_handler(operation.service.name, operation.handler_name)
    if handler is None:
        raise NotImplementedException(
            f"Outcrop does not have the operation {operation.name} of {operation.service.name}."
        )
    return handler
