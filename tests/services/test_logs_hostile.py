"""What clients may send to CloudWatch Logs that is odd, huge or endless."""

import asyncio
from typing import Any

import pytest
from in_process import Client, Inside
from log_requests import GROUP, make_stream, put, refusal
from running_gateways import ACCOUNT

from outcrop.logs import queries

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
