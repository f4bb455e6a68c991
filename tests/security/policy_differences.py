"""Where the independent evaluator and we differ, and why: ``docs/decisions/0012``.

A difference is a predicate of the case alone, so that it cannot excuse a verdict of ours.
"""

from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network

from policy_cases import Case, Statement

KEY = "aws:RequestTag/Key"


def _blocks(case: Case) -> Iterator[tuple[str, list[str]]]:
    """Operators with the values they compare the varied key with."""
    for statement in case.statements():
        for operator, block in statement.get("Condition", {}).items():
            values = block.get(KEY, [])
            yield operator, values if isinstance(values, list) else [values]


def _requested(case: Case) -> tuple[str, ...]:
    value = case.keys.get(KEY, ())
    return (value,) if isinstance(value, str) else value


def a_set_that_may_be_missing(case: Case) -> bool:
    missing = KEY not in case.keys
    return missing and any(
        operator.startswith("ForAnyValue:") and operator.endswith("IfExists")
        for operator, _ in _blocks(case)
    )


def epoch_seconds(case: Case) -> bool:
    return any(
        "Date" in operator and any(value.isdigit() for value in (*values, *_requested(case)))
        for operator, values in _blocks(case)
    )


def all_addresses_as_a_range(case: Case) -> bool:
    return any("0.0.0.0/0" in values for _, values in _blocks(case))


def addresses_of_the_other_family(case: Case) -> bool:
    return any(
        "NotIpAddress" in operator
        and any(
            ip_address(each).version != ip_network(value, strict=False).version
            for each in _requested(case)
            for value in values
        )
        for operator, values in _blocks(case)
    )


def an_escape_in_an_exact_comparison(case: Case) -> bool:
    return any(
        "Equals" in operator and any("${*}" in value for value in values)
        for operator, values in _blocks(case)
    )


def an_inverted_operator_on_a_variable_without_a_value(case: Case) -> bool:
    missing = [
        variable
        for variable in ("aws:username", "aws:PrincipalTag/team")
        if variable not in case.keys
    ]
    return any(
        "Not" in operator and any(f"${{{each}}}" in value for value in values for each in missing)
        for operator, values in _blocks(case)
    )


def _excepted(case: Case) -> Iterator[list[str]]:
    for statement in case.statements():
        if "NotPrincipal" in statement:
            yield statement["NotPrincipal"]["AWS"]


def a_principal_excepted_in_part(case: Case) -> bool:
    subject = case.subject
    whole = {subject.account, subject.arn, subject.role_arn or subject.arn}
    return any(whole & set(names) and not whole <= set(names) for names in _excepted(case))


def _grants_everyone(statement: Statement) -> bool:
    return statement.get("Principal") in ("*", {"AWS": "*"}) or (
        isinstance(statement.get("Principal"), dict)
        and "*" in statement["Principal"].get("AWS", ())
    )


def everyone_within_a_boundary(case: Case) -> bool:
    return case.boundary is not None and any(map(_grants_everyone, case.statements()))


def a_session_named_under_a_session_policy(case: Case) -> bool:
    return case.session is not None and any(
        isinstance(statement.get("Principal"), dict)
        and case.subject.arn in statement["Principal"].get("AWS", ())
        for statement in case.statements()
    )


def not_resource_with_a_variable_without_a_value(case: Case) -> bool:
    return "aws:username" not in case.keys and any(
        "${aws:username}" in resource
        for statement in case.statements()
        for resource in statement.get("NotResource", ())
    )


DIFFERENCES: tuple[Callable[[Case], bool], ...] = (
    a_set_that_may_be_missing,
    epoch_seconds,
    all_addresses_as_a_range,
    addresses_of_the_other_family,
    an_escape_in_an_exact_comparison,
    an_inverted_operator_on_a_variable_without_a_value,
    a_principal_excepted_in_part,
    everyone_within_a_boundary,
    a_session_named_under_a_session_policy,
    not_resource_with_a_variable_without_a_value,
)


def find_difference(case: Case) -> Callable[[Case], bool] | None:
    return next((differs for differs in DIFFERENCES if differs(case)), None)
