"""A policy document, parsed, checked and compiled: everything a decision needs of it.

Parsing is where the cost and the refusals are; a ``Policy`` is immutable and may be kept.
"""

from dataclasses import dataclass

from outcrop.security.policy.conditions import Condition, compile_condition
from outcrop.security.policy.flaws import Flaw, Kind, render_flaw
from outcrop.security.policy.grammar import Clause, Document, Strings, read_document
from outcrop.security.policy.operators import BadValue
from outcrop.security.policy.patterns import (
    MalformedVariable,
    PatternSet,
    tokenize,
    within_arn_parts,
)
from outcrop.security.policy.principals import compile_principals
from outcrop.security.policy.rules import check
from outcrop.security.policy.statement import Effect, Position, Statement

__all__ = ["Kind", "MalformedPolicy", "Policy", "Position", "Statement", "parse_policy"]

_MAX_BYTES = 20_480
_MAX_KEY_POLICY_BYTES = 32_768
# Variables came with this version; before, ``${`` is text.
_WITH_VARIABLES = "2012-10-17"


class MalformedPolicy(Exception):
    """Its text is the one in which the service that takes this kind of policy refuses it."""


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """``name`` is the ARN, or the name of an inline policy. ``denies`` and ``allows`` are the
    statements apart: decisions ask all denies before any allow. ``keys`` are all that conditions
    and variables ask for, in lower case."""

    name: str
    statements: tuple[Statement, ...]
    denies: tuple[Statement, ...]
    allows: tuple[Statement, ...]
    keys: frozenset[str]
    text: str


def parse_policy(text: str, kind: Kind, *, name: str = "", max_bytes: int | None = None) -> Policy:
    """Raises ``MalformedPolicy``; a service's own limit on length is its caller's to check."""
    limit = max_bytes or (_MAX_KEY_POLICY_BYTES if kind == "key" else _MAX_BYTES)
    try:
        document = read_document(text, kind, limit)
        check(document, kind)
        statements = tuple(_compile(clause, document, text) for clause in document.clauses)
    except Flaw as flaw:
        raise MalformedPolicy(render_flaw(flaw, kind)) from flaw
    return Policy(
        name,
        statements,
        denies=tuple(each for each in statements if each.effect == "Deny"),
        allows=tuple(each for each in statements if each.effect == "Allow"),
        keys=frozenset[str]().union(*map(_keys, statements)),
        text=text,
    )


def _compile(clause: Clause, document: Document, text: str) -> Statement:
    variables = document.version == _WITH_VARIABLES
    effect: Effect = "Allow" if clause.effect == "Allow" else "Deny"
    named = clause.principals
    try:
        return Statement(
            sid=clause.sid,
            effect=effect,
            actions=_action_patterns(clause.actions or ()),
            not_actions=clause.not_actions,
            resources=_resource_patterns(clause.resources, variables),
            not_resources=clause.not_resources,
            principals=None if named is None else compile_principals(named),
            not_principals=clause.not_principals,
            conditions=_compile_conditions(clause, variables),
            start=_position(text, clause.start),
            end=_position(text, clause.end),
        )
    except MalformedVariable as error:
        raise Flaw("syntax") from error
    except BadValue as error:
        raise Flaw("values") from error


def _action_patterns(actions: Strings) -> PatternSet:
    everything = ("*" if action == "*:*" else action.lower() for action in actions)
    return PatternSet([tokenize(each, wildcards=True, variables=False) for each in everything])


def _resource_patterns(resources: Strings | None, variables: bool) -> PatternSet | None:
    if resources is None:
        return None
    tokens = (tokenize(each, wildcards=True, variables=variables) for each in resources)
    return PatternSet([within_arn_parts(each, strictly=False) for each in tokens])


def _compile_conditions(clause: Clause, variables: bool) -> tuple[Condition, ...]:
    return tuple(
        compile_condition(each.operator, each.key, each.values, variables=variables)
        for each in clause.conditions
    )


def _keys(statement: Statement) -> frozenset[str]:
    named = frozenset(condition.name for condition in statement.conditions)
    variables = (condition.compared.variables for condition in statement.conditions)
    resources = statement.resources.variables if statement.resources else frozenset[str]()
    return named.union(resources, *variables)


def _position(text: str, offset: int) -> Position:
    return Position(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))
