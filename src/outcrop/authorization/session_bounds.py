"""What temporary credentials of a user may not call, whatever policies allow.

Sources: the API references of GetSessionToken and GetFederationToken; refusals quoted by users of
the real services (IAM calls such a token invalid, STS names the operation).
"""

from outcrop.errors import ServiceError, UnrecognizedClientException
from outcrop.identity import Caller
from outcrop.wire.spec import Operation

_OF_USERS = frozenset({"AssumeRole", "GetCallerIdentity"})
_OF_FEDERATED_USERS = frozenset({"GetCallerIdentity"})


def check_session(caller: Caller, operation: Operation) -> None:
    """Sessions of roles may call everything that their policies allow."""
    session = caller.session
    if session is None or caller.principal.kind == "role":
        return
    is_federated = caller.principal.kind == "federated"
    if operation.service.name == "iam" and (is_federated or not session.has_mfa):
        raise UnrecognizedClientException("The security token included in the request is invalid")
    allowed = _OF_FEDERATED_USERS if is_federated else _OF_USERS
    if operation.service.name == "sts" and operation.name not in allowed:
        raise ServiceError(
            "AccessDenied", f"Cannot call {operation.name} with session credentials", status=403
        )
