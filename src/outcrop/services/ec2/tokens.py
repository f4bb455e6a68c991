"""Client tokens: a request sent twice makes one thing, for as long as that is there."""

import hashlib
from typing import TypeVar

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.ec2.requests import Params, list_own
from outcrop.stores.network_records import (
    FlowLog,
    NetworkInterface,
    RouteTable,
    Token,
    VpcEndpoint,
)
from outcrop.stores.resources import Item, View
from outcrop.wire import json

R = TypeVar("R", NetworkInterface, RouteTable, VpcEndpoint, FlowLog)


def token_of(params: Params) -> Token | None:
    text = params.get("ClientToken")
    if not text:
        return None
    fixed = sorted((name, value) for name, value in params.items() if name != "ClientToken")
    return Token(text=text, digest=hashlib.blake2b(json.encode(fixed), digest_size=16).hexdigest())


async def find_made(view: View, call: Call, type: type[R], params: Params) -> Item[R] | None:
    """What the same request made before."""
    token = token_of(params)
    if token is None:
        return None
    for item in await list_own(view, call, type):
        made = item.record.token
        if made is not None and made.text == token.text:
            if made.digest != token.digest:
                raise ServiceError(
                    "IdempotentParameterMismatch",
                    f"The client token '{token.text}' was used in a request with other parameters.",
                )
            return item
    return None


def given_token(params: Params) -> dict[str, str]:
    """As answers repeat it."""
    return {"ClientToken": params["ClientToken"]} if "ClientToken" in params else {}
