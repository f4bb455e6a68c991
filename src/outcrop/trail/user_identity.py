"""``userIdentity``: who made a request, in each of CloudTrail's forms.

Source: the CloudTrail user guide, "CloudTrail userIdentity element".
"""

from typing import Any, Final

from outcrop.identity import Caller, Principal, Session

_SECONDS: Final = "%Y-%m-%dT%H:%M:%SZ"


def user_identity(caller: Caller) -> dict[str, Any]:
    principal = caller.principal
    if principal.kind == "service":
        return {"type": "AWSService", "invokedBy": principal.name}
    if principal.kind == "anonymous":
        return {"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}
    identity = {
        "type": _TYPES[principal.kind],
        "principalId": _principal_id(principal),
        "arn": principal.arn,
        "accountId": principal.account,
    }
    if caller.key_id:
        # A long-term bearer key is no access key, and has no region of its own.
        is_api_key = caller.proof == "bearer" and caller.region is None
        identity["credentialId" if is_api_key else "accessKeyId"] = caller.key_id
    if principal.kind == "user":
        identity["userName"] = principal.name
    told: dict[str, Any] = dict(identity)
    if caller.session is not None:
        told["sessionContext"] = _session_context(principal, caller.session)
    invoked_by = acting_service(caller)
    if invoked_by is not None:
        told["invokedBy"] = invoked_by
    return told


def acting_service(caller: Caller) -> str | None:
    """The AWS service that sent the request: as itself, with a role, or on somebody's behalf."""
    if caller.via:
        return f"{caller.via[-1].partition('.')[0]}.amazonaws.com"
    if caller.principal.kind == "service":
        return caller.principal.name
    return caller.session.service if caller.session else None


def abridged(identity: dict[str, Any]) -> dict[str, Any]:
    """As another account is told of it, whose resource was used."""
    if "accountId" not in identity:
        return identity
    kept = ("principalId", "accountId", "invokedBy")
    return {"type": "AWSAccount"} | {name: identity[name] for name in kept if name in identity}


_TYPES: Final = {
    "root": "Root",
    "user": "IAMUser",
    "role": "AssumedRole",
    "federated": "FederatedUser",
}


def _principal_id(principal: Principal) -> str:
    if principal.kind == "root":
        return principal.account
    return principal.id


def _session_context(principal: Principal, session: Session) -> dict[str, Any]:
    context: dict[str, Any] = {}
    if principal.kind in ("role", "federated"):
        context["sessionIssuer"] = _issuer(session.issuer)
    context["attributes"] = {
        "creationDate": session.issued_at.strftime(_SECONDS),
        "mfaAuthenticated": "true" if session.has_mfa else "false",
    }
    if session.source_identity is not None:
        context["sourceIdentity"] = session.source_identity
    return context


def _issuer(issuer: Principal) -> dict[str, str]:
    types = {"role": "Role", "user": "IAMUser", "root": "Root"}
    told = {
        "type": types.get(issuer.kind, "Role"),
        "principalId": _principal_id(issuer).partition(":")[0],
        "arn": issuer.arn,
        "accountId": issuer.account,
    }
    if issuer.kind != "root":
        told["userName"] = issuer.name
    return told
