"""Condition operators, each with IfExists, set qualifiers, missing keys and variables."""

from itertools import product

import pytest
from policy_requests import Keys, allows, statement, text_of

from outcrop.security.policy.document import MalformedPolicy, parse_policy

# operator, value of the policy, a value of the request that matches, one that does not
COMPARISONS = [
    ("StringEquals", "Abc", "Abc", "abc"),
    ("StringEquals", "a*", "a*", "ab"),
    ("StringEqualsIgnoreCase", "Abc", "aBC", "abcd"),
    ("StringLike", "a*c?e", "abbbcde", "abbbce"),
    ("StringLike", "*", "", None),
    ("StringLike", "a", "a", "A"),
    ("NumericEquals", "10", "10.0", "10.01"),
    ("NumericLessThan", "10", "9.99", "10"),
    ("NumericLessThanEquals", "10", "10", "10.5"),
    ("NumericGreaterThan", "-1", "0", "-1"),
    ("NumericGreaterThanEquals", "10", "10", "9"),
    ("DateEquals", "2026-01-02T03:04:05Z", "1767323045", "1767323046"),
    (
        "DateEquals",
        "2026-01-02T03:04:05Z",
        "2026-01-02T05:04:05+02:00",
        "2026-01-02T03:04:05+02:00",
    ),
    ("DateLessThan", "2026-01-02", "2026-01-01T23:59:59.999Z", "2026-01-02T00:00:00Z"),
    ("DateLessThanEquals", "2026-01", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
    ("DateGreaterThan", "2026", "2026-01-01T00:00:01Z", "2026-01-01T00:00:00Z"),
    ("DateGreaterThanEquals", "1767323045", "2026-01-02T03:04:05Z", "2026-01-02T03:04:04Z"),
    ("Bool", "true", "TRUE", "false"),
    ("Bool", "false", "false", "0"),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", "QmluYXJ6"),
    ("IpAddress", "203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
    ("IpAddress", "203.0.113.7/24", "203.0.113.1", "2001:db8::1"),
    ("IpAddress", "203.0.113.7", "::ffff:203.0.113.7", "203.0.113.8"),
    ("IpAddress", "2001:db8::/32", "2001:DB8:0:1::1", "2001:db9::1"),
    ("IpAddress", "0.0.0.0/0", "9.9.9.9", "not an address"),
    ("ArnEquals", "arn:aws:iam::*:role/a*", "arn:aws:iam::1:role/ab", "arn:aws:iam::1:user/ab"),
    ("ArnLike", "arn:aws:s?s:*:1:q", "arn:aws:sns:eu:1:q", "arn:aws:sns:eu:x:1:q"),
    ("ArnLike", "arn:aws:sns:*:*:q", "arn:aws:sns:eu:1:q", "arn:aws:sns:q"),
]
NEGATIONS = {
    "StringEquals": "StringNotEquals",
    "StringEqualsIgnoreCase": "StringNotEqualsIgnoreCase",
    "StringLike": "StringNotLike",
    "NumericEquals": "NumericNotEquals",
    "DateEquals": "DateNotEquals",
    "IpAddress": "NotIpAddress",
    "ArnEquals": "ArnNotEquals",
    "ArnLike": "ArnNotLike",
}
POSITIVE = sorted({row[0] for row in COMPARISONS})


def holds(operator: str, values: str | list[str], keys: Keys) -> bool:
    return allows(statement(Condition={operator: {"test:Key": values}}), keys=keys)


@pytest.mark.parametrize(("operator", "value", "matching", "other"), COMPARISONS)
@pytest.mark.parametrize("suffix", ["", "IfExists"])
def test_an_operator_compares(
    operator: str, value: str, matching: str, other: str | None, suffix: str
) -> None:
    assert holds(operator + suffix, value, {"test:key": matching})
    assert other is None or not holds(operator + suffix, value, {"test:key": other})


@pytest.mark.parametrize(
    ("operator", "value", "matching", "other"), [row for row in COMPARISONS if row[0] in NEGATIONS]
)
def test_a_negated_operator_is_the_opposite(
    operator: str, value: str, matching: str, other: str | None
) -> None:
    assert not holds(NEGATIONS[operator], value, {"test:key": matching})
    assert other is None or holds(NEGATIONS[operator], value, {"test:key": other})


def example(operator: str) -> tuple[str, str]:
    """A value of the policy, and one of the request that matches it."""
    positive = {negated: plain for plain, negated in NEGATIONS.items()}.get(operator, operator)
    return next((row[1], row[2]) for row in COMPARISONS if row[0] == positive)


@pytest.mark.parametrize("operator", [*POSITIVE, *NEGATIONS.values()])
@pytest.mark.parametrize("keys", [{}, {"test:key": ()}, {"other:key": "x"}])
def test_what_a_missing_key_means(operator: str, keys: Keys) -> None:
    value, _ = example(operator)
    negated = operator in NEGATIONS.values()
    assert holds(operator, value, keys) is negated
    assert holds(f"{operator}IfExists", value, keys)
    assert holds(f"ForAllValues:{operator}", value, keys)
    assert holds(f"ForAllValues:{operator}IfExists", value, keys)
    assert not holds(f"ForAnyValue:{operator}", value, keys)
    assert holds(f"ForAnyValue:{operator}IfExists", value, keys)


@pytest.mark.parametrize(
    ("operator", "given", "expected"),
    [
        ("ForAllValues:StringEquals", ("a", "b"), True),
        ("ForAllValues:StringEquals", ("a", "c"), False),
        ("ForAllValues:StringNotEquals", ("c", "d"), True),
        ("ForAllValues:StringNotEquals", ("c", "a"), False),
        ("ForAnyValue:StringEquals", ("c", "a"), True),
        ("ForAnyValue:StringEquals", ("c", "d"), False),
        ("ForAnyValue:StringNotEquals", ("a", "c"), True),
        ("ForAnyValue:StringNotEquals", ("a", "b"), False),
        ("ForAnyValue:StringEquals", "a", True),
        ("ForAllValues:StringEquals", "c", False),
        ("StringEquals", ("c", "a"), True),
        ("StringNotEquals", ("c", "a"), False),
    ],
)
def test_set_qualifiers(operator: str, given: str | tuple[str, ...], expected: bool) -> None:
    assert holds(operator, ["a", "b"], {"test:key": given}) is expected


def test_values_are_alternatives_and_keys_and_operators_are_all_needed() -> None:
    both = statement(
        Condition={
            "StringEquals": {"test:A": ["x", "y"], "test:B": "z"},
            "NumericLessThan": {"test:C": 5},
        }
    )
    good = {"test:a": "y", "test:b": "z", "test:c": "4"}
    assert allows(both, keys=good)
    for key in good:
        assert not allows(both, keys={**good, key: "9"})


def test_a_negated_operator_refuses_each_of_its_values() -> None:
    assert holds("StringNotEquals", ["a", "b"], {"test:key": "c"})
    assert not holds("StringNotEquals", ["a", "b"], {"test:key": "b"})


@pytest.mark.parametrize(("wanted", "present"), list(product([True, False, "true"], [True, False])))
def test_null_asks_whether_the_key_is_missing(wanted: bool | str, present: bool) -> None:
    condition = statement(Condition={"Null": {"test:Key": wanted}})
    keys: Keys = {"test:key": "x"} if present else {}
    assert allows(condition, keys=keys) is (present is (wanted is False))


def test_keys_are_named_in_any_case() -> None:
    condition = statement(Condition={"StringEquals": {"AWS:ResourceTag/Team": "x"}})
    assert allows(condition, keys={"aws:resourcetag/team": "x"})


@pytest.mark.parametrize(
    ("value", "team", "expected"),
    [
        ("${aws:PrincipalTag/team}", "red", True),
        ("${AWS:principaltag/Team}", "red", True),
        ("${aws:PrincipalTag/team}", None, False),
        ("${aws:PrincipalTag/team, 'red'}", None, True),
        ("${aws:PrincipalTag/team, 'blue'}", "red", True),
        ("r${aws:PrincipalTag/team}", "ed", True),
        # A value is text: its wildcards are not wildcards.
        ("${aws:PrincipalTag/team}", "*", False),
        ("${*}", None, False),
    ],
)
def test_variables_in_values(value: str, team: str | None, expected: bool) -> None:
    tags: Keys = {} if team is None else {"aws:principaltag/team": team}
    assert holds("StringLike", value, {"test:key": "red", **tags}) is expected


def test_escaped_characters_are_themselves() -> None:
    assert holds("StringLike", "a${*}${?}${$}{b}", {"test:key": "a*?${b}"})
    assert not holds("StringLike", "a${*}", {"test:key": "abc"})


def test_the_old_version_has_no_variables() -> None:
    trust = text_of(
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": "${aws:username}"}},
        },
        version="2008-10-17",
    )
    assert parse_policy(trust, "trust").keys == {"sts:externalid"}


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("NumericEquals", "ten"),
        ("NumericEquals", "${aws:username}"),
        ("DateLessThan", "tomorrow"),
        ("DateLessThan", "2026-13-01"),
        ("Bool", "yes"),
        ("Null", "maybe"),
        ("IpAddress", "203.0.113.0/33"),
        ("BinaryEquals", "a"),
    ],
)
def test_a_value_that_is_not_of_the_operators_type_is_refused(operator: str, value: str) -> None:
    text = text_of(statement(Condition={operator: {"test:Key": value}}))
    with pytest.raises(MalformedPolicy) as caught:
        parse_policy(text, "identity")
    assert str(caught.value) == "The policy failed legacy parsing"
