"""The decision: an explicit deny anywhere wins; then every layer that applies must allow.

Layers are asked in the order in which AWS names them in a refusal: service control, identity,
boundary, session, resource, endpoint.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from outcrop.security.policy.document import Policy, Statement
from outcrop.security.policy.principals import Grant
from outcrop.security.policy.request import Layers, Request

Layer = Literal["identity", "boundary", "session", "resource", "service-control", "endpoint"]
Reason = Literal["allowed", "explicit-deny", "implicit-deny"]

# Of whom no identity-based policy, boundary or service control policy speaks.
_WITHOUT_IDENTITY = ("service", "anonymous")


@dataclass(frozen=True, slots=True)
class Decision:
    """``layer`` is the one that refused; ``policy`` names the one with the explicit deny, which
    ``statement`` makes."""

    allowed: bool
    reason: Reason
    layer: Layer | None = None
    policy: str | None = None
    statement: Statement | None = None


_ALLOWED = Decision(True, "allowed")


def decide(request: Request, layers: Layers) -> Decision:
    action = request.action.lower()
    denied = _find_deny(action, request, layers)
    if denied is not None:
        return denied
    refusing = _find_silent(action, request, layers)
    return _ALLOWED if refusing is None else Decision(False, "implicit-deny", refusing)


def policies_by_layer(request: Request, layers: Layers) -> Iterator[tuple[Layer, Policy]]:
    """The policies that have a say about this request."""
    if request.subject.kind not in _WITHOUT_IDENTITY:
        for level in layers.service_control:
            for policy in level:
                yield "service-control", policy
        if request.subject.kind != "root":
            for policy in layers.identity:
                yield "identity", policy
            if layers.boundary is not None:
                yield "boundary", layers.boundary
        for policy in layers.session or ():
            yield "session", policy
    if layers.resource is not None:
        yield "resource", layers.resource
    if layers.endpoint is not None:
        yield "endpoint", layers.endpoint


def _find_deny(action: str, request: Request, layers: Layers) -> Decision | None:
    for layer, policy in policies_by_layer(request, layers):
        for statement in policy.denies:
            if statement.applies(action, request) and _concerns(statement, request, layers):
                return Decision(False, "explicit-deny", layer, policy.name, statement)
    return None


def _concerns(statement: Statement, request: Request, layers: Layers) -> bool:
    # NotPrincipal denies whoever has a boundary, named or not (IAM's reference of NotPrincipal).
    bounded = statement.not_principals and layers.boundary is not None
    return bounded or statement.grant(request.subject) is not Grant.NONE


def _find_silent(action: str, request: Request, layers: Layers) -> Layer | None:
    """The first layer that had to allow and does not."""
    asked = _Asked(action, request, layers)
    if not asked.is_bound_to_resource_policy and not all(
        map(asked.allowed_by, layers.service_control)
    ):
        return "service-control"
    refusing = asked.refusing_layer()
    if refusing is None and layers.endpoint and not asked.allowed_by((layers.endpoint,)):
        return "endpoint"
    return refusing


class _Asked:
    """One request while its layers are asked whether they allow it."""

    __slots__ = ("_action", "_layers", "_request")

    def __init__(self, action: str, request: Request, layers: Layers) -> None:
        self._action = action
        self._request = request
        self._layers = layers

    @property
    def is_bound_to_resource_policy(self) -> bool:
        return self._request.subject.kind in _WITHOUT_IDENTITY

    def allowed_by(self, policies: Iterable[Policy]) -> bool:
        return any(self._grants(policy) for policy in policies)

    def refusing_layer(self) -> Layer | None:
        request, layers = self._request, self._layers
        granted = self._resource_grant()
        if self.is_bound_to_resource_policy:
            return None if granted else "resource"
        owner = request.resource_account
        if owner is not None and owner != request.subject.account:
            return self._first_refusing(Grant.ACCOUNT) or (None if granted else "resource")
        if layers.resource_decides and not granted:
            return "resource"
        return self._first_refusing(granted)

    def _first_refusing(self, granted: Grant) -> Layer | None:
        """Of the subject's own layers, given what a resource policy of its account grants."""
        layers = self._layers
        if self._request.subject.kind != "root":
            if granted < Grant.BOUNDED and not self.allowed_by(layers.identity):
                return "identity"
            boundary = layers.boundary
            if granted < Grant.USER and boundary and not self.allowed_by((boundary,)):
                return "boundary"
        session = layers.session
        if granted < Grant.SESSION and session is not None and not self.allowed_by(session):
            return "session"
        return None

    def _resource_grant(self) -> Grant:
        policy = self._layers.resource
        return Grant.NONE if policy is None else max(self._grants_of(policy), default=Grant.NONE)

    def _grants(self, policy: Policy) -> bool:
        return any(self._grants_of(policy))

    def _grants_of(self, policy: Policy) -> Iterator[Grant]:
        for statement in policy.allows:
            if statement.applies(self._action, self._request):
                yield statement.grant(self._request.subject)
