"""Who asks for what, and the policies that apply: the inputs of a decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from outcrop.security.policy.document import Policy

SubjectKind = Literal["root", "user", "role", "federated", "service", "anonymous"]


@dataclass(frozen=True, slots=True)
class Subject:
    arn: str
    account: str
    kind: SubjectKind
    # The role behind an assumed-role session; the user behind a federated one.
    role_arn: str | None = None
    # "bedrock.amazonaws.com" if a service principal acts.
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    subject: Subject
    action: str
    # An ARN, or "*".
    resource: str
    # None: no account owns it (a foundation model); the rules within one account apply.
    resource_account: str | None
    # Names in lower case. A tuple is multivalued; a key that is not there is not in the request.
    keys: Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    # One tuple for each level of the organization: every level must allow.
    service_control: "tuple[tuple[Policy, ...], ...]" = ()
    identity: "tuple[Policy, ...]" = ()
    boundary: "Policy | None" = None
    # None: the session has no policy of its own; an empty tuple allows nothing.
    session: "tuple[Policy, ...] | None" = None
    resource: "Policy | None" = None
    # Key policies and trust policies: what they do not allow, directly or by delegation to the
    # account, nothing else can.
    resource_decides: bool = False
    endpoint: "Policy | None" = None
