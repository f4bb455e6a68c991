"""One statement, compiled: does it apply to a request, and where does it stand in its document."""

from dataclasses import dataclass
from typing import Literal

from outcrop.security.policy.conditions import Condition
from outcrop.security.policy.patterns import Keys, PatternSet
from outcrop.security.policy.principals import Grant, Principals
from outcrop.security.policy.request import Request, Subject

Effect = Literal["Allow", "Deny"]

# Actions have no variables.
_NO_KEYS: Keys = {}


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column as SimulatePrincipalPolicy gives them: just after the token before."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """``resources`` is None where the kind of policy has none (a trust policy), ``principals``
    where it names none, or where the endpoint's policy means everyone."""

    sid: str | None
    effect: Effect
    actions: PatternSet
    not_actions: bool
    resources: PatternSet | None
    not_resources: bool
    principals: Principals | None
    not_principals: bool
    conditions: tuple[Condition, ...]
    start: Position
    end: Position

    def applies(self, action: str, request: Request) -> bool:
        """To the request, by whomever it is made; ``action`` is the request's in lower case."""
        keys = request.keys
        # Spelled out: this is the path of every request.
        if self.actions.matches(action, _NO_KEYS) is self.not_actions:
            return False
        if not self.covers(request.resource, keys):
            return False
        return not self.conditions or all(each.matches(keys) for each in self.conditions)

    def names(self, action: str) -> bool:
        return self.actions.matches(action, _NO_KEYS) is not self.not_actions

    def covers(self, resource: str, keys: Keys) -> bool:
        if self.resources is None:
            return True
        if not self.not_resources:
            return self.resources.matches(resource, keys)
        # A variable without a value makes the statement invalid: it must not come to mean "all".
        return self.resources.resolves(keys) and not self.resources.matches(resource, keys)

    def grant(self, subject: Subject) -> Grant:
        """How closely the statement names the subject; NONE: it is not about it."""
        if self.principals is None:
            return Grant.BOUNDED
        if self.not_principals:
            return Grant.NONE if self.principals.excepts(subject) else Grant.BOUNDED
        return self.principals.grant(subject)
