"""Twenty bugs to plant in the policy engine: each is one that a plausible edit could bring in."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from outcrop.security.policy import decision, document, grammar, operators, patterns
from outcrop.security.policy.conditions import Condition
from outcrop.security.policy.evaluate import Layers, Request, Subject
from outcrop.security.policy.grammar import Clause
from outcrop.security.policy.principals import Grant, Principals

Plant = Callable[[pytest.MonkeyPatch], None]


def _wrap(owner: ModuleType | type, name: str, change: Callable[..., Any]) -> Plant:
    """``change`` gets the original function before its arguments."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = getattr(owner, name)

        def changed(*args: Any, **named: Any) -> Any:
            return change(original, *args, **named)

        patch.setattr(owner, name, changed)

    return plant


def _clause(**changes: Any) -> Plant:
    def change(original: Any, clause: Clause, *rest: Any) -> Any:
        return original(replace(clause, **changes), *rest)

    return _wrap(document, "_compile", change)


def _operator(**changes: Any) -> Plant:
    def change(original: Any, name: str) -> Any:
        found = original(name)
        return found and replace(found, **changes)

    return _wrap(grammar, "find_operator", change)


def _compares_as(operator: str, other: str) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setitem(operators.OPERATORS, operator, operators.OPERATORS[other])

    return plant


def _layers(change: Callable[[Layers], Layers]) -> Plant:
    """The decision forgets a part of what applies."""

    def changed(original: Any, action: str, request: Request, layers: Layers) -> Any:
        return original(action, request, change(layers))

    return _wrap(decision, "_find_silent", changed)


def _one_level(layers: Layers) -> Layers:
    policies = tuple(policy for level in layers.service_control for policy in level)
    return replace(layers, service_control=(policies,) if policies else ())


def _same_account(original: Any, action: str, request: Request, layers: Layers) -> Any:
    return original(action, replace(request, resource_account=request.subject.account), layers)


def _grants_at_least(level: Grant) -> Callable[..., Grant]:
    def change(original: Any, principals: Principals, subject: Subject) -> Grant:
        found = original(principals, subject)
        return max(found, level) if found else found

    return change


def _first_condition_only(original: Any, clause: Clause, *rest: Any) -> Any:
    return original(replace(clause, conditions=clause.conditions[:1]), *rest)


def _case_kept(original: Any, actions: tuple[str, ...]) -> Any:
    return patterns.PatternSet(
        [patterns.tokenize(each, wildcards=True, variables=False) for each in actions]
    )


def _wildcards_in_values(original: Any, tokens: Any, keys: Any) -> Any:
    resolved: patterns.Tokens | None = original(tokens, keys)
    if resolved is None:
        return None
    text = "".join(each if isinstance(each, str) else "*" for each in resolved)
    return patterns.tokenize(text, wildcards=True, variables=False)


def _no_defaults(original: Any, tokens: patterns.Tokens, keys: Any) -> Any:
    bare = (
        replace(each, default=None) if isinstance(each, patterns.Variable) else each
        for each in tokens
    )
    return original(tuple(bare), keys)


def _matches_all_values(original: Any, condition: Condition, keys: patterns.Keys) -> bool:
    value = keys.get(condition.name)
    if not isinstance(value, tuple) or condition.operator.qualifier != "ForAnyValue":
        return original(condition, keys)
    compare, negated = condition.compared.matches, condition.operator.negated
    return all(compare(each, keys) != negated for each in value)


def _never_when_missing(original: Any, condition: Condition) -> bool:
    return condition.operator.if_exists


MUTANTS: Mapping[str, Plant] = {
    "denies are not asked": _wrap(decision, "_find_deny", lambda *_args: None),
    "NotAction means Action": _clause(not_actions=False),
    "NotResource means Resource": _clause(not_resources=False),
    "conditions are not asked": _clause(conditions=()),
    "only the first condition counts": _wrap(document, "_compile", _first_condition_only),
    "IfExists is not heard": _operator(if_exists=False),
    "set qualifiers are not heard": _operator(qualifier=None),
    "a negation is not heard": _operator(negated=False),
    "any value means all values": _wrap(Condition, "matches", _matches_all_values),
    "a missing key never matches": _wrap(Condition, "_missing", _never_when_missing),
    "StringEquals takes wildcards": _compares_as("StringEquals", "StringLike"),
    "less than takes equality": _compares_as("NumericLessThan", "NumericLessThanEquals"),
    "ARNs are compared as text": _compares_as("ArnLike", "StringLike"),
    "case counts in actions": _wrap(document, "_action_patterns", _case_kept),
    "wildcards of variables are heard": _wrap(patterns, "resolve", _wildcards_in_values),
    "defaults of variables are not": _wrap(patterns, "resolve", _no_defaults),
    "an account's grant needs no identity": _wrap(
        Principals, "grant", _grants_at_least(Grant.BOUNDED)
    ),
    "levels of service control add up": _layers(_one_level),
    "session policies are not asked": _layers(lambda layers: replace(layers, session=None)),
    "other accounts count as one's own": _wrap(decision, "_find_silent", _same_account),
}
