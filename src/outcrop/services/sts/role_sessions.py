"""AssumeRole. Who may is decided before this: by the role's trust policy and the caller's own."""

from collections.abc import Mapping
from typing import Any

from outcrop.authorization.sts import assume_role_denied, is_arn
from outcrop.errors import NotImplementedException, ServiceError, ValidationException
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sts.new_sessions import (
    Grant,
    issue_session,
    read_policies,
    read_tags,
    refuse_mfa,
)
from outcrop.stores.iam_records import RoleRecord
from outcrop.stores.resources import Item
from outcrop.stores.role_principals import role_principal, role_session_principal

_DEFAULT_S = 3600
_CHAINED_S = 3600


@operation
async def assume_role(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    role = _get_role(call, params["RoleArn"])
    refuse_mfa(params)
    if params.get("ProvidedContexts"):
        raise NotImplementedException("Outcrop does not have ProvidedContexts of AssumeRole.")
    session_name = params["RoleSessionName"]
    grant = Grant(
        principal=role_session_principal(role, session_name),
        issuer=role_principal(role),
        duration_s=_duration_s(call, role, params),
        policies=read_policies(call, role.place.account, params),
        tags=read_tags(call, params),
        source_identity=_source_identity(call, params),
    )
    answer = issue_session(call, grant, params)
    answer["AssumedRoleUser"] = {"AssumedRoleId": grant.principal.id, "Arn": grant.principal.arn}
    if grant.source_identity is not None:
        answer["SourceIdentity"] = grant.source_identity
    return answer


def _get_role(call: Call, role_arn: str) -> Item[RoleRecord]:
    if call.caller.principal.kind == "root":
        raise ServiceError("AccessDenied", "Roles may not be assumed by root accounts.", status=403)
    if not is_arn(role_arn):
        raise ValidationException(f"{role_arn} is invalid")
    role = call.stores.directory.find_role_arn(role_arn)
    if role is None:
        raise assume_role_denied(call.caller, role_arn)
    return role


def _duration_s(call: Call, role: Item[RoleRecord], params: Mapping[str, Any]) -> int:
    duration_s: int = params.get("DurationSeconds", _DEFAULT_S)
    if call.caller.session is not None and duration_s > _CHAINED_S:
        raise ValidationException(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by "
            "role chaining."
        )
    if duration_s > role.record.max_session_s:
        raise ValidationException(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    return duration_s


def _source_identity(call: Call, params: Mapping[str, Any]) -> str | None:
    """Once set it stays, through every role that is assumed from the session."""
    kept = call.caller.session.source_identity if call.caller.session else None
    asked: str | None = params.get("SourceIdentity")
    if kept is not None and asked not in (None, kept):
        raise ServiceError(
            "AccessDenied",
            f"The source identity of the calling session is {kept} and cannot be changed.",
            status=403,
        )
    return kept or asked
