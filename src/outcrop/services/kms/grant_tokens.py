"""The grant tokens of a request. Grants take effect at once: a token only has to be real."""

from collections.abc import Mapping
from typing import Any

from outcrop.errors import ServiceError
from outcrop.security.grant_tokens import GrantToken, MalformedToken, read_grant_token
from outcrop.services.call import Call
from outcrop.services.kms.references import keyring_of
from outcrop.stores.kms_records import KmsGrant
from outcrop.stores.resources import Item, Place


async def require_grant_tokens(call: Call, params: Mapping[str, Any]) -> None:
    for text in params.get("GrantTokens") or ():
        await get_grant(call, text)


async def get_grant(call: Call, text: str) -> Item[KmsGrant]:
    """The grant that a token names, while there is one."""
    try:
        token = read_grant_token(text)
    except MalformedToken as error:
        raise _invalid() from error
    grant = (await keyring_of(call)).find_grant(_key_place(call, token), token.grant_id)
    if grant is None:
        raise _invalid()
    return grant


def _key_place(call: Call, token: GrantToken) -> Place:
    return Place(token.account, call.region, token.key_id)


def _invalid() -> ServiceError:
    return ServiceError("InvalidGrantTokenException", "The grant token is not valid.")
