"""Temporary credentials of users: their own, or a federated user's within their permissions."""

from collections.abc import Mapping
from typing import Any

from outcrop.errors import ServiceError
from outcrop.identity import Principal
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sts.new_sessions import (
    Grant,
    SessionPolicies,
    issue_session,
    read_policies,
    read_tags,
    refuse_mfa,
)

_DEFAULT_S = 43_200
# The root user's sessions end after an hour, whatever is asked for (API reference).
_ROOT_S = 3_600


@operation
async def get_session_token(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_sessions(call, "GetSessionToken")
    refuse_mfa(params)
    user = call.caller.principal
    return issue_session(call, Grant(user, user, _duration_s(user, params)), params)


@operation
async def get_federation_token(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_sessions(call, "GetFederationToken")
    user, name = call.caller.principal, params["Name"]
    federated = Principal(
        user.account,
        name,
        f"arn:aws:sts::{user.account}:federated-user/{name}",
        "federated",
        f"{user.account}:{name}",
    )
    policies = read_policies(call, user.account, params)
    if policies == SessionPolicies():
        # Without a policy a federated user has no permission at all.
        policies = SessionPolicies(())
    grant = Grant(federated, user, _duration_s(user, params), policies, read_tags(call, params))
    answer = issue_session(call, grant, params)
    answer["FederatedUser"] = {"FederatedUserId": federated.id, "Arn": federated.arn}
    return answer


def _refuse_sessions(call: Call, operation_name: str) -> None:
    if call.caller.session is not None:
        raise ServiceError(
            "AccessDenied", f"Cannot call {operation_name} with session credentials", status=403
        )


def _duration_s(user: Principal, params: Mapping[str, Any]) -> int:
    duration_s: int = params.get("DurationSeconds", _DEFAULT_S)
    return min(duration_s, _ROOT_S) if user.kind == "root" else duration_s
