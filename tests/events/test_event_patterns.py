"""Event patterns: what they take and what is refused, in AWS's words."""

import ipaddress
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, strategies as st

from outcrop.events.patterns import EventPattern, InvalidPattern

SHARED = Path(__file__).resolve().parents[2] / "../shared"
_REASON = "Event pattern is not valid. Reason: "


def recorded(test: str) -> str:
    """What AWS said of the pattern of this name."""
    rows = map(json.loads, (SHARED / "aws-errors.jsonl").read_text().splitlines())
    for row in rows:
        if row["service"] == "events" and test in row["test"]:
            assert row["code"] == "InvalidEventPatternException"
            return row["message"].removeprefix(_REASON)
    raise LookupError(test)


def field(*alternatives: Any) -> str:
    return json.dumps({"detail": {"field": list(alternatives)}})


REFUSED: dict[str, str] = {
    "int_nolist_EXC": '{"int": 42}',
    "content_numeric_operatorcasing_EXC": field({"NUMERIC": [">", 5]}),
    "arrays_empty_EXC": '{"detail": {"field": []}}',
    "operator_case_sensitive_EXC": field({"EXISTS": True}),
    "content_wildcard_complex_EXC": field({"wildcard": "*:*:*:*:*:event-bus/*"}),
    "content_ignorecase_EXC": field({"equals-ignore-case": ["a"]}),
    "content_ip_address_EXC": field({"cidr": "bad-filter"}),
    "content_anything_but_ignorecase_EXC": field({"anything-but": {"equals-ignore-case": 123}}),
    "test_invalid_json_event_pattern[this is": "this is valid json but not a dict",
    'test_invalid_json_event_pattern[{"not"': '{"not": closed mark"',
    "content_wildcard_int_EXC": field({"wildcard": 5}),
    "content_anything_suffix_list_type_EXC": field({"anything-but": {"suffix": [1]}}),
    "content_prefix_list_EXC": field({"prefix": ["a"]}),
    "content_suffix_int_EXC": field({"suffix": 1}),
    "content_anything_prefix_ignorecase_EXC": field(
        {"anything-but": {"prefix": {"equals-ignore-case": "file"}}}
    ),
    "content_ip_address_bad_mask_EXC": field({"cidr": "bad-/64filter"}),
    "content_ip_address_bad_ip_EXC": field({"cidr": "xx.11.xx/8"}),
    "content_ip_address_v6_bad_ip_EXC": field({"cidr": "xxxx:db8:1234:1a00::/64"}),
    "content_anything_prefix_empty_EXC": field({"anything-but": {"prefix": ""}}),
    "content_numeric_number_EXC": field({"numeric": 5}),
    "content_anything_but_string_list_null_type_EXC": field({"anything-but": ["a", None]}),
}


@pytest.mark.parametrize("test", REFUSED)
def test_a_wrong_pattern_is_refused_in_the_recorded_words(test: str) -> None:
    with pytest.raises(InvalidPattern) as caught:
        EventPattern(REFUSED[test])
    assert str(caught.value) == recorded(test)


def test_every_recorded_refusal_of_a_pattern_is_in_the_table() -> None:
    rows = map(json.loads, (SHARED / "aws-errors.jsonl").read_text().splitlines())
    messages = {row["message"] for row in rows if row["code"] == "InvalidEventPatternException"}
    assert messages == {_REASON + recorded(test) for test in REFUSED}


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("[1]", "Filter is not an object"),
        ("{}", "Empty objects are not allowed"),
        ('{"a": {}}', "Empty objects are not allowed"),
        ('{"a": [[1]]}', "Match value must be String, number, true, false, or null"),
        (field({}), "Match expression name not found"),
        (field({"prefix": "a", "suffix": "b"}), "Only one key allowed in match expression"),
        (field({"prefix": {"x": "a"}}), "Unsupported prefix pattern: x"),
        (field({"exists": "yes"}), "exists match pattern must be either true or false."),
        (field({"numeric": []}), "Invalid member in numeric match: ]"),
        (field({"numeric": ["~", 1]}), "Unrecognized numeric range operator: ~"),
        (field({"numeric": ["=", "1"]}), "Value of equals must be numeric"),
        (field({"numeric": ["=", True]}), "Value of equals must be numeric"),
        (field({"numeric": ["<", 1, ">", 0]}), "Too many elements in numeric expression"),
        (field({"numeric": [">", 1, ">", 0]}), "Bad numeric range operator: >"),
        (field({"numeric": [">", 5, "<", 1]}), "Bottom must be less than top"),
        (field({"anything-but": {"exists": True}}), "Unsupported anything-but pattern: exists"),
        (field({"wildcard": "a**"}), "Consecutive wildcard characters at pos 2"),
        (field({"wildcard": "a\\b"}), "Invalid escape character at pos 2"),
        (field({"cidr": "10.0.0.0/33"}), "IPv4 mask bits must be < 32"),
        ('{"$or": {}}', "It must be an Array followed with $or."),
        ('{"$or": [{"a": [1]}]}', "There must have at least 2 Objects in $or relationship."),
        (
            '{"$or": [{"a": [1]}, {"prefix": ["a"]}]}',
            "prefix is Ruler reserved fieldName which cannot be used inside $or.",
        ),
    ],
)
def test_other_wrong_patterns_are_refused_with_a_reason(pattern: str, reason: str) -> None:
    with pytest.raises(InvalidPattern) as caught:
        EventPattern(pattern)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    "pattern", ["", "{", '{"a": [NaN]}', '{"a": [1e', '{"a"' * 5000, "9" * 5000]
)
def test_text_that_is_no_json_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidPattern):
        EventPattern(pattern)


def test_a_pattern_nested_without_end_is_refused() -> None:
    with pytest.raises(InvalidPattern):
        EventPattern('{"a":' * 900 + "[1]" + "}" * 900)


MATCHING: list[tuple[Any, Any]] = [
    (["a"], "a"),
    (["a"], ["b", "a"]),
    ([1], 1.0),
    ([None], None),
    ([True], True),
    ([{"prefix": "ab"}], "abc"),
    ([{"prefix": {"equals-ignore-case": "AB"}}], "abc"),
    ([{"suffix": ".png"}], "a.png"),
    ([{"suffix": {"equals-ignore-case": ".PNG"}}], "a.png"),
    ([{"equals-ignore-case": "Alice"}], "aLICE"),
    ([{"anything-but": "a"}], "b"),
    ([{"anything-but": "a"}], ["a", "b"]),
    ([{"anything-but": "a"}], None),
    ([{"anything-but": ["a", "b"]}], "c"),
    ([{"anything-but": 1}], "1"),
    ([{"anything-but": {"prefix": "a"}}], "b"),
    ([{"anything-but": {"prefix": ["a", "b"]}}], 7),
    ([{"anything-but": {"suffix": "a"}}], "ab"),
    ([{"anything-but": {"equals-ignore-case": ["A", "B"]}}], "c"),
    ([{"anything-but": {"wildcard": "*a*"}}], "b"),
    ([{"numeric": [">", 0, "<=", 5]}], 5),
    ([{"numeric": ["=", 3.018e2]}], 301.8),
    ([{"exists": True}], None),
    ([{"cidr": "10.0.0.0/24"}], "10.0.0.255"),
    ([{"cidr": "2001:db8::/32"}], "2001:db8::1"),
    ([{"wildcard": "a*c*e"}], "abcde"),
    ([{"wildcard": "a\\*c"}], "a*c"),
    ([{"wildcard": "*"}], ""),
    ([{"prefix": "x"}, {"numeric": ["<", 1]}, "c"], "c"),
]

NOT_MATCHING: list[tuple[Any, Any]] = [
    (["a"], "A"),
    (["1"], 1),
    ([1], True),
    ([True], 1),
    ([None], []),
    ([{"prefix": "ab"}], 12),
    ([{"prefix": "ab"}], "Abc"),
    ([{"anything-but": "a"}], "a"),
    ([{"anything-but": "a"}], []),
    ([{"anything-but": [1, 2]}], 2.0),
    ([{"anything-but": {"prefix": "a"}}], "ab"),
    ([{"anything-but": {"wildcard": "*a*"}}], "bab"),
    ([{"numeric": [">", 0, "<", 5]}], 5),
    ([{"numeric": ["=", 1]}], "1"),
    ([{"numeric": ["=", 1]}], True),
    ([{"exists": True}], {"inner": 1}),
    ([{"exists": True}], []),
    ([{"exists": False}], 1),
    ([{"cidr": "10.0.0.0/24"}], "10.0.1.0"),
    ([{"cidr": "10.0.0.0/24"}], 10),
    ([{"cidr": "10.0.0.0/24"}], "10.0.0.0/24"),
    ([{"wildcard": "a*a"}], "a"),
    ([{"wildcard": "a\\*c"}], "abc"),
]


@pytest.mark.parametrize(("alternatives", "value"), MATCHING)
def test_a_field_that_matches(alternatives: Any, value: Any) -> None:
    assert EventPattern(field(*alternatives)).matches({"detail": {"field": value}})


@pytest.mark.parametrize(("alternatives", "value"), NOT_MATCHING)
def test_a_field_that_does_not_match(alternatives: Any, value: Any) -> None:
    assert not EventPattern(field(*alternatives)).matches({"detail": {"field": value}})


def test_a_missing_field_matches_only_where_it_is_to_be_missing() -> None:
    assert EventPattern('{"a": {"b": [{"exists": false}]}}').matches({})
    assert EventPattern('{"a": {"b": [{"exists": false}]}}').matches({"a": {"b": {"c": 1}}})
    assert not EventPattern('{"a": {"b": [{"anything-but": 1}]}}').matches({"a": {}})
    some = {"a": [{"b": 1}, {"c": 2}]}
    assert not EventPattern('{"a": {"b": [{"exists": false}]}}').matches(some)


def test_fields_of_an_object_are_asked_of_one_element() -> None:
    pattern = EventPattern('{"a": {"x": [1], "y": [4]}}')
    assert not pattern.matches({"a": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]})
    assert pattern.matches({"a": [[{"x": 1, "y": 4}], {"x": 3}]})


def test_one_of_several_objects_is_enough_and_the_rest_is_asked_too() -> None:
    pattern = EventPattern('{"source": ["s"], "$or": [{"a": [1]}, {"b": {"c": [2]}}]}')
    assert pattern.matches({"source": "s", "a": 1})
    assert pattern.matches({"source": "s", "b": {"c": 2}})
    assert not pattern.matches({"source": "s", "a": 2, "b": {"c": 1}})
    assert not pattern.matches({"a": 1})


def test_the_documents_rule_takes_every_event_of_the_service() -> None:
    # RUN-197 on RUN-196.
    rule = (SHARED / "seed-examples").glob("RUN-197*")
    pattern = EventPattern(next(rule).read_text())
    assert pattern.matches({"source": "aws.bedrock", "detail": {"jobStatus": "Failed"}})
    assert not pattern.matches({"source": "aws.ec2"})


def test_hostile_texts_and_events_are_matched_in_linear_time() -> None:
    wildcard = EventPattern(field({"wildcard": "*a*a*a*a*b"}))
    nested: Any = "x"
    for _ in range(900):
        nested = [nested]
    started = time.perf_counter()
    assert not wildcard.matches({"detail": {"field": "a" * 200_000}})
    absent = EventPattern('{"a": {"b": [{"exists": false}, 7]}}')
    assert not absent.matches({"a": [{"b": 1}] * 20_000})
    assert EventPattern('{"a": ["x"]}').matches({"a": nested})
    # An exponential or quadratic way would take minutes.
    assert time.perf_counter() - started < 60


LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(["", "a", "A", "ab", "b*", "10.0.0.1", "10.0.1.1"]),
)
TEXTS: st.SearchStrategy[str] = st.sampled_from(["a", "A", "ab", "b"])
CONDITIONS: st.SearchStrategy[Any] = st.one_of(
    LEAVES,
    TEXTS.map(lambda text: {"prefix": text}),
    TEXTS.map(lambda text: {"suffix": text}),
    TEXTS.map(lambda text: {"equals-ignore-case": text}),
    TEXTS.map(lambda text: {"anything-but": [text]}),
    TEXTS.map(lambda text: {"anything-but": {"prefix": [text]}}),
    TEXTS.map(lambda text: {"wildcard": f"*{text}*"}),
    st.tuples(st.sampled_from("=<>"), st.integers(-2, 2)).map(lambda pair: {"numeric": [*pair]}),
    st.just({"cidr": "10.0.0.0/24"}),
    st.booleans().map(lambda there: {"exists": there}),
)
NAMES = st.sampled_from(["x", "y"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=2)),
    max_leaves=6,
)
FIELDS: st.SearchStrategy[Any] = st.lists(CONDITIONS, min_size=1, max_size=3)
PATTERNS: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(NAMES, FIELDS, min_size=1, max_size=2),
    lambda inner: st.one_of(
        st.dictionaries(NAMES, st.one_of(FIELDS, inner), min_size=1, max_size=2),
        st.lists(inner, min_size=2, max_size=2).map(lambda both: {"$or": both}),
    ),
    max_leaves=4,
)


@given(PATTERNS, st.dictionaries(NAMES, VALUES, max_size=2))
def test_patterns_match_what_a_plain_reading_of_the_rules_does(
    pattern: dict[str, Any], event: dict[str, Any]
) -> None:
    expected = plainly(pattern, event, (), event)
    assert EventPattern(json.dumps(pattern)).matches(event) is expected


def plainly(pattern: Any, found: Any, path: tuple[str, ...], event: Any) -> bool:
    for name, asked in pattern.items():
        if name == "$or":
            if not any(plainly(one, found, path, event) for one in asked):
                return False
        elif is_object(asked):
            objects = [each for each in elements(found.get(name)) if is_object(each)] or [{}]
            if not any(plainly(asked, each, (*path, name), event) for each in objects):
                return False
        elif not any(
            leaf_matches(one, leaf)
            for one in asked
            for leaf in (leaves(found[name]) if name in found else [])
        ) and not ({"exists": False} in asked and not at(event, (*path, name))):
            return False
    return True


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


def elements(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return [inner for each in cast("list[Any]", value) for inner in elements(each)]


def leaves(value: Any) -> list[Any]:
    return [each for each in elements(value) if not is_object(each)]


def at(value: Any, path: tuple[str, ...]) -> list[Any]:
    if not path:
        return leaves(value)
    objects = [each for each in elements(value) if is_object(each) and path[0] in each]
    return [leaf for each in objects for leaf in at(each[path[0]], path[1:])]


def is_other(value: Any, leaf: Any) -> bool:
    if isinstance(value, list):
        return leaf not in value
    return not isinstance(leaf, str) or not leaf.startswith(tuple(value["prefix"]))


def is_numeric(value: Any, leaf: Any) -> bool:
    sign, bound = value
    if isinstance(leaf, bool) or not isinstance(leaf, int):
        return False
    return {"=": leaf == bound, "<": leaf < bound, ">": leaf > bound}[sign]


def is_inside(value: str, text: str) -> bool:
    return text[:2] == "10" and ipaddress.ip_address(text) in ipaddress.ip_network(value)


OF_TEXTS: dict[str, Callable[[Any, str], bool]] = {
    "prefix": lambda value, text: text[: len(value)] == value,
    "suffix": lambda value, text: text[-len(value) :] == value,
    "equals-ignore-case": lambda value, text: text.lower() == value.lower(),
    "wildcard": lambda value, text: value.strip("*") in text,
    "cidr": is_inside,
}
OF_LEAVES: dict[str, Callable[[Any, Any], bool]] = {
    "anything-but": is_other,
    "numeric": is_numeric,
    "exists": lambda value, leaf: value,
}


def leaf_matches(asked: Any, leaf: Any) -> bool:
    if not is_object(asked):
        return type(asked) is type(leaf) and asked == leaf
    [(name, value)] = cast("dict[str, Any]", asked).items()
    if name in OF_TEXTS:
        return isinstance(leaf, str) and OF_TEXTS[name](value, leaf)
    return OF_LEAVES[name](value, leaf)
