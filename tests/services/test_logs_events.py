"""Log groups, streams and events, as their clients see them."""

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import Client

GROUP, STREAM = "/outcrop/app", "one"


def now_ms() -> int:
    return int(time.time() * 1000)


async def stream(admin: Client, group: str = GROUP, name: str = STREAM) -> None:
    await admin.ask("logs", "CreateLogGroup", logGroupName=group)
    await admin.ask("logs", "CreateLogStream", logGroupName=group, logStreamName=name)


async def put(admin: Client, *messages: str, at: int | None = None, **more: Any) -> dict[str, Any]:
    at = now_ms() if at is None else at
    events = [{"timestamp": at + i, "message": each} for i, each in enumerate(messages)]
    return await admin.ask(
        "logs", "PutLogEvents", logGroupName=GROUP, logStreamName=STREAM, logEvents=events, **more
    )


async def test_what_was_put_is_read_in_its_order(admin: Client) -> None:
    await stream(admin)
    await put(admin, "first", "second")
    found = await admin.ask(
        "logs", "GetLogEvents", logGroupName=GROUP, logStreamName=STREAM, startFromHead=True
    )
    assert [each["message"] for each in found["events"]] == ["first", "second"]
    found = await admin.ask("logs", "FilterLogEvents", logGroupName=GROUP, filterPattern="second")
    assert [each["message"] for each in found["events"]] == ["second"]
