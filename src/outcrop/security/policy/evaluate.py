"""What callers use: ``decide``, and ``explain``, which says why each statement applied or not.

Explaining evaluates everything and is for people and simulations; deciding stops early.
"""

from dataclasses import dataclass

from outcrop.security.policy.conditions import Condition
from outcrop.security.policy.decision import Decision, Layer, Reason, decide, policies_by_layer
from outcrop.security.policy.document import Policy, Statement
from outcrop.security.policy.request import Layers, Request, Subject, SubjectKind

__all__ = [
    "ConditionExplanation",
    "Decision",
    "Explanation",
    "Layer",
    "Layers",
    "Reason",
    "Request",
    "StatementExplanation",
    "Subject",
    "SubjectKind",
    "decide",
    "explain",
]


@dataclass(frozen=True, slots=True)
class ConditionExplanation:
    """``request_value`` is None where the request does not carry the key."""

    operator: str
    key: str
    request_value: str | tuple[str, ...] | None
    policy_values: tuple[str, ...]
    matched: bool


@dataclass(frozen=True, slots=True)
class StatementExplanation:
    """``policy`` is a name. ``principal`` is None where the kind of policy names none."""

    layer: Layer
    policy: str
    statement: Statement
    action: bool
    resource: bool
    principal: bool | None
    conditions: tuple[ConditionExplanation, ...]

    @property
    def matched(self) -> bool:
        return (
            self.action
            and self.resource
            and self.principal is not False
            and all(condition.matched for condition in self.conditions)
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """``missing_keys`` are those that the policies ask for and the request lacks, as the policies
    spell them."""

    decision: Decision
    statements: tuple[StatementExplanation, ...]
    missing_keys: tuple[str, ...]


def explain(request: Request, layers: Layers) -> Explanation:
    policies = list(policies_by_layer(request, layers))
    statements = tuple(
        _explain_statement(request, layer, policy, statement)
        for layer, policy in policies
        for statement in policy.statements
    )
    missing = _missing_keys(request, [policy for _, policy in policies])
    return Explanation(decide(request, layers), statements, missing)


def _explain_statement(
    request: Request, layer: Layer, policy: Policy, statement: Statement
) -> StatementExplanation:
    named = statement.principals is not None
    return StatementExplanation(
        layer=layer,
        policy=policy.name,
        statement=statement,
        action=statement.names(request.action.lower()),
        resource=statement.covers(request.resource, request.keys),
        principal=bool(statement.grant(request.subject)) if named else None,
        conditions=tuple(_explain_condition(request, each) for each in statement.conditions),
    )


def _explain_condition(request: Request, condition: Condition) -> ConditionExplanation:
    return ConditionExplanation(
        operator=condition.operator.name,
        key=condition.key,
        request_value=request.keys.get(condition.name),
        policy_values=condition.values,
        matched=condition.matches(request.keys),
    )


def _missing_keys(request: Request, policies: list[Policy]) -> tuple[str, ...]:
    spelled = {
        condition.name: condition.key
        for policy in policies
        for statement in policy.statements
        for condition in statement.conditions
    }
    asked = frozenset[str]().union(*(policy.keys for policy in policies))
    return tuple(sorted(spelled.get(key, key) for key in asked - request.keys.keys()))
