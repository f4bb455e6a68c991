"""From an authenticated caller to an answer: authorize, then the handler.

Requests come here from ``App.handle``; a handler that needs another operation, as its caller or as
a role passed to it, comes here too.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from outcrop.authorization.access import Access
from outcrop.errors import NotImplementedException
from outcrop.security.policy.evaluate import Decision
from outcrop.services.call import Answered, Call
from outcrop.services.operation import Handler, aws_errors, find_handler
from outcrop.wire.spec import Operation, load_service


class Gateway:
    async def run(self, call: Call, params: Mapping[str, Any]) -> Answered:
        """``params`` are parsed and validated."""
        handler = get_handler(call.operation)
        with aws_errors():
            return await handler(call, params)

    async def perform(
        self, call: Call, service: str, operation: str, params: Mapping[str, Any]
    ) -> Answered:
        return await self.run(
            replace(call, operation=load_service(service).operations[operation]), params
        )

    async def decide(self, call: Call, access: Access) -> Decision:
        raise NotImplementedError


def get_handler(operation: Operation) -> Handler:
    """Looked up before the parameters are: that an operation is not there counts more than how
    it was asked for."""
    handler = find_handler(operation.service.name, operation.handler_name)
    if handler is None:
        raise NotImplementedException(
            f"Outcrop does not have the operation {operation.name} of {operation.service.name}."
        )
    return handler
