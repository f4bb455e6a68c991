"""A simulated decision for people, in the words of the server's log, and as data for programs."""

from typing import Any

from outcrop.authorization.denials import LAYERS
from outcrop.authorization.explaining import explain_lines
from outcrop.authorization.simulation import Outcome
from outcrop.security.policy.evaluate import Decision, StatementExplanation


def render(outcome: Outcome) -> str:
    request, explanation = outcome.request, outcome.explanation
    lines = [
        f"{request.action} on {request.resource}: {_verdict(explanation.decision)}",
        *(f"  {line}" for line in explain_lines(explanation)),
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
    layer = LAYERS[decision.layer] if decision.layer else ""
    match decision.reason:
        case "allowed":
            return "allowed"
        case "explicit-deny":
            return f"denied by an explicit deny in {_article(layer)}"
        case "implicit-deny":
            return f"denied because no {layer} allows it"


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


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
