"""Who asks for what, and the policies that apply: the inputs of a decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from outcrop.security.policy.document import Policy

SubjectKind = Literal["root", "user", "role", "federated", "service", "anonymous"]


@dataclass(frozen=True, slots=True)
class Subject:
    """``role_arn`` is the role behind an assumed-role session, or the user behind a federated one.
    ``service`` is what acts as a service principal ("bedrock.amazonaws.com")."""

    arn: str
    account: str
    kind: SubjectKind
    role_arn: str | None = None
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """``resource`` is an ARN or "*". Where no account owns it (a foundation model),
    ``resource_account`` is None and the rules within one account apply.

    The names of ``keys`` are in lower case; a tuple is multivalued, and a key that is not there is
    not in the request."""

    subject: Subject
    action: str
    resource: str
    resource_account: str | None
    keys: Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """``service_control`` has one tuple for each level of the organization: every level must
    allow. ``session`` is None where the session has no policy of its own; an empty tuple allows
    nothing.

    ``resource_decides`` is so of key policies and trust policies: what they do not allow, directly
    or by delegation to the account, nothing else can."""

    service_control: "tuple[tuple[Policy, ...], ...]" = ()
    identity: "tuple[Policy, ...]" = ()
    boundary: "Policy | None" = None
    session: "tuple[Policy, ...] | None" = None
    resource: "Policy | None" = None
    resource_decides: bool = False
    endpoint: "Policy | None" = None
