"""Filter policies: what they let pass, and that no text of a policy does more than be refused."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from outcrop.topics.filter_matching import attributes_pass, body_passes
from outcrop.topics.filter_policies import BadFilterPolicy, parse_filter_policy
from outcrop.topics.messages import Attribute

# Each a list of patterns of the key "k", values that pass, and values that do not.
VALUES: list[tuple[list[Any], list[Any], list[Any]]] = [
    (["a", "b"], ["a", "b", ["z", "a"]], ["c", "A", 1, None, []]),
    ([1], [1, 1.0, [2, 1]], ["1", True, 2]),
    ([True], [True], [1, "true", False]),
    ([None], [None], ["", 0]),
    ([{"prefix": "ab"}], ["ab", "abc"], ["a", "xab", 1]),
    ([{"suffix": "bc"}], ["bc", "abc"], ["bcd"]),
    ([{"equals-ignore-case": "Ab"}], ["aB", "AB"], ["abc"]),
    ([{"anything-but": "a"}], ["b", 1, ["a", "b"]], ["a", ["a"]]),
    ([{"anything-but": ["a", "b"]}], ["c"], ["a", "b"]),
    ([{"anything-but": [1, 2]}], [3, "1"], [1, 2.0]),
    ([{"anything-but": {"prefix": "a"}}], ["b"], ["a", "ab"]),
    ([{"anything-but": {"suffix": "a"}}], ["b"], ["a", "ba"]),
    ([{"exists": True}], ["a", 0, None], [[]]),
    ([{"numeric": ["=", 3.015e2]}], [301.5, 3.015e2], [301, "301.5"]),
    ([{"numeric": [">", 0, "<=", 5]}], [5, 0.1], [0, 5.1]),
    ([{"numeric": ["<", 0]}], [-1], [0]),
    ([{"cidr": "10.0.0.0/24"}], ["10.0.0.255"], ["10.0.1.0", "x", 1]),
    ([{"cidr": "2001:db8::/32"}], ["2001:db8::1"], ["2001:db9::1", "10.0.0.1"]),
    (["a", {"prefix": "b"}], ["a", "bc"], ["c"]),
]


def passes(policy: Any, body: Any) -> bool:
    return body_passes(parse_filter_policy(json.dumps(policy), "MessageBody"), json.dumps(body))


@pytest.mark.parametrize(("patterns", "yes", "no"), VALUES, ids=map(str, range(len(VALUES))))
def test_a_pattern_lets_values_of_a_body_pass(
    patterns: list[Any], yes: list[Any], no: list[Any]
) -> None:
    policy = {"k": patterns}
    assert [value for value in yes if not passes(policy, {"k": value})] == []
    assert [value for value in no if passes(policy, {"k": value})] == []


def test_what_is_missing_passes_only_where_it_must_not_exist() -> None:
    assert passes({"k": [{"exists": False}]}, {})
    assert not passes({"k": [{"exists": False}]}, {"k": 1})
    assert not passes({"k": [{"anything-but": "a"}]}, {})
    assert passes({"a": {"b": [{"exists": False}]}}, {"a": {}})
    assert passes({"a": {"b": [{"exists": False}]}}, {})


def test_all_keys_must_pass_and_one_of_each_choice() -> None:
    policy = {"a": ["x"], "$or": [{"b": [1]}, {"c": {"d": [2]}}]}
    assert passes(policy, {"a": "x", "b": 1})
    assert passes(policy, {"a": "x", "c": {"d": 2}})
    assert not passes(policy, {"a": "x", "b": 2})
    assert not passes(policy, {"a": "y", "b": 1})


def test_one_object_of_an_array_must_pass_as_a_whole() -> None:
    policy = {"items": {"name": ["a"], "count": [1]}}
    assert passes(policy, {"items": [{"name": "b"}, {"name": "a", "count": 1}]})
    assert not passes(policy, {"items": [{"name": "a", "count": 2}, {"name": "b", "count": 1}]})


@pytest.mark.parametrize("body", ["", "[]", "text", "1", '{"k": "a"', "[" * 5000])
def test_what_is_no_object_passes_no_policy_of_the_body(body: str) -> None:
    fields = parse_filter_policy('{"k": [{"exists": false}]}', "MessageBody")
    assert not body_passes(fields, body)


@pytest.mark.parametrize(
    ("attribute", "pattern", "expected"),
    [
        (Attribute("String", "a"), "a", True),
        (Attribute("String", "1"), 1, False),
        (Attribute("Number", "1.0"), 1, True),
        (Attribute("Number.int", "5"), {"numeric": [">", 4]}, True),
        (Attribute("Number", "1"), "1", False),
        (Attribute("String.Array", '["a", 1, true, null]'), 1, True),
        (Attribute("String.Array", '["a"]'), {"anything-but": "a"}, False),
        (Attribute("String.Array", '["a", "b"]'), {"anything-but": "a"}, True),
        (Attribute("String.custom", "a"), "a", True),
        (Attribute("Binary", None, b"a"), {"exists": True}, True),
        (Attribute("Binary", None, b"a"), "a", False),
    ],
)
def test_a_pattern_lets_attributes_pass(attribute: Attribute, pattern: Any, expected: bool) -> None:
    fields = parse_filter_policy(json.dumps({"k": [pattern]}), "MessageAttributes")
    assert attributes_pass(fields, {"k": attribute}) == expected


def test_the_values_of_all_keys_are_multiplied() -> None:
    def policy(*counts: int) -> str:
        keys = {f"k{at}": list(map(str, range(count))) for at, count in enumerate(counts)}
        return json.dumps(keys)

    parse_filter_policy(policy(5, 5, 6), "MessageAttributes")
    with pytest.raises(BadFilterPolicy, match="too complex"):
        parse_filter_policy(policy(5, 5, 7), "MessageAttributes")


@given(st.text(alphabet='{}[]":,$or anumeric<>=prefix0.e-\\tl', max_size=60))
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    with suppress(BadFilterPolicy):
        parse_filter_policy(text, "MessageBody")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "$or", "prefix", "numeric", "exists", "cidr", "anything-but"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(json_values, json_values)
def test_any_json_is_a_policy_or_refused_and_any_body_passes_or_not(policy: Any, body: Any) -> None:
    with suppress(BadFilterPolicy):
        fields = parse_filter_policy(json.dumps(policy), "MessageBody")
        assert body_passes(fields, json.dumps(body)) in (True, False)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(BadFilterPolicy, match="nesting depth"):
        parse_filter_policy('{"a":' * 5000, "MessageBody")


def test_a_value_of_any_depth_passes_or_not() -> None:
    fields = parse_filter_policy('{"a": ["x"]}', "MessageBody")
    for levels in range(1100):
        value = "[" * levels + "]" * levels
        assert not body_passes(fields, f'{{"a":{value}}}')
        assert not attributes_pass(fields, {"a": Attribute("String.Array", value)})
