"""A queue that rules may send to, and what came to it."""

from typing import Any

import msgspec
from in_process import Client

PATTERN = '{"source":["shop"]}'


async def rule_to_queue(
    client: Client,
    name: str = "orders",
    *,
    pattern: str = PATTERN,
    allowed: bool = True,
    bus: str = "default",
    **target: Any,
) -> str:
    """The URL of the queue, whose policy lets EventBridge send for this rule alone."""
    url = await queue(client, name)
    rule = await client.ask("events", "PutRule", Name=name, EventPattern=pattern, EventBusName=bus)
    if allowed:
        await allow(client, url, rule["RuleArn"])
    targets = [{"Id": "queue", "Arn": await queue_arn(client, url), **target}]
    put = await client.ask("events", "PutTargets", Rule=name, EventBusName=bus, Targets=targets)
    assert put["FailedEntries"] == []
    return url


async def queue(client: Client, name: str) -> str:
    created = await client.ask("sqs", "CreateQueue", QueueName=name)
    return created["QueueUrl"]


async def queue_arn(client: Client, url: str) -> str:
    asked = await client.ask("sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=["QueueArn"])
    return asked["Attributes"]["QueueArn"]


async def allow(client: Client, url: str, source_arn: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": await queue_arn(client, url),
        "Condition": {"ArnEquals": {"aws:SourceArn": source_arn}},
    }
    policy = msgspec.json.encode({"Version": "2012-10-17", "Statement": [statement]}).decode()
    await client.ask("sqs", "SetQueueAttributes", QueueUrl=url, Attributes={"Policy": policy})


async def put(client: Client, detail: str = '{"order":1}', **entry: Any) -> str:
    entries = [{"Source": "shop", "DetailType": "ordered", "Detail": detail, **entry}]
    answer = await client.ask("events", "PutEvents", Entries=entries)
    assert answer["FailedEntryCount"] == 0, answer
    return answer["Entries"][0]["EventId"]


async def received(client: Client, url: str) -> dict[str, Any] | None:
    """The next message, waited for; None where none comes."""
    answer = await client.ask(
        "sqs",
        "ReceiveMessage",
        QueueUrl=url,
        WaitTimeSeconds=5,
        MessageAttributeNames=["All"],
        AttributeNames=["All"],
    )
    found = answer.get("Messages", [])
    if not found:
        return None
    handle = found[0]["ReceiptHandle"]
    await client.ask("sqs", "DeleteMessage", QueueUrl=url, ReceiptHandle=handle)
    return found[0]
