"""Who calls, and whose a key is."""

from collections.abc import Mapping
from typing import Any

from outcrop.errors import ServiceError
from outcrop.security.sessions import account_of
from outcrop.services.call import Call
from outcrop.services.operation import operation


@operation
async def get_caller_identity(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    principal = call.caller.principal
    user_id = principal.account if principal.kind == "root" else principal.id
    return {"UserId": user_id, "Account": principal.account, "Arn": principal.arn}


@operation
async def get_access_key_info(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """A temporary key's ID tells its account; that of another is looked up."""
    key_id: str = params["AccessKeyId"]
    account = account_of(key_id)
    if account is None or call.stores.directory.find_account(account) is None:
        key = call.stores.directory.find_access_key(key_id)
        account = key.principal.account if key else None
    if account is None:
        raise ServiceError("InvalidClientTokenId", f"There is no access key {key_id}.", status=403)
    return {"Account": account}


@operation
async def decode_authorization_message(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """Refusals say everything in plain words here: no message is encoded, so none is valid."""
    raise ServiceError("InvalidAuthorizationMessageException", "Message is not valid")
