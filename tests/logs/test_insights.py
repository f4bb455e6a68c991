"""Logs Insights: the simple forms of queries, and what else is refused."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from outcrop.logs import insights
from outcrop.logs.insights import QueryTooLarge, Run
from outcrop.logs.insights_parser import parse_query
from outcrop.logs.insights_tokens import MalformedQuery

START_MS = 1_700_000_000_000


def event(number: int) -> dict[str, Any]:
    message = {
        "modelId": f"m{number % 2}",
        "input": {"inputTokenCount": number},
        "tags": ["a", {"b": number}],
        "ok": number % 2 == 0,
        "line": f"GET /path/{number} took {number * 1.5} ms",
    }
    return {
        "@timestamp": float(START_MS + number * 60_000),
        "@logStream": "one",
        "@ptr": str(number),
        "@message": json.dumps(message),
    }


EVENTS = [event(number) for number in reversed(range(10))]


def rows(query: str, limit: int = 10_000) -> list[dict[str, str]]:
    run = Run(parse_query(query), limit)
    run.feed(EVENTS)
    return [{each["field"]: each["value"] for each in row} for row in run.rows()]


def column(query: str, name: str) -> list[str | None]:
    return [row.get(name) for row in rows(query)]


def test_without_commands_for_it_the_latest_events_are_shown_whole() -> None:
    (row,) = rows("limit 1")
    assert row["@ptr"] == "9"
    assert row["@timestamp"] == "2023-11-14 22:22:20.000"
    assert json.loads(row["@message"])["modelId"] == "m1"


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ("input.inputTokenCount > 7", ["9", "8"]),
        ("input.inputTokenCount >= 8 and modelId = 'm0'", ["8"]),
        ("input.inputTokenCount < 1 or input.inputTokenCount = 9", ["9", "0"]),
        ("not (input.inputTokenCount > 0)", ["0"]),
        ('line like "path/3 "', ["3"]),
        ("line like /path\\/[34] /", ["4", "3"]),
        ("line =~ /PATH\\/3 /i", ["3"]),
        ("line not like /path/", []),
        ("input.inputTokenCount in [1, 2]", ["2", "1"]),
        ("modelId not in ['m0', 'm1']", []),
        ("ispresent(missing)", []),
        ("missing = 1", []),
        ("tags.1.b = 4", ["4"]),
        ("ok = 1 and @timestamp < 1700000100000", ["0"]),
        ("`modelId` = 'm1' and input.inputTokenCount <= 1 # a comment", ["1"]),
    ],
)
def test_filters_compare_fields(test: str, found: list[str]) -> None:
    assert column(f"filter {test}", "@ptr") == found


def test_sorts_are_by_number_where_there_are_numbers() -> None:
    query = "fields input.inputTokenCount as t | sort modelId asc, t desc | limit 3"
    assert column(query, "t") == ["8", "6", "4"]
    assert column("sort @timestamp | limit 2", "@ptr") == ["0", "1"]


def test_statistics_are_grouped_by_field_and_by_time() -> None:
    found = rows(
        "stats count(*) as n, sum(input.inputTokenCount), avg(input.inputTokenCount), "
        "min(input.inputTokenCount), max(input.inputTokenCount), pct(input.inputTokenCount, 90), "
        "count_distinct(ok) as d by modelId | sort modelId"
    )
    assert found[0] == {
        "modelId": "m0",
        "n": "5",
        "sum(input.inputTokenCount)": "20",
        "avg(input.inputTokenCount)": "4",
        "min(input.inputTokenCount)": "0",
        "max(input.inputTokenCount)": "8",
        "pct(input.inputTokenCount, 90)": "8",
        "d": "1",
    }
    binned = rows("stats count(*) by bin(5m) as at | sort at")
    assert binned == [
        {"at": "2023-11-14 22:10:00.000", "count(*)": "2"},
        {"at": "2023-11-14 22:15:00.000", "count(*)": "5"},
        {"at": "2023-11-14 22:20:00.000", "count(*)": "3"},
    ]
    assert rows("filter modelId = 'none' | stats count(*) as n, sum(x) as s") == [{"n": "0"}]


def test_a_glob_parses_fields_out_of_a_line() -> None:
    query = "parse line 'GET * took * ms' as path, took | filter took > 12 | display path, took"
    assert column(query, "path") == ["/path/9"]
    assert column(query, "took") == ["13.5"]


def test_duplicates_are_left_out() -> None:
    assert column("dedup modelId", "@ptr") == ["9", "8"]


def test_the_limit_of_the_request_bounds_the_rows() -> None:
    assert len(rows("fields modelId", limit=3)) == 3


def test_a_run_is_done_as_soon_as_nothing_can_change() -> None:
    run = Run(parse_query("limit 2"))
    run.feed(EVENTS)
    assert run.is_done
    for query in ("sort modelId | limit 2", "stats count(*)"):
        run = Run(parse_query(query))
        run.feed(EVENTS)
        assert not run.is_done


def test_a_query_of_too_many_groups_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insights, "MOST_GROUPS", 5)
    with pytest.raises(QueryTooLarge):
        rows("stats count(*) by @ptr")


@pytest.mark.parametrize("query", ["fields @message", "sort @timestamp desc"])
def test_a_query_that_holds_too_long_rows_fails(
    query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insights, "MOST_CHARACTERS", 2000)
    with pytest.raises(QueryTooLarge):
        rows(query)
    assert len(rows(f"{query} | limit 2")) == 2


@pytest.mark.parametrize(
    "query", ["stats count_distinct(line)", "stats count(*) by line", "dedup line"]
)
def test_long_values_count_for_as_long_as_they_are(
    query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insights, "MOST_VALUES", 15)
    with pytest.raises(QueryTooLarge):
        rows(query)
    assert rows(query.replace("line", "modelId"))


@pytest.mark.parametrize("value", ["1e300", "-5", "nan", "inf", "²"])
def test_whatever_is_called_a_time_is_shown(value: str) -> None:
    run = Run(parse_query(f"parse @message '*' as @timestamp | stats max(`a.{value}`) by bin(1m)"))
    run.feed([{"@message": value}])
    assert len(run.rows()) == 1
    run = Run(parse_query("stats max(v) as @timestamp"))
    run.feed([{"@message": f'{{"v": "{value}"}}'}])
    assert len(run.rows()) == 1


def test_a_glob_of_many_stars_takes_no_longer_for_a_long_event() -> None:
    """Found by a regular expression it took minutes, in a thread that nothing ends."""
    names = ", ".join(f"a{number}" for number in range(400))
    run = Run(parse_query(f"parse @message '{'*x' * 400}' as {names}"))
    began_at = time.process_time()
    run.feed([{"@message": "x" * 399 + "y" * 1_000_000}])
    assert time.process_time() - began_at < 1
    assert run.matched == 1


def test_a_query_that_was_stopped_ends_after_its_row() -> None:
    run = Run(parse_query("fields @message"))

    def events() -> Iterator[dict[str, Any]]:
        yield EVENTS[0]
        run.stop()
        yield from EVENTS[1:]

    run.feed(events())
    assert run.matched == 1


@pytest.mark.parametrize(
    "query",
    [
        *("", "|", "fields", "fields a,", "foo a", "pattern @message", "fields strlen(a)"),
        *("filter", "filter a", "filter a =", "filter a like", "filter a in []", "filter (a = 1"),
        *("filter a like /(/", "filter " + "(" * 200 + "a=1", "filter " + "not " * 200 + "a=1"),
        *("limit 0", "limit x", "limit 10001", "stats", "stats foo(a)", "stats pct(a)"),
        *("stats pct(a, 101)", "stats count(*) by bin(x)", "stats count(*) by bin(0m)"),
        *("parse a 'b' as c", "parse a '*' as", "parse a '*' as b, c", "fields a b", "sort"),
        *("fields a | | limit 1", "filter a ~ 1", "fields 'open", "x" * 3000),
        "limit 000000001" + "0" * 5000,
    ],
)
def test_what_is_not_of_the_simple_forms_is_refused(query: str) -> None:
    with pytest.raises(MalformedQuery):
        parse_query(query)


WORDS = st.sampled_from(
    [
        *("fields", "filter", "stats", "sort", "limit", "by", "as", "and", "or", "not", "in"),
        *("like", "a", "@message", "count", "(", ")", "*", ",", "|", "=", "!=", "[", "]", "1"),
        *("'x'", "/x/", "bin", "5m", "parse", "dedup", "pct", "#"),
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.lists(WORDS, max_size=25).map(" ".join), st.text(max_size=80)))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    try:
        commands = parse_query(text)
    except MalformedQuery:
        return
    run = Run(commands)
    run.feed(EVENTS)
    run.rows()
