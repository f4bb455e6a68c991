"""What clients may send to CloudWatch Logs that is odd, huge or endless."""

import asyncio
from typing import Any

import pytest
from in_process import Client, Inside
from log_requests import GROUP, events_of, make_stream, put, refusal
from running_gateways import ACCOUNT

from outcrop.logs import events, queries
from outcrop.logs.events import of_group, read_events
from outcrop.logs.live_tail import LiveTails, Session, TailedEvent
from outcrop.logs.patterns import compile_pattern
from outcrop.services.logs import get_events
from outcrop.stores.log_records import LogGroup
from outcrop.stores.resources import Place

QUERY: Any = {"logGroupName": GROUP, "startTime": 0, "queryString": "fields @message"}
LAST = 2**63 - 1


async def finished(client: Client, query_id: str) -> dict[str, Any]:
    while True:
        found = await client.ask("logs", "GetQueryResults", queryId=query_id)
        if found["status"] not in ("Scheduled", "Running"):
            return found
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("token", ["²", "000000000²", "0" * 9 + "9" * 5000, "-1", "999999999"])
async def test_no_token_of_results_is_too_odd_to_be_refused(admin: Client, token: str) -> None:
    await make_stream(admin)
    started = await admin.ask("logs", "StartQuery", **QUERY, endTime=LAST)
    code, _ = await refusal(admin, "GetQueryResults", queryId=started["queryId"], nextToken=token)
    assert code == "InvalidParameterException"


async def test_a_query_may_end_as_late_as_a_number_can_be(admin: Client) -> None:
    await make_stream(admin)
    await put(admin, "one")
    started = await admin.ask("logs", "StartQuery", **QUERY, endTime=LAST)
    found = await finished(admin, started["queryId"])
    assert (found["status"], len(found["results"])) == ("Complete", 1)


async def test_queries_that_were_stopped_are_forgotten_like_others(
    admin: Client, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_MOST_KEPT", 3)
    await make_stream(admin)
    for _ in range(10):
        started = await admin.ask("logs", "StartQuery", **QUERY, endTime=LAST)
        await admin.ask("logs", "StopQuery", queryId=started["queryId"])
    hub = inside.deployment.records.observing.logs
    assert len(hub.queries.list(ACCOUNT, admin.region)) == 3


async def test_large_events_are_read_a_few_at_a_time(
    admin: Client, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_BYTES_READ", 1200)
    await make_stream(admin)
    messages = [f"{number} " + "x" * 500 for number in range(7)]
    await put(admin, *messages)
    async with inside.deployment.state.stores.resources.reading() as view:
        group = await view.get(LogGroup, Place(ACCOUNT, admin.region, GROUP))
        of = of_group(group.record.id)
        assert len(await read_events(view.connection, of, start_ms=0, limit=1000)) == 2
    assert await events_of(admin, startFromHead=True) == messages
    assert await events_of(admin, limit=3) == messages[4:]
    found = await admin.ask("logs", "FilterLogEvents", logGroupName=GROUP)
    assert [each["message"] for each in found["events"]] == messages
    started = await admin.ask("logs", "StartQuery", **QUERY, endTime=LAST)
    assert len((await finished(admin, started["queryId"]))["results"]) == 7


async def test_a_search_through_large_events_answers_before_the_end(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_BYTES_READ", 1200)
    monkeypatch.setattr(get_events, "_MOST_SCANNED_BYTES", 2000)
    await make_stream(admin)
    await put(admin, *("x" * 500 for _ in range(7)), "wanted")
    search: Any = {"logGroupName": GROUP, "filterPattern": "wanted"}
    found = await admin.ask("logs", "FilterLogEvents", **search)
    assert found["events"] == []
    token = found["nextToken"]
    found = await admin.ask("logs", "FilterLogEvents", **search, nextToken=token)
    assert [each["message"] for each in found["events"]] == ["wanted"]


async def test_patterns_of_live_tails_hold_up_no_requests() -> None:
    tails = LiveTails()
    pattern = compile_pattern("{ $.a = 1 }")
    sessions = [
        Session(ACCOUNT, "us-east-1", frozenset([1]), lambda _: True, pattern) for _ in range(5)
    ]
    for session in sessions:
        tails.open(session)
    large = TailedEvent("arn", "s", 0, 0, '{"a": 1, "b": [' + "1, " * 100_000 + "1]}")
    publishing = asyncio.create_task(tails.publish(1, [large, large]))
    await asyncio.sleep(0)
    assert not publishing.done()
    await publishing
    assert [len(session.take()[0]) for session in sessions] == [2] * 5
