"""Filter patterns: what they match, what they name, and that no text is too hostile for them."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings, strategies as st

from outcrop.logs.patterns import InvalidPattern, compile_pattern

EVENT = json.dumps(
    {
        "eventName": "ConsoleLogin",
        "a": {"b": [1, 2, {"c": "x"}]},
        "n": 5,
        "t": True,
        "z": None,
        "ip": "123.123.1.2",
        "text": "404",
        "odd-key": 1,
        "sp ace": "y",
    }
)


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("{ $.eventName = ConsoleLogin }", True),
        ('{ $.eventName = "Console*" }', True),
        ('{ $.eventName = "console*" }', False),
        ('{ $.eventName != "Other" }', True),
        ('{ $.missing != "Other" }', False),
        ("{ ($.eventName = ConsoleLogin) && ($.missing != Yes) }", False),
        ("{ $.missing NOT EXISTS }", True),
        ("{ $.z NOT EXISTS }", False),
        ("{ $.z EXISTS }", True),
        ("{ $.z IS NULL }", True),
        ("{ $.t IS TRUE && $.t = true }", True),
        ("{ $.t IS FALSE }", False),
        ("{ $.n > 4 && $.n <= 5 && $.n != 6 }", True),
        ("{ $.n < 5 || $.n >= 6 }", False),
        ("{ $.n = 5.0 }", True),
        ("{ $.text = 404 }", True),
        ("{ $.text >= 400 }", True),
        ("{ $.text = 4* }", True),
        ("{ $.ip = 123.123.* }", True),
        ("{ $.a.b[1] = 2 }", True),
        ("{ $.a.b[*] = 2 }", True),
        ("{ $.a.b[9] = 2 }", False),
        ("{ $.a.b[2].c = x }", True),
        ("{ $['odd-key'] = 1 }", True),
        ('{ $.["sp ace"] = y }', True),
        ("{ $.eventName = %^Con.*n$% }", True),
        ("{ $.n = 1 || $.n = 5 && $.t IS TRUE }", True),
        ("{ ($.n = 1 || $.n = 5) && $.t IS FALSE }", False),
    ],
)
def test_json_patterns_match_by_the_values_of_properties(pattern: str, matches: bool) -> None:
    assert compile_pattern(pattern).matches(EVENT) is matches


def test_json_patterns_match_no_event_that_is_not_json() -> None:
    for message in ("", "plain", "{", '{"n": 5', "5", "[" * 100_000):
        assert not compile_pattern("{ $.n NOT EXISTS }").matches(message)


LINE = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /apache_pb.gif HTTP/1.0" 404 2326'


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        (
            "[ip, id, user, timestamp, request, status, size]",
            {"$ip": "127.0.0.1", "$user": "frank", "$status": "404"},
        ),
        ("[..., request = *gif*, status = 4*, size]", {"$request": "GET /apache_pb.gif HTTP/1.0"}),
        ("[ip, ..., size > 2000]", {"$ip": "127.0.0.1", "$size": "2326"}),
        ("[ip, ..., status = 404 || status = 410, size]", {"$status": "404"}),
        ("[ip, ..., (status >= 400 && status < 500) || status = 599, size]", {"$status": "404"}),
        ("[ip=%127\\.0\\.0\\.[0-9]{1,3}%, ...]", {"$ip": "127.0.0.1"}),
        ("[ip, ..., status != 404, size]", None),
        ("[ip, user]", None),
    ],
)
def test_column_patterns_name_columns(pattern: str, named: dict[str, str] | None) -> None:
    found = compile_pattern(pattern).extract(LINE)
    if named is None:
        assert found is None
    else:
        assert found is not None
        assert named.items() <= found.items()


@pytest.mark.parametrize(
    ("pattern", "message", "matches"),
    [
        ("", "anything", True),
        (" ", "anything", True),
        ("ERROR", "[ERROR 400] BAD", True),
        ("ERROR", "error", False),
        ("ERROR BAD", "[ERROR 400] BAD", True),
        ("ERROR GOOD", "[ERROR 400] BAD", False),
        ("?GOOD ?BAD", "[ERROR 400] BAD", True),
        ("?GOOD ?WELL", "[ERROR 400] BAD", False),
        ("ERROR -BAD", "[ERROR 400] BAD", False),
        ("ERROR -GOOD", "[ERROR 400] BAD", True),
        ('"ERROR 400"', "[ERROR 400] BAD", True),
        ('-"ERROR 400"', "[ERROR 400] BAD", False),
        (r'"a \"quoted\" word"', 'a "quoted" word', True),
        ("%[0-9]{3}%", "[ERROR 400] BAD", True),
        # Terms that are needed or refused count alone.
        ("ERROR ?GOOD", "[ERROR 400] BAD", True),
    ],
)
def test_terms_are_looked_for_anywhere(pattern: str, message: str, matches: bool) -> None:
    assert compile_pattern(pattern).matches(message) is matches


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "{",
            "{}",
            "{ $.a }",
            "{ $.a = }",
            "{ $.a > x }",
            "{ $. = 1 }",
            "{ $.a = 1 ",
            "{ $.a[ = 1 }",
        ),
        *("{ $.a = 1 } x", "{ $.a = 1 && }", "{ a = 1 }", "{ $.a IS 5 }", "{ $.a = %( % }"),
        *("[", "[a", "[]", "[a=]", "[a=1 b]", "[..., ...]", "[a=1 || b=2]", "[a] x"),
        *(
            "foo-bar",
            "a.b",
            '"open',
            "%open",
            "?",
            "- a",
            "%(a)%",
            "%[%",
            "{" + "(" * 100 + "$.a=1",
        ),
        "x" * 1025,
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidPattern):
        compile_pattern(pattern)


def test_a_term_with_other_characters_is_named() -> None:
    with pytest.raises(InvalidPattern) as caught:
        compile_pattern("foo-bar")
    assert str(caught.value) == "Invalid character(s) in term 'foo-bar'"


PIECES = st.sampled_from(
    [
        *"{}[]()$.,=!<>|&*?-%\"'\\ ",
        "$.a",
        "&&",
        "||",
        "IS",
        "NULL",
        "NOT",
        "EXISTS",
        "...",
        "a",
        "1",
    ]
)
MESSAGES = st.one_of(st.text(), st.just(EVENT), st.just(LINE), st.just('{"a":{"a":[1,"x"]}}'))


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join), MESSAGES)
def test_any_text_is_a_pattern_or_refused(pattern: str, message: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except InvalidPattern:
        return
    assert (compiled.extract(message) is not None) is compiled.matches(message)
    compiled.find(message, "$.a")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from("{[").flatmap(lambda start: st.text(max_size=60).map(start.__add__)))
def test_any_characters_are_a_pattern_or_refused(pattern: str) -> None:
    try:
        compile_pattern(pattern).matches(EVENT)
    except InvalidPattern:
        return


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("%" + "a*" * 100 + "b%", "a" * 100_000),
        ('{ $.a = "' + "*a" * 200 + '" }', json.dumps({"a": "a" * 100_000})),
        ("[a = " + "*x" * 200 + "]", "x" * 99_999 + "y"),
        ("{ " + " && ".join(["$.a[*] = 1"] * 60) + " }", json.dumps({"a": [1] * 50_000})),
        ("[a, ..., b]", "x " * 500_000),
        ("[a]", '"' * 200_000),
        ("[a]", "[" * 200_000),
    ],
)
def test_hostile_patterns_and_messages_end_soon(pattern: str, message: str) -> None:
    began = time.process_time()
    with suppress(InvalidPattern):
        compile_pattern(pattern).matches(message)
    # Linear work takes a fraction of a second of one processor; exponential work none at all.
    assert time.process_time() - began < 20


@pytest.mark.parametrize("message", ["[ " * 500_000, '[ " ' * 300_000])
def test_brackets_that_never_close_cost_no_more_than_other_text(message: str) -> None:
    pattern = compile_pattern("[a, b, ...]")
    began_at = time.process_time()
    assert pattern.matches(message)
    assert time.process_time() - began_at < 0.5


def test_a_regular_expression_of_thousands_of_steps_is_refused() -> None:
    compile_pattern("%[a-f0-9]{64}%")
    with pytest.raises(InvalidPattern):
        compile_pattern("%((((a?b?){10}){10}){10})c%")
