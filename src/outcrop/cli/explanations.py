"""A decision in words: what was decided, by which statement, and which condition was not met."""

from collections.abc import Iterable
from typing import Any, Final

from outcrop.authorization.simulation import Outcome
from outcrop.security.policy.evaluate import ConditionExplanation, Decision, StatementExplanation

_LAYERS: Final = {
    "identity": "identity-based policy",
    "boundary": "permissions boundary",
    "session": "session policy",
    "resource": "resource-based policy",
    "service-control": "service control policy",
    "endpoint": "VPC endpoint policy",
}


def render(outcome: Outcome) -> str:
    request, explanation = outcome.request, outcome.explanation
    lines = [
        f"{request.action} on {request.resource}: {_verdict(explanation.decision)}",
        *(line for each in _told(outcome) for line in _statement(each)),
    ]
    if outcome.missing_keys:
        lines.append(f"  not given: {', '.join(outcome.missing_keys)} (--context KEY=VALUE)")
    return "\n".join(lines)


def describe(outcome: Outcome) -> dict[str, Any]:
    """The same as data; here every statement is told."""
    decision = outcome.explanation.decision
    return {
        "action": outcome.request.action,
        "resource": outcome.request.resource,
        "allowed": decision.allowed,
        "reason": decision.reason,
        "layer": decision.layer,
        "statements": [_data(each) for each in outcome.explanation.statements],
        "missing": outcome.missing_keys,
    }


def _verdict(decision: Decision) -> str:
    layer = _LAYERS.get(decision.layer or "", "")
    match decision.reason:
        case "allowed":
            return "allowed"
        case "explicit-deny":
            return f"denied by an explicit deny in {_article(layer)}"
        case "implicit-deny":
            return f"denied because no {layer} allows it"


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _told(outcome: Outcome) -> Iterable[StatementExplanation]:
    """The statements about this action and resource; what they ask of the request decided. Where
    there are none, those about the action: their resource is not this one."""
    about = [each for each in outcome.explanation.statements if each.action]
    return [each for each in about if each.resource] or about


def _statement(each: StatementExplanation) -> Iterable[str]:
    place = each.statement.start
    name = f" {each.statement.sid!r}" if each.statement.sid else ""
    applies = "applies" if each.matched else "does not apply"
    yield (
        f"  {each.statement.effect} of {_article(_LAYERS[each.layer])}, {each.policy}, statement"
        f"{name} at line {place.line}, column {place.column}: {applies}"
    )
    if not each.resource:
        yield "    its resources are others"
    if each.principal is False:
        yield "    its principals are others"
    for condition in each.conditions:
        yield f"    {_condition(condition)}"


def _condition(condition: ConditionExplanation) -> str:
    met = "met" if condition.matched else "not met"
    value = condition.request_value
    has = "the request does not carry it" if value is None else f"the request has {_text(value)}"
    return f"{condition.operator} {condition.key} {_text(condition.policy_values)}: {met}, {has}"


def _text(value: str | tuple[str, ...]) -> str:
    return repr(value) if isinstance(value, str) else " or ".join(map(repr, value))


def _data(each: StatementExplanation) -> dict[str, Any]:
    return {
        "layer": each.layer,
        "policy": each.policy,
        "sid": each.statement.sid,
        "effect": each.statement.effect,
        "line": each.statement.start.line,
        "column": each.statement.start.column,
        "applies": each.matched,
        "action": each.action,
        "resource": each.resource,
        "conditions": [
            {
                "operator": condition.operator,
                "key": condition.key,
                "values": condition.policy_values,
                "requestValue": condition.request_value,
                "met": condition.matched,
            }
            for condition in each.conditions
        ],
    }
