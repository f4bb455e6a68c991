"""Events from PutEvents to their targets, through real queues, topics, log groups and buses."""

import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from event_worlds import allow, put, queue, queue_arn, received, rule_to_queue
from in_process import ADMIN, HOST, Client, Inside, running_inside
from logging_under_test import eventually
from running_gateways import ACCOUNT, SCRIPTED, Gateway, start_gateway

from outcrop.config import Server
from outcrop.events.bus import service_event
from outcrop.jobs.runner import JobRunner, Pace
from outcrop.services.events.deliveries import job_kinds
from outcrop.stores.tables import now_ms

OTHER = "210987654321"
RULE = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/orders"
TRUST = msgspec.json.encode(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
).decode()


@dataclass
class World:
    inside: Inside
    client: Client


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[World]:
    server = Server(port=0, public_url=f"http://{HOST}")
    async with running_inside(tmp_path, monkeypatch, OTHER, server=server) as inside:
        yield World(inside, inside.client(ADMIN))


@asynccontextmanager
async def later(inside: Inside, by: timedelta) -> AsyncGenerator[None]:
    """Deliveries go on with the clock moved."""
    deployment = inside.deployment
    await deployment.records.deliveries.close()
    stores, observing = deployment.state.stores, deployment.records.observing
    kinds = job_kinds(
        stores,
        observing.background,
        observing.events,
        deployment.config.services,
        clock=lambda: datetime.now(UTC) + by,
    )
    moved = Pace(poll_s=0.05, clock=lambda: now_ms() + round(by.total_seconds() * 1000))
    runner = JobRunner(stores.database, kinds, node="later", pace=moved)
    runner.start()
    try:
        yield
    finally:
        await runner.close()


def allowing(principal: dict[str, str], action: str, resource: str) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource}
    return msgspec.json.encode({"Version": "2012-10-17", "Statement": [statement]}).decode()


def granting(action: str, resource: str) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return msgspec.json.encode({"Version": "2012-10-17", "Statement": [statement]}).decode()


async def test_an_event_that_matches_comes_to_its_target_whole(world: World) -> None:
    url = await rule_to_queue(world.client)
    await put(world.client, Source="other")
    event_id = await put(
        world.client,
        '{"order": 1.50}',
        Resources=["arn:aws:shop:::1"],
        Time=datetime(2024, 3, 26, 15, 48, 35, tzinfo=UTC),
    )
    message = await received(world.client, url)
    assert message is not None
    # To the letter, as AWS orders it.
    assert message["Body"] == (
        f'{{"version":"0","id":"{event_id}","detail-type":"ordered","source":"shop",'
        f'"account":"{ACCOUNT}","time":"2024-03-26T15:48:35Z","region":"us-east-1",'
        '"resources":["arn:aws:shop:::1"],"detail":{"order": 1.50}}'
    )


async def test_an_event_goes_to_every_target_of_every_rule_as_each_wants_it(world: World) -> None:
    first = await rule_to_queue(world.client, "orders", InputPath="$.detail")
    template = {"InputPathsMap": {"n": "$.detail.order"}, "InputTemplate": '"order <n>"'}
    second = await rule_to_queue(
        world.client, "all", pattern='{"source":[{"prefix":""}]}', InputTransformer=template
    )
    await put(world.client)
    for url, body in ((first, '{"order":1}'), (second, '"order 1"')):
        message = await received(world.client, url)
        assert message is not None
        assert message["Body"] == body


async def test_a_disabled_rule_takes_nothing(world: World) -> None:
    url = await rule_to_queue(world.client)
    await world.client.ask("events", "DisableRule", Name="orders")
    await put(world.client, '{"n":1}')
    await world.client.ask("events", "EnableRule", Name="orders")
    await put(world.client, '{"n":2}')
    message = await received(world.client, url)
    assert message is not None
    assert msgspec.json.decode(message["Body"])["detail"] == {"n": 2}


async def test_fifo_queues_get_the_group_of_their_target(world: World) -> None:
    client = world.client
    made = await client.ask(
        "sqs", "CreateQueue", QueueName="q.fifo", Attributes={"FifoQueue": "true"}
    )
    url = made["QueueUrl"]
    await client.ask("events", "PutRule", Name="orders", EventPattern='{"source":["shop"]}')
    await allow(client, url, RULE)
    target: dict[str, Any] = {"Id": "q", "Arn": await queue_arn(client, url)}
    with pytest.raises(ClientError, match="SqsParameters must be specified"):
        await client.ask("events", "PutTargets", Rule="orders", Targets=[target])
    target["SqsParameters"] = {"MessageGroupId": "g"}
    await client.ask("events", "PutTargets", Rule="orders", Targets=[target])
    await put(client)
    message = await received(client, url)
    assert message is not None
    assert message["Attributes"]["MessageGroupId"] == "g"


async def test_what_a_queue_does_not_allow_comes_as_soon_as_it_does(world: World) -> None:
    url = await rule_to_queue(world.client, allowed=False)
    event_id = await put(world.client)
    await allow(world.client, url, RULE)
    message = await received(world.client, url)
    assert message is not None
    assert msgspec.json.decode(message["Body"])["id"] == event_id


async def test_after_a_day_of_failures_the_event_is_a_dead_letter(world: World) -> None:
    dead = await queue(world.client, "dead")
    await allow(world.client, dead, RULE)
    config = {"Arn": await queue_arn(world.client, dead)}
    await rule_to_queue(world.client, allowed=False, DeadLetterConfig=config)
    event_id = await put(world.client)
    async with later(world.inside, timedelta(hours=23)):
        assert await received(world.client, dead) is None
    async with later(world.inside, timedelta(hours=24, minutes=1)):
        message = await received(world.client, dead)
    assert message is not None
    assert msgspec.json.decode(message["Body"])["id"] == event_id
    told = {name: each["StringValue"] for name, each in message["MessageAttributes"].items()}
    assert told["RULE_ARN"] == RULE
    assert told["TARGET_ARN"] == f"arn:aws:sqs:us-east-1:{ACCOUNT}:orders"
    assert told["EXHAUSTED_RETRY_CONDITION"] == "MaximumEventAgeInSeconds"
    assert "AccessDenied" in told["ERROR_MESSAGE"]


@pytest.mark.parametrize(
    ("policy", "exhausted", "retries"),
    [
        ({"MaximumRetryAttempts": 0}, "MaximumRetryAttempts", "0"),
        ({"MaximumRetryAttempts": 1}, "MaximumRetryAttempts", "1"),
    ],
)
async def test_a_target_says_how_often_it_is_tried(
    world: World, policy: dict[str, int], exhausted: str, retries: str
) -> None:
    dead = await queue(world.client, "dead")
    await allow(world.client, dead, RULE)
    config = {"Arn": await queue_arn(world.client, dead)}
    await rule_to_queue(world.client, allowed=False, DeadLetterConfig=config, RetryPolicy=policy)
    await put(world.client)
    message = await received(world.client, dead)
    assert message is not None
    told = {name: each["StringValue"] for name, each in message["MessageAttributes"].items()}
    assert told["EXHAUSTED_RETRY_CONDITION"] == exhausted
    assert told["RETRY_ATTEMPTS"] == retries


async def test_a_target_that_is_gone_is_a_dead_letter_at_once(world: World) -> None:
    dead = await queue(world.client, "dead")
    await allow(world.client, dead, RULE)
    config = {"Arn": await queue_arn(world.client, dead)}
    # The root of an account learns that there is no queue; EventBridge is told by its policy.
    url = await rule_to_queue(world.client, DeadLetterConfig=config)
    await world.client.ask("sqs", "DeleteQueue", QueueUrl=url)
    await put(world.client)
    async with later(world.inside, timedelta(hours=25)):
        message = await received(world.client, dead)
    assert message is not None


async def test_events_come_to_the_subscribers_of_a_topic(world: World) -> None:
    client = world.client
    topic = (await client.ask("sns", "CreateTopic", Name="news"))["TopicArn"]
    url = await queue(client, "subscriber")
    policy = allowing({"Service": "sns.amazonaws.com"}, "sqs:SendMessage", "*")
    await client.ask("sqs", "SetQueueAttributes", QueueUrl=url, Attributes={"Policy": policy})
    await client.ask(
        "sns", "Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=await queue_arn(client, url)
    )
    publish = allowing({"Service": "events.amazonaws.com"}, "sns:Publish", topic)
    await client.ask(
        "sns",
        "SetTopicAttributes",
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue=publish,
    )
    await client.ask("events", "PutRule", Name="orders", EventPattern='{"source":["shop"]}')
    await client.ask("events", "PutTargets", Rule="orders", Targets=[{"Id": "t", "Arn": topic}])
    event_id = await put(client)
    message = await received(client, url)
    assert message is not None
    envelope = msgspec.json.decode(message["Body"])
    assert envelope["TopicArn"] == topic
    assert msgspec.json.decode(envelope["Message"])["id"] == event_id


async def test_events_come_to_a_log_group(world: World) -> None:
    client = world.client
    group = "/aws/events/orders"
    arn = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{group}"
    await client.ask("logs", "CreateLogGroup", logGroupName=group)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": ["events.amazonaws.com", "delivery.logs.amazonaws.com"]},
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": f"{arn}:*",
    }
    policy = msgspec.json.encode({"Version": "2012-10-17", "Statement": [statement]}).decode()
    await client.ask("logs", "PutResourcePolicy", policyName="p", policyDocument=policy)
    url = await rule_to_queue(client)
    await client.ask("events", "PutTargets", Rule="orders", Targets=[{"Id": "log", "Arn": arn}])
    ids = {await put(client), await put(client)}
    seen: set[str] = set()
    while seen != ids:
        assert await received(client, url) is not None or seen
        found = await client.ask("logs", "FilterLogEvents", logGroupName=group)
        seen = {msgspec.json.decode(each["message"])["id"] for each in found["events"]}


async def to_other_account(world: World, **target: Any) -> tuple[Client, str]:
    """A rule here sends to the bus of another account, and a rule there to a queue there."""
    keys = await world.inside.user(OTHER, "owner", granting("*", "*"))
    theirs = world.inside.client(keys)
    url = await rule_to_queue(theirs, "theirs")
    bus = f"arn:aws:events:us-east-1:{OTHER}:event-bus/default"
    client = world.client
    await client.ask("events", "PutRule", Name="orders", EventPattern='{"source":["shop"]}')
    targets = [{"Id": "bus", "Arn": bus, **target}]
    put = await client.ask("events", "PutTargets", Rule="orders", Targets=targets)
    assert put["FailedEntries"] == []
    return theirs, url


async def test_another_accounts_bus_gets_the_event_as_it_was_if_its_policy_lets_it(
    world: World,
) -> None:
    theirs, url = await to_other_account(world)
    event_id = await put(world.client)
    await theirs.ask(
        "events",
        "PutPermission",
        StatementId="s",
        Action="events:PutEvents",
        Principal=ACCOUNT,
    )
    message = await received(theirs, url)
    assert message is not None
    event = msgspec.json.decode(message["Body"])
    assert (event["id"], event["account"]) == (event_id, ACCOUNT)


async def test_events_are_put_on_another_accounts_bus_if_its_policy_lets_the_caller(
    world: World,
) -> None:
    theirs, url = await to_other_account(world)
    bus = f"arn:aws:events:us-east-1:{OTHER}:event-bus/default"
    with pytest.raises(ClientError, match="AccessDenied"):
        await put(world.client, EventBusName=bus)
    await theirs.ask(
        "events",
        "PutPermission",
        StatementId="s",
        Action="events:PutEvents",
        Principal=ACCOUNT,
    )
    event_id = await put(world.client, EventBusName=bus)
    message = await received(theirs, url)
    assert message is not None
    event = msgspec.json.decode(message["Body"])
    assert (event["id"], event["account"]) == (event_id, ACCOUNT)


async def test_a_bus_of_the_same_account_gets_events_by_a_role(world: World) -> None:
    client = world.client
    bus = await client.ask("events", "CreateEventBus", Name="second")
    url = await rule_to_queue(client, "second", bus="second")
    await client.ask("events", "PutRule", Name="orders", EventPattern='{"source":["shop"]}')
    target = {"Id": "bus", "Arn": bus["EventBusArn"]}
    with pytest.raises(ClientError, match="RoleArn is required for target bus"):
        await client.ask("events", "PutTargets", Rule="orders", Targets=[target])
    target["RoleArn"] = await world.inside.role(
        ACCOUNT, "sender", TRUST, granting("events:PutEvents", bus["EventBusArn"])
    )
    await client.ask("events", "PutTargets", Rule="orders", Targets=[target])
    event_id = await put(client)
    message = await received(client, url)
    assert message is not None
    assert msgspec.json.decode(message["Body"])["id"] == event_id


async def test_a_service_publishes_in_a_transaction_of_its_own(world: World) -> None:
    url = await rule_to_queue(world.client, pattern='{"source":["aws.bedrock"]}')
    deployment = world.inside.deployment
    events = deployment.records.observing.events
    assert events.has_rules(ACCOUNT, "us-east-1")
    assert not events.has_rules(ACCOUNT, "eu-central-1")
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:model-customization-job/abcdefghwxyz"
    event = service_event(
        "aws.bedrock", "Model Customization Job State Change", [arn], {"jobStatus": "Failed"}
    )
    async with deployment.state.stores.resources.writing() as transaction:
        event_id = await events.publish(transaction, ACCOUNT, "us-east-1", event)
    message = await received(world.client, url)
    assert message is not None
    body = msgspec.json.decode(message["Body"])
    sent = {name: body[name] for name in body if name != "time"}
    assert sent == {
        "version": "0",
        "id": event_id,
        "detail-type": "Model Customization Job State Change",
        "source": "aws.bedrock",
        "account": ACCOUNT,
        "region": "us-east-1",
        "resources": [arn],
        "detail": {"jobStatus": "Failed"},
    }


def test_events_survive_the_death_of_the_server(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path, SCRIPTED)
    sqs, events = gateway.client("sqs"), gateway.client("events")
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]
    name = f"arn:aws:sqs:us-east-1:{ACCOUNT}:orders"
    policy = allowing({"Service": "events.amazonaws.com"}, "sqs:SendMessage", name)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    events.put_rule(Name="orders", EventPattern='{"source":["shop"]}')
    events.put_targets(Rule="orders", Targets=[{"Id": "q", "Arn": name}])
    ids: set[str] = set()
    for _ in range(20):
        entry = {"Source": "shop", "DetailType": "ordered", "Detail": "{}"}
        answer = events.put_events(Entries=[entry] * 10)
        ids |= {each["EventId"] for each in answer["Entries"]}
    gateway.process.send_signal(signal.SIGKILL)
    gateway.process.wait()
    gateway = start_gateway(tmp_path, SCRIPTED)
    try:
        seen: set[str] = set()
        eventually(lambda: _drained(gateway, seen) >= ids, seconds=120)
        assert seen == ids
    finally:
        gateway.stop()


def _drained(gateway: Gateway, seen: set[str]) -> set[str]:
    sqs = gateway.client("sqs")
    url = sqs.get_queue_url(QueueName="orders")["QueueUrl"]
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        seen |= {msgspec.json.decode(each["Body"])["id"] for each in found}
    return seen
