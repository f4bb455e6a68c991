"""What changes something is told to EventBridge, once, where a rule takes it."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from event_worlds import received, rule_to_queue
from in_process import REGION, Client, Inside
from running_gateways import ACCOUNT

from outcrop.events.bus import EVENT
from outcrop.journal.records import CallRecord
from outcrop.server.management_events import ManagementEvents
from outcrop.stores.tables import jobs

BEDROCK = '{"source":["aws.bedrock"]}'
PUT = "PutModelInvocationLoggingConfiguration"


async def published(inside: Inside) -> list[dict[str, Any]]:
    """The events that became jobs, in their order."""
    await inside.deployment.records.observing.catch_up()
    async with inside.deployment.state.stores.resources.reading() as view:
        query = sa.select(jobs.c.payload).where(jobs.c.kind == EVENT)
        rows = await view.connection.execute(query.order_by(jobs.c.created_at_ms))
        # Of what is delivered, the job keeps nothing.
        return [json.loads(json.loads(row.payload).get("event", "{}")) for row in rows]


def records(trails: Sequence[bytes]) -> list[CallRecord]:
    return [
        CallRecord(
            request_id="r",
            began_us=0,
            took_us=0,
            account=ACCOUNT,
            region=REGION,
            service="bedrock",
            operation=PUT,
            principal="",
            status=200,
            trail=trail,
        )
        for trail in trails
    ]


def trail(number: int, source: str = "bedrock") -> bytes:
    told = {
        "userIdentity": {"type": "Root"},
        "eventTime": "2026-01-02T03:04:05Z",
        "eventSource": f"{source}.amazonaws.com",
        "eventName": PUT,
        "awsRegion": REGION,
        "eventID": f"00000000-0000-4000-8000-{number:012}",
        "readOnly": False,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }
    return json.dumps(told).encode()


async def configure(client: Client) -> None:
    """Refused, as there is no such bucket: denied and failed calls are events, too."""
    request = client.request(
        "bedrock",
        PUT,
        loggingConfig={"s3Config": {"bucketName": "nowhere", "keyPrefix": ""}},
    )
    assert (await client.app.handle(request)).status == 400


async def test_a_rule_on_bedrock_is_told_of_a_changed_logging_configuration(
    inside: Inside, admin: Client
):
    url = await rule_to_queue(admin, pattern=BEDROCK)
    await configure(admin)
    await admin.ask("bedrock", "GetModelInvocationLoggingConfiguration")
    message = await received(admin, url)
    assert message is not None
    event = json.loads(message["Body"])
    assert (event["source"], event["detail-type"]) == ("aws.bedrock", "AWS API Call via CloudTrail")
    assert (event["account"], event["region"]) == (ACCOUNT, REGION)
    assert event["detail"]["eventName"] == PUT
    assert event["id"] == event["detail"]["eventID"]
    assert event["time"] == event["detail"]["eventTime"]
    # The one that reads is none.
    assert len(await published(inside)) == 1


async def test_what_no_rule_takes_becomes_no_event(inside: Inside, admin: Client):
    await configure(admin)
    await rule_to_queue(admin, pattern='{"source":["aws.iam"]}')
    await configure(admin)
    assert await published(inside) == []


async def test_thousands_of_records_cost_only_what_rules_take(inside: Inside, admin: Client):
    await rule_to_queue(admin, pattern='{"detail":{"eventSource":["kms.amazonaws.com"]}}')
    await inside.deployment.records.deliveries.close()
    sink = ManagementEvents(inside.deployment.records.observing.events)
    many = records([trail(number) for number in range(5_000)] + [trail(5_000, "kms")])
    async with inside.deployment.state.stores.resources.writing() as transaction:
        await sink.take(many, transaction)
    (event,) = await published(inside)
    assert event["id"].endswith("5000")


async def delivered(client: Client) -> None:
    async with asyncio.timeout(20):
        while True:
            found = await client.ask("logs", "FilterLogEvents", logGroupName="/aws/events/all")
            if found["events"]:
                return
            await asyncio.sleep(0.02)


async def test_a_rule_is_not_fed_by_what_its_own_target_does(inside: Inside, admin: Client):
    group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/events/all"
    await admin.ask("logs", "CreateLogGroup", logGroupName="/aws/events/all")
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": f"{group}:*",
        },
    }
    named = {"policyName": "events", "policyDocument": json.dumps(policy)}
    await admin.ask("logs", "PutResourcePolicy", **named)
    await inside.deployment.records.observing.catch_up()
    pattern = '{"detail-type":["AWS API Call via CloudTrail"],"source":["aws.logs"]}'
    await admin.ask("events", "PutRule", Name="all", EventPattern=pattern)
    target = {"Id": "group", "Arn": group}
    put = await admin.ask("events", "PutTargets", Rule="all", Targets=[target])
    assert put["FailedEntries"] == []
    await admin.ask("logs", "CreateLogGroup", logGroupName="another")
    await delivered(admin)
    found = await admin.ask("logs", "FilterLogEvents", logGroupName="/aws/events/all")
    told = [json.loads(each["message"])["detail"]["eventName"] for each in found["events"]]
    assert told == ["CreateLogGroup"]
    assert len(await published(inside)) == 1
