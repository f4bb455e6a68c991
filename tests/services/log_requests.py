"""What tests of CloudWatch Logs ask for again and again."""

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import Client

GROUP, STREAM = "/outcrop/app", "one"


def now_ms() -> int:
    return int(time.time() * 1000)


async def make_stream(client: Client, group: str = GROUP, name: str = STREAM) -> None:
    await client.ask("logs", "CreateLogGroup", logGroupName=group)
    await client.ask("logs", "CreateLogStream", logGroupName=group, logStreamName=name)


async def put(
    client: Client, *messages: str, at: int | None = None, stream: str = STREAM, **more: Any
) -> dict[str, Any]:
    at = now_ms() if at is None else at
    events = [{"timestamp": at + i, "message": each} for i, each in enumerate(messages)]
    return await client.ask(
        "logs", "PutLogEvents", logGroupName=GROUP, logStreamName=stream, logEvents=events, **more
    )


async def events_of(client: Client, **more: Any) -> list[str]:
    found = await client.ask(
        "logs", "GetLogEvents", logGroupName=GROUP, logStreamName=STREAM, **more
    )
    return [each["message"] for each in found["events"]]


async def refusal(client: Client, operation: str, **params: Any) -> tuple[str, str]:
    """Code and text."""
    with pytest.raises(ClientError) as caught:
        await client.ask("logs", operation, **params)
    response: Any = caught.value.response
    error = response["Error"]
    return error["Code"], error["Message"]
