"""What a new session is given: its policies, tags and lifetime, checked as STS checks them.

Policies, policy ARNs and tags share one space: the size they take in a token, compressed.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from outcrop.errors import ServiceError, ValidationException
from outcrop.identity import AccessKey, Principal, Session
from outcrop.security.policy.document import MalformedPolicy, parse_policy
from outcrop.security.sessions import MAX_TOKEN_CHARS, TokenTooLong, issue
from outcrop.services.call import Call

_MAX_POLICY_CHARS = 2_048
_MAX_POLICY_ARNS = 10
_RESERVED = "aws:"
# AWS does not tell its limit. Ours leaves room in a token for everything else that it holds.
_PACKED_BYTES = 2_048


@dataclass(frozen=True, slots=True)
class SessionTags:
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    transitive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionPolicies:
    """None where the request passes none."""

    texts: tuple[str, ...] | None = None
    arns: tuple[str, ...] | None = None


def read_policies(call: Call, account: str, params: Mapping[str, Any]) -> SessionPolicies:
    """Those that the request passes; managed ones are of ``account`` or AWS's own."""
    text: str | None = params.get("Policy")
    arns = tuple(each["arn"] for each in params.get("PolicyArns") or () if each.get("arn"))
    if len(arns) > _MAX_POLICY_ARNS:
        raise _too_long("policyArns", _MAX_POLICY_ARNS)
    if len(text or "") + sum(map(len, arns)) > _MAX_POLICY_CHARS:
        raise _too_long("policy", _MAX_POLICY_CHARS)
    for arn in arns:
        owner = arn.split(":")[4] if arn.count(":") >= 5 else ""
        if owner not in (account, "aws") or call.stores.directory.managed_policy(arn) is None:
            raise ValidationException(f"Policy {arn} does not exist or is not attachable.")
    if text is not None:
        try:
            parse_policy(text, "session")
        except MalformedPolicy as error:
            raise ServiceError("MalformedPolicyDocument", str(error)) from error
    return SessionPolicies((text,) if text is not None else None, arns or None)


def read_tags(call: Call, params: Mapping[str, Any]) -> SessionTags:
    """The tags passed, over those that the calling session hands on."""
    given: Sequence[Mapping[str, str]] = params.get("Tags") or ()
    tags = {tag["Key"]: tag["Value"] for tag in given}
    transitive: Sequence[str] = params.get("TransitiveTagKeys") or ()
    keys = {tag["Key"].lower() for tag in given}
    if len(keys) < len(given):
        raise _invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if any(key.startswith(_RESERVED) for key in keys):
        # In the words of IAM's tags; no recording has STS's own.
        raise _invalid("Caller is an end user and not allowed to mutate system tags.")
    inherited = call.caller.session
    kept = inherited.transitive_tags if inherited else ()
    if keys & {key.lower() for key in kept}:
        raise _invalid(
            "One of the specified transitive tag keys can't be set because it conflicts with a "
            "transitive tag key from the calling session."
        )
    if not {key.lower() for key in transitive} <= keys:
        raise _invalid("The specified transitive tag key must be included in the requested tags.")
    handed_on = {key: inherited.tags[key] for key in kept} if inherited else {}
    chosen = {key.lower() for key in transitive}
    return SessionTags(
        {**handed_on, **tags}, (*kept, *(key for key in tags if key.lower() in chosen))
    )


def refuse_mfa(params: Mapping[str, Any]) -> None:
    """No user of this deployment has an MFA device, so no code can be right."""
    if params.get("SerialNumber") or params.get("TokenCode"):
        raise ServiceError(
            "AccessDenied",
            "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your "
            "MFA serial number is valid and associated with this user.",
            status=403,
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """What a session is made of, and what its answer tells."""

    principal: Principal
    issuer: Principal
    duration_s: int
    policies: SessionPolicies = SessionPolicies()
    tags: SessionTags = SessionTags()
    source_identity: str | None = None


def issue_session(call: Call, grant: Grant, params: Mapping[str, Any]) -> dict[str, Any]:
    """The members that every answer with credentials has."""
    packed_percent = _packed_percent(grant)
    if packed_percent > 100:
        raise _too_large(packed_percent)
    # Clients are told whole seconds.
    issued_at = call.now.replace(microsecond=0)
    session = Session(
        issuer=grant.issuer,
        issued_at=issued_at,
        expires_at=issued_at + timedelta(seconds=grant.duration_s),
        policies=grant.policies.texts,
        policy_arns=grant.policies.arns,
        tags=grant.tags.tags,
        transitive_tags=grant.tags.transitive,
        source_identity=grant.source_identity,
    )
    least = params.get("MinimumSessionTokenSize") or 0
    try:
        key = issue(call.stores.sealer, grant.principal, session, min_token_chars=least)
    except TokenTooLong as error:
        raise _too_large(101) from error
    answer = _credentials(key)
    if packed_percent:
        answer["PackedPolicySize"] = packed_percent
    return answer


def _credentials(key: AccessKey) -> dict[str, Any]:
    size = len(key.session_token or "")
    return {
        "Credentials": {
            "AccessKeyId": key.id,
            "SecretAccessKey": key.secret,
            "SessionToken": key.session_token,
            "Expiration": key.expires_at,
        },
        "SessionTokenSize": size,
        "SessionTokenUtilization": -(-100 * size // MAX_TOKEN_CHARS),
    }


def _packed_percent(grant: Grant) -> int:
    parts = (grant.policies.texts or (), grant.policies.arns or (), dict(grant.tags.tags))
    if not any(parts):
        return 0
    packed = len(zlib.compress(msgspec.msgpack.encode(parts), 9))
    return -(-100 * packed // _PACKED_BYTES)


def _too_large(percent: int) -> ServiceError:
    return ServiceError(
        "PackedPolicyTooLarge",
        f"Packed policy consumes {percent}% of allotted space, please use smaller policy.",
    )


def _too_long(member: str, limit: int) -> ValidationException:
    return ValidationException(
        f"1 validation error detected: Value at '{member}' failed to satisfy constraint: Member "
        f"must have length less than or equal to {limit}"
    )


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValue", message)
