"""One key of a condition block, compiled: operator, qualifier, IfExists and values.

What a missing key means is decided here, and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from outcrop.security.policy.operators import NEGATED, OPERATORS, BadValue, Compared
from outcrop.security.policy.patterns import Keys

Qualifier = Literal["ForAllValues", "ForAnyValue"]

_QUALIFIERS: dict[str, Qualifier] = {
    "ForAllValues": "ForAllValues",
    "ForAnyValue": "ForAnyValue",
}
_IF_EXISTS = "IfExists"


@dataclass(frozen=True, slots=True)
class Operator:
    """``ForAnyValue:StringNotLikeIfExists``, taken apart; ``base`` is never a negation."""

    name: str
    base: str
    negated: bool
    qualifier: Qualifier | None
    if_exists: bool


def find_operator(name: str) -> Operator | None:
    prefix, colon, plain = name.rpartition(":")
    qualifier = _QUALIFIERS.get(prefix)
    if colon and qualifier is None:
        return None
    if plain == "Null":
        # Null asks whether the key is there: neither sets nor IfExists mean anything to it.
        return None if qualifier else Operator(name, plain, False, None, False)
    if_exists = plain.endswith(_IF_EXISTS)
    plain = plain.removesuffix(_IF_EXISTS)
    base = NEGATED.get(plain, plain)
    if base not in OPERATORS:
        return None
    return Operator(name, base, plain in NEGATED, qualifier, if_exists)


@dataclass(frozen=True, slots=True)
class Condition:
    """``key`` is as the policy spells it; ``name`` is its lower case, by which requests are
    asked."""

    operator: Operator
    key: str
    name: str
    values: tuple[str, ...]
    compared: Compared

    def matches(self, keys: Keys) -> bool:
        value = keys.get(self.name)
        missing = value is None or value == ()
        if self.operator.base == "Null":
            return self.compared.matches("true" if missing else "false", keys)
        if value is None or missing:
            return self._missing()
        compare, operator = self.compared.matches, self.operator
        if isinstance(value, str):
            # A set of one: every qualifier asks the same of it.
            return compare(value, keys) is not operator.negated
        match operator.qualifier, operator.negated:
            case "ForAllValues", negated:
                return all(compare(each, keys) is not negated for each in value)
            case "ForAnyValue", True:
                return not all(compare(each, keys) for each in value)
            case _, False:
                return any(compare(each, keys) for each in value)
            case _:
                return not any(compare(each, keys) for each in value)

    def _missing(self) -> bool:
        operator = self.operator
        if operator.if_exists or operator.qualifier == "ForAllValues":
            return True
        return operator.negated and operator.qualifier is None


def compile_condition(
    operator: Operator, key: str, values: Sequence[str], *, variables: bool
) -> Condition:
    """Raises ``BadValue`` where a value is not of the operator's type."""
    build = OPERATORS["Bool" if operator.base == "Null" else operator.base]
    if operator.base == "Null" and any(value.lower() not in ("true", "false") for value in values):
        raise BadValue
    compared = build(values, variables)
    return Condition(operator, key, key.lower(), tuple(values), compared)
