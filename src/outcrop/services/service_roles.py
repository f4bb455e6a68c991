"""Roles that a service acts with: passed to it by a caller, assumed for one resource, renewed.

Each assumption asks the role's trust policy anew, with the resource that the service acts for as
``aws:SourceArn`` and its account as ``aws:SourceAccount``: no one's role works for another's job.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from outcrop.authorization.access import Access
from outcrop.authorization.compiled import compile_policy
from outcrop.authorization.denials import denial
from outcrop.errors import ValidationException
from outcrop.identity import Caller, Session
from outcrop.security.policy.evaluate import Layers, Request, Subject, decide
from outcrop.security.sessions import new_key_id
from outcrop.services.call import Call
from outcrop.stores.iam_records import RoleRecord
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item
from outcrop.stores.role_principals import role_principal, role_session_principal
from outcrop.wire.http import Request as WireRequest

BEDROCK = "bedrock.amazonaws.com"

_SESSION = timedelta(hours=1)
_RENEW_BEFORE = timedelta(minutes=5)
_MAX_SESSION_NAME = 64
_NOT_IN_SESSION_NAMES = re.compile(r"[^A-Za-z0-9_+=,.@-]+")
_ARN_PARTS = 6

_NOT_ASSUMABLE = "Could not assume provided IAM role."
_OTHER_ACCOUNT = "Cross-account pass role is not allowed."


class RoleNotAssumable(Exception):
    """The role is gone, or does not trust the service for this resource."""


@dataclass(frozen=True, slots=True)
class ServiceRole:
    """What a job keeps of its role. ``source_arn`` is the resource that the service acts for."""

    arn: str
    source_arn: str
    service: str = BEDROCK


async def pass_role(
    call: Call,
    role_arn: str,
    *,
    source_arn: str,
    service: str = BEDROCK,
    not_assumable: str = _NOT_ASSUMABLE,
) -> ServiceRole:
    """The role, if its caller may pass it and it trusts the service for this resource.
    ``not_assumable`` is what the calling operation says where it does not."""
    if _account_of(role_arn) != call.account:
        raise ValidationException(_OTHER_ACCOUNT if _account_of(role_arn) else not_assumable)
    keys = {"iam:passedtoservice": service, "iam:associatedresourcearn": source_arn}
    access = Access("iam:PassRole", role_arn, keys)
    decision = await call.gateway.decide(call, access)
    if not decision.allowed:
        raise denial(call.caller, access, decision)
    role = ServiceRole(role_arn, source_arn, service)
    try:
        await assume(call.stores, role, call.now)
    except RoleNotAssumable as error:
        raise ValidationException(not_assumable) from error
    return role


async def assume(stores: Stores, role: ServiceRole, now: datetime) -> Caller:
    """The service as a session of the role: whatever is performed with this caller is decided by
    the role's own policies. Raises ``RoleNotAssumable``."""
    item = stores.directory.find_role_arn(role.arn)
    if item is None:
        raise RoleNotAssumable(f"There is no role {role.arn}.")
    if not _trusts(item, role, now):
        raise RoleNotAssumable(
            f"{role.arn} does not trust {role.service} to act for {role.source_arn}."
        )
    issued_at = now.replace(microsecond=0)
    session = Session(
        issuer=role_principal(item),
        issued_at=issued_at,
        expires_at=issued_at + _SESSION,
        service=role.service,
    )
    return Caller(
        principal=role_session_principal(item, _session_name(role)),
        key_id=new_key_id(item.place.account),
        region=role.source_arn.split(":")[3] or None,
        proof="service",
        session_expires_at=session.expires_at,
        session=session,
    )


def act(call: Call, caller: Caller) -> Call:
    """``call`` as a service role. Address, endpoint and client of the request that began it are
    its sender's, not the service's: no condition sees them."""
    service = caller.session.service if caller.session else None
    if service is None:
        raise ValueError(f"{caller.arn} is no service role")
    call.stores.directory.touch_caller(caller, call.now, service, caller.region or "")
    sender = (("host", service), ("user-agent", service))
    request = WireRequest("POST", "/", "", sender, b"", service, scheme="https", client="")
    return replace(call, caller=caller, request=request)


class RoleInUse:
    """A service role over the life of a long job: its session is renewed before it ends, as long
    as the role is there and trusts the service."""

    def __init__(self, stores: Stores, role: ServiceRole) -> None:
        self._stores = stores
        self._role = role
        self._caller: Caller | None = None

    async def caller(self, now: datetime) -> Caller:
        """Ask before each piece of work."""
        caller = self._caller
        ends_at = caller.session_expires_at if caller else None
        if caller is None or ends_at is None or now > ends_at - _RENEW_BEFORE:
            caller = self._caller = await assume(self._stores, self._role, now)
        return caller

    async def call(self, call: Call, now: datetime) -> Call:
        """``call`` as the role: what it performs, the role must be allowed."""
        return act(replace(call, now=now), await self.caller(now))


def _trusts(item: Item[RoleRecord], role: ServiceRole, now: datetime) -> bool:
    source_account = _account_of(role.source_arn)
    if source_account != item.place.account:
        # The resources that a role works for are its own account's, whatever it trusts.
        return False
    keys = {
        "aws:currenttime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:epochtime": str(int(now.timestamp())),
        "aws:principalisawsservice": "true",
        "aws:principalservicename": role.service,
        "aws:sourceaccount": source_account,
        "aws:sourcearn": role.source_arn,
        "aws:viaawsservice": "false",
    }
    subject = Subject(role.service, source_account, "service", service=role.service)
    trust = compile_policy(item.record.trust, "trust", role.arn)
    asked = Request(subject, "sts:AssumeRole", role.arn, item.place.account, keys)
    return decide(asked, Layers(resource=trust, resource_decides=True)).allowed


def _account_of(arn: str) -> str:
    """Empty for what has none, or is no ARN."""
    parts = arn.split(":", _ARN_PARTS - 1)
    return parts[4] if len(parts) == _ARN_PARTS and parts[0] == "arn" else ""


def _session_name(role: ServiceRole) -> str:
    """``bedrock-model-customization-job-…``: what for, in the logs of the role's account."""
    resource = role.source_arn.split(":", _ARN_PARTS - 1)[-1]
    name = f"{role.service.partition('.')[0]}-{resource}"
    return _NOT_IN_SESSION_NAMES.sub("-", name)[:_MAX_SESSION_NAME]
