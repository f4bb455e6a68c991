"""A decision in plain words, for the server's log and for ``outcrop policy simulate``.

Only statements that name the action are told of: the others have no say.
"""

from collections.abc import Sequence

from outcrop.authorization.denials import LAYERS
from outcrop.security.policy.evaluate import (
    ConditionExplanation,
    Explanation,
    StatementExplanation,
)

_SAYS = {"Allow": "allows it", "Deny": "denies it"}

_MOST = 20
"""Statements told of; policies can have hundreds."""


def explain_lines(explanation: Explanation) -> list[str]:
    """One sentence for each statement that names the action, in the order of the layers."""
    told = [each for each in explanation.statements if each.action]
    lines = [_statement(each) for each in told[:_MOST]]
    if len(told) > _MOST:
        lines.append(f"{len(told) - _MOST} further statements name the action")
    return lines or ["no statement of any policy names the action"]


def _statement(told: StatementExplanation) -> str:
    statement = told.statement
    name = f"{told.policy or 'inline'} ({LAYERS[told.layer]})"
    sid = f" {statement.sid!r}" if statement.sid else ""
    place = f"statement{sid} at line {statement.start.line} of {name}"
    if told.matched:
        return f"{place}: {_SAYS[statement.effect]}"
    return f"{place} would {statement.effect.lower()}, but {_and(_misses(told))}"


def _misses(told: StatementExplanation) -> list[str]:
    misses: list[str] = []
    if not told.resource:
        misses.append("not on this resource")
    if told.principal is False:
        misses.append("not to this principal")
    misses += [_condition(each) for each in told.conditions if not each.matched]
    return misses


def _condition(told: ConditionExplanation) -> str:
    wanted = ", ".join(map(repr, told.policy_values))
    had = "is not in the request" if told.request_value is None else f"is {told.request_value!r}"
    return f"its {told.operator} wants {told.key} {wanted}, which {had}"


def _and(parts: Sequence[str]) -> str:
    return " and ".join(parts)
