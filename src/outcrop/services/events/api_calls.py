"""Sends events to API destinations: at their pace, with tokens kept until they end."""

import ssl
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from outcrop.events.bus import EventBuses
from outcrop.jobs.delivery import Clock, NotDelivered
from outcrop.services.events.api_requests import (
    Token,
    read_token,
    render_request,
    render_token_request,
    with_token,
)
from outcrop.services.events.connection_secrets import open_sealed
from outcrop.services.events.failures import Refused, failure_of
from outcrop.services.events.http_requests import Answered, Sent, ask
from outcrop.services.events.turns import Turns
from outcrop.stores.event_records import EventConnection
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item

_MOST_KEPT: Final = 1000
_UNAUTHORIZED: Final = (401, 407)


class ApiCalls:
    """``tls`` is whom the server trusts; None is the system's list."""

    def __init__(
        self,
        stores: Stores,
        buses: EventBuses,
        clock: Clock,
        turns: Turns,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._stores = stores
        self._buses = buses
        self._clock = clock
        self._tls = tls
        self._tokens: OrderedDict[tuple[str, str], Token] = OrderedDict()
        self._turns = turns

    async def send(
        self, target: Mapping[str, Any], event: Mapping[str, Any], body: str, delivery: str
    ) -> None:
        """``delivery`` names it among those that wait for their turn."""
        arn: str = target["Arn"]
        found = self._buses.find_api_destination(arn)
        if found is None:
            raise Refused("RESOURCE_NOT_FOUND", f"The API destination {arn} is gone.")
        destination = found.record
        connection = self._buses.find_connection(destination.connection_arn)
        if connection is None:
            raise Refused(
                "RESOURCE_NOT_FOUND", f"The connection {destination.connection_arn} is gone."
            )
        parameters = open_sealed(
            self._stores.sealer, connection.arn or "", connection.record.sealed
        )
        request = render_request(destination, parameters, target, event, body)
        with self._turns.turn(arn, delivery, destination.rate_per_s):
            answered = await self._ask(request, connection, parameters)
        if not 200 <= answered.status < 300:
            raise _failure(answered.status)

    async def _ask(
        self, request: Sent, connection: Item[EventConnection], parameters: Mapping[str, Any]
    ) -> Answered:
        oauth = parameters.get("OAuthParameters")
        if oauth is None:
            return await ask(request, self._tls)
        key = (connection.arn or "", connection.record.changed_at.isoformat())
        token = self._tokens.get(key)
        if token is None or token.ends_at <= self._clock():
            token = await self._fetch(key, oauth)
        answered = await ask(with_token(request, token), self._tls)
        if answered.status in _UNAUTHORIZED:
            # It may have been taken back before its time.
            answered = await ask(with_token(request, await self._fetch(key, oauth)), self._tls)
        return answered

    async def _fetch(self, key: tuple[str, str], oauth: Mapping[str, Any]) -> Token:
        answered = await ask(render_token_request(oauth), self._tls)
        if not 200 <= answered.status < 300:
            raise NotDelivered(f"The authorization endpoint answered {answered.status}.")
        token = self._tokens[key] = read_token(answered, self._clock())
        while len(self._tokens) > _MOST_KEPT:
            self._tokens.popitem(last=False)
        return token


def _failure(status: int) -> Exception:
    if status in (401, 407, 409, 429):
        return NotDelivered(f"The API destination answered {status}.")
    # A redirect would lead the credentials elsewhere.
    return failure_of("SDK_CLIENT_ERROR", status, f"The API destination answered {status}.")
