"""Subscription filters deliver to servers elsewhere that the configuration names."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from in_process import ADMIN, Client, Inside, running_inside
from log_requests import GROUP, make_stream, put
from running_gateways import ACCOUNT

from outcrop.config import Services, Target

KINESIS = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/logs"
LAMBDA = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "logs.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)


class Elsewhere:
    """Takes what is delivered; refuses as often as it is told to."""

    def __init__(self) -> None:
        self.taken: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.refusals = 0
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.refusals:
            self.refusals -= 1
            return web.json_response({"__type": "InternalFailure"}, status=500)
        asked: dict[str, Any] = json.loads(body)
        data = asked["Data"] if "Data" in asked else asked["awslogs"]["data"]
        await self.taken.put(json.loads(gzip.decompress(base64.b64decode(data))))
        return web.json_response({"ShardId": "s", "SequenceNumber": "1"}, status=200)


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    there = Elsewhere()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", there.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    there.url = f"http://127.0.0.1:{port}"
    yield there
    await runner.cleanup()


@pytest.fixture
async def subscribed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Elsewhere
) -> AsyncIterator[Inside]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "elsewhere")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "elsewhere")
    target = Target(endpoint=elsewhere.url)
    services = Services(targets={"kinesis": target, "lambda": target})
    async with running_inside(tmp_path, monkeypatch, services=services) as inside:
        yield inside


async def subscribe(admin: Client, destination: str, **more: Any) -> None:
    await admin.ask(
        "logs",
        "PutSubscriptionFilter",
        logGroupName=GROUP,
        filterName="errors",
        filterPattern="ERROR",
        destinationArn=destination,
        **more,
    )


async def test_what_matches_is_delivered_in_aws_form(
    subscribed: Inside, elsewhere: Elsewhere
) -> None:
    admin = subscribed.client(ADMIN)
    await make_stream(admin)
    await subscribe(admin, LAMBDA)
    await put(admin, "ERROR one", "fine", "ERROR two")
    async with asyncio.timeout(30):
        taken = await elsewhere.taken.get()
    assert [each["message"] for each in taken["logEvents"]] == ["ERROR one", "ERROR two"]
    assert taken["messageType"] == "DATA_MESSAGE"
    assert taken["owner"] == ACCOUNT
    assert (taken["logGroup"], taken["logStream"]) == (GROUP, "one")
    assert taken["subscriptionFilters"] == ["errors"]


async def test_a_delivery_that_fails_is_tried_again(
    subscribed: Inside, elsewhere: Elsewhere
) -> None:
    admin = subscribed.client(ADMIN)
    await make_stream(admin)
    role = await subscribed.role(ACCOUNT, "stream", TRUST)
    await subscribe(admin, KINESIS, roleArn=role)
    elsewhere.refusals = 2
    await put(admin, "ERROR")
    async with asyncio.timeout(60):
        taken = await elsewhere.taken.get()
    assert taken["logEvents"][0]["message"] == "ERROR"
    assert elsewhere.refusals == 0
    listed = await admin.ask("logs", "DescribeSubscriptionFilters", logGroupName=GROUP)
    (known,) = listed["subscriptionFilters"]
    assert known["roleArn"] == role
    assert known["distribution"] == "ByLogStream"
