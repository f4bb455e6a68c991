"""SQS under many dead letters and many who wait: for everybody else it goes on."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import sqlalchemy as sa
from in_process import ADMIN, Client, Inside, running_inside
from running_gateways import ACCOUNT
from sqlalchemy.ext.asyncio import AsyncConnection

from outcrop.queues import messages
from outcrop.queues.contents import md5
from outcrop.queues.messages import Envelope, Outgoing, Taking
from outcrop.stores.tables import now_ms, queue_messages

ARN = f"arn:aws:sqs:us-east-1:{ACCOUNT}:jobs"
DEAD = f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead"


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def sqs(inside: Inside) -> Client:
    return inside.client(ADMIN)


async def test_one_receiver_moves_no_more_dead_letters_than_others_can_wait_for(
    inside: Inside, sqs: Client
) -> None:
    await sqs.ask("sqs", "CreateQueue", QueueName="dead")
    redrive = json.dumps({"deadLetterTargetArn": DEAD, "maxReceiveCount": 1})
    made = await sqs.ask(
        "sqs", "CreateQueue", QueueName="jobs", Attributes={"RedrivePolicy": redrive}
    )
    envelope = Envelope("s", md5(b"x"))
    async with inside.deployment.state.stores.resources.writing() as transaction:
        for number in range(1500):
            outgoing = Outgoing(str(number), b"x", envelope)
            await messages.add(transaction.connection, ARN, outgoing, now_ms())
        await transaction.connection.execute(sa.update(queue_messages).values(receives=1))
    moved: list[int] = []
    for _ in range(2):
        answer = await sqs.ask("sqs", "ReceiveMessage", QueueUrl=made["QueueUrl"])
        assert "Messages" not in answer
        async with inside.deployment.state.stores.resources.reading() as view:
            query = sa.select(sa.func.count()).where(queue_messages.c.queue == DEAD)
            moved.append((await view.connection.execute(query)).scalar_one())
    assert moved == [1000, 1500]


async def test_of_many_who_wait_for_a_queue_one_looks_for_all(
    inside: Inside, sqs: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await sqs.ask("sqs", "CreateQueue", QueueName="jobs")
    url, hub = made["QueueUrl"], inside.deployment.records.observing.queues
    waits = [
        asyncio.create_task(sqs.ask("sqs", "ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20))
        for _ in range(40)
    ]
    while hub.waiting < len(waits):
        await sqs.ask("sqs", "ListQueues")
    looks = 0
    really = messages.has_visible

    async def counted(connection: AsyncConnection, taking: Taking) -> bool:
        nonlocal looks
        looks += 1
        return await really(connection, taking)

    monkeypatch.setattr(messages, "has_visible", counted)
    entries = [{"Id": str(number), "MessageBody": str(number)} for number in range(10)]
    await sqs.ask("sqs", "SendMessageBatch", QueueUrl=url, Entries=entries)
    while hub.waiting > 30:
        await sqs.ask("sqs", "ListQueues")
    assert looks <= 30
    first = next(wait for wait in waits if not wait.done())
    first.cancel()
    await asyncio.wait([first])
    await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="last")
    while hub.waiting > 28:
        await sqs.ask("sqs", "ListQueues")
    await sqs.ask("sqs", "DeleteQueue", QueueUrl=url)
    ended = await asyncio.gather(*waits, return_exceptions=True)
    bodies = [
        message["Body"]
        for answer in ended
        if isinstance(answer, dict)
        for message in answer["Messages"]
    ]
    assert sorted(bodies) == sorted([*map(str, range(10)), "last"])
    assert sum("does not exist" in str(answer) for answer in ended) == 28
    assert hub.waiting == 0
