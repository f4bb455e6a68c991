"""SQS through botocore's own serializer and parser: queues, messages, and who gets them."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from in_process import ADMIN, Client, Inside, running_inside
from running_gateways import ACCOUNT

from outcrop.stores.tables import queue_messages


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def sqs(inside: Inside) -> Client:
    return inside.client(ADMIN)


async def make_queue(sqs: Client, name: str = "jobs", **attributes: str) -> str:
    answer = await sqs.ask("sqs", "CreateQueue", QueueName=name, Attributes=attributes)
    return answer["QueueUrl"]


async def receive(sqs: Client, url: str, **params: Any) -> list[dict[str, Any]]:
    answer = await sqs.ask("sqs", "ReceiveMessage", QueueUrl=url, **params)
    return answer.get("Messages", [])


async def bodies(sqs: Client, url: str, **params: Any) -> list[str]:
    found = await receive(sqs, url, MaxNumberOfMessages=10, **params)
    return [message["Body"] for message in found]


def arn(name: str) -> str:
    return f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"


async def test_what_is_sent_is_received_and_gone_when_deleted(sqs: Client) -> None:
    url = await make_queue(sqs)
    assert url.endswith(f"/{ACCOUNT}/jobs")
    attributes = {
        "n": {"DataType": "Number", "StringValue": "7"},
        "raw": {"DataType": "Binary.png", "BinaryValue": b"\x00\xff"},
    }
    sent = await sqs.ask(
        "sqs", "SendMessage", QueueUrl=url, MessageBody="héllo", MessageAttributes=attributes
    )
    assert sent["MD5OfMessageBody"] == "be50e8478cf24ff3595bc7307fb91b50"
    [message] = await receive(sqs, url, MessageAttributeNames=["All"], AttributeNames=["All"])
    assert message["MessageId"] == sent["MessageId"]
    assert message["Body"] == "héllo"
    assert message["MessageAttributes"] == attributes
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert await receive(sqs, url) == []
    await sqs.ask("sqs", "DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    counts = await sqs.ask("sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])
    assert counts["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "0"


async def test_a_message_that_is_not_deleted_comes_again(sqs: Client) -> None:
    url = await make_queue(sqs, VisibilityTimeout="0")
    await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="again")
    [first] = await receive(sqs, url)
    [second] = await receive(sqs, url, AttributeNames=["ApproximateReceiveCount"])
    assert second["Attributes"] == {"ApproximateReceiveCount": "2"}
    assert first["ReceiptHandle"] != second["ReceiptHandle"]


async def test_the_body_is_not_readable_in_the_database(
    inside: Inside, sqs: Client, tmp_path: Path
) -> None:
    url = await make_queue(sqs)
    await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="a-secret-of-many-words")
    files = [file for file in (tmp_path / "data").rglob("*") if file.is_file()]
    assert not any(b"a-secret-of-many-words" in file.read_bytes() for file in files)
    plain = await make_queue(sqs, "plain", SqsManagedSseEnabled="false")
    await sqs.ask("sqs", "SendMessage", QueueUrl=plain, MessageBody="not-a-secret-of-any-kind")
    files = [file for file in (tmp_path / "data").rglob("*") if file.is_file()]
    assert any(b"not-a-secret-of-any-kind" in file.read_bytes() for file in files)


async def test_a_long_poll_ends_with_the_message_it_waits_for(inside: Inside, sqs: Client) -> None:
    url = await make_queue(sqs)
    waiting = asyncio.create_task(receive(sqs, url, WaitTimeSeconds=20))
    await until_waiting(inside)
    await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="now")
    async with asyncio.timeout(10):
        [message] = await waiting
    assert message["Body"] == "now"


async def test_a_long_poll_that_is_left_lets_go_of_its_place(inside: Inside, sqs: Client) -> None:
    url = await make_queue(sqs)
    waiting = asyncio.create_task(receive(sqs, url, WaitTimeSeconds=20))
    await until_waiting(inside)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert inside.deployment.records.queues.waiting == 0


async def test_a_long_poll_sees_a_delayed_message_when_it_is_due(sqs: Client) -> None:
    url = await make_queue(sqs)
    await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="later", DelaySeconds=1)
    assert await receive(sqs, url) == []
    [message] = await receive(sqs, url, WaitTimeSeconds=20)
    assert message["Body"] == "later"


async def test_after_too_many_receives_it_is_a_dead_letter(sqs: Client) -> None:
    dead = await make_queue(sqs, "dead")
    redrive = f'{{"deadLetterTargetArn":"{arn("dead")}","maxReceiveCount":"1"}}'
    url = await make_queue(sqs, VisibilityTimeout="0", RedrivePolicy=redrive)
    await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="poison")
    assert await bodies(sqs, url) == ["poison"]
    assert await bodies(sqs, url) == []
    [message] = await receive(sqs, dead, AttributeNames=["All"])
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == arn("jobs")
    sources = await sqs.ask("sqs", "ListDeadLetterSourceQueues", QueueUrl=dead)
    assert sources["queueUrls"] == [url]


async def test_batches_answer_each_entry(sqs: Client) -> None:
    url = await make_queue(sqs)
    sent = await sqs.ask(
        "sqs",
        "SendMessageBatch",
        QueueUrl=url,
        Entries=[
            {"Id": "a", "MessageBody": "one"},
            {"Id": "b", "MessageBody": "two", "DelaySeconds": 901},
            {"Id": "c", "MessageBody": "three"},
        ],
    )
    assert [entry["Id"] for entry in sent["Successful"]] == ["a", "c"]
    assert sent["Failed"][0]["Code"] == "InvalidParameterValue"
    assert sent["Failed"][0]["SenderFault"] is True
    held = await receive(sqs, url, MaxNumberOfMessages=10)
    entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(held)]
    changes = [{**entry, "VisibilityTimeout": 0} for entry in entries]
    await sqs.ask("sqs", "ChangeMessageVisibilityBatch", QueueUrl=url, Entries=changes)
    assert sorted(await bodies(sqs, url)) == ["one", "three"]


async def test_a_receipt_of_an_earlier_turn_deletes_nothing(sqs: Client) -> None:
    url = await make_queue(sqs, VisibilityTimeout="0")
    await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="held by another")
    [first] = await receive(sqs, url)
    [second] = await receive(sqs, url)
    await sqs.ask("sqs", "DeleteMessage", QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    [third] = await receive(sqs, url)
    await sqs.ask("sqs", "DeleteMessage", QueueUrl=url, ReceiptHandle=third["ReceiptHandle"])
    assert await receive(sqs, url) == []
    assert second["MessageId"] == third["MessageId"]


async def test_a_purged_queue_is_empty(sqs: Client) -> None:
    url = await make_queue(sqs)
    await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="x")
    await sqs.ask("sqs", "PurgeQueue", QueueUrl=url)
    assert await receive(sqs, url) == []


async def test_a_deleted_queue_is_not_there_and_a_new_one_of_its_name_is_empty(
    sqs: Client,
) -> None:
    url = await make_queue(sqs)
    await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="x")
    await sqs.ask("sqs", "DeleteQueue", QueueUrl=url)
    with pytest.raises(ClientError) as caught:
        await receive(sqs, url)
    assert (
        cast(Any, caught.value).response["Error"]["Code"]
        == "AWS.SimpleQueueService.NonExistentQueue"
    )
    await make_queue(sqs)
    assert await receive(sqs, url) == []


async def test_fifo_gives_each_group_in_order_and_one_holder_at_a_time(sqs: Client) -> None:
    url = await make_queue(sqs, "jobs.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    numbers: list[int] = []
    for group, body in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")]:
        sent = await sqs.ask(
            "sqs", "SendMessage", QueueUrl=url, MessageBody=body, MessageGroupId=group
        )
        numbers.append(int(sent["SequenceNumber"]))
    assert numbers == sorted(numbers)
    [first] = await receive(sqs, url)
    assert first["Body"] == "a1"
    # The rest of group a waits for its holder.
    assert await bodies(sqs, url) == ["b1"]
    await sqs.ask("sqs", "DeleteMessage", QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert await bodies(sqs, url) == ["a2", "a3"]


async def test_fifo_takes_the_same_message_once_in_five_minutes_even_when_deleted(
    sqs: Client,
) -> None:
    url = await make_queue(sqs, "jobs.fifo", FifoQueue="true")
    message = {"MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "once"}
    first = await sqs.ask("sqs", "SendMessage", QueueUrl=url, **message)
    [held] = await receive(sqs, url)
    await sqs.ask("sqs", "DeleteMessage", QueueUrl=url, ReceiptHandle=held["ReceiptHandle"])
    second = await sqs.ask("sqs", "SendMessage", QueueUrl=url, **message)
    assert second["MessageId"] == first["MessageId"]
    assert second["SequenceNumber"] == first["SequenceNumber"]
    assert await receive(sqs, url) == []


async def test_a_kms_key_seals_bodies_and_whoever_may_not_use_it_reads_nothing(
    inside: Inside, sqs: Client
) -> None:
    key = (await sqs.ask("kms", "CreateKey"))["KeyMetadata"]["KeyId"]
    url = await make_queue(sqs, KmsMasterKeyId=key)
    await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="sealed")
    policy = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:*","Resource":"*"}]}'
    )
    reader = inside.client(await inside.user(ACCOUNT, "reader", policy))
    with pytest.raises(ClientError) as caught:
        await receive(reader, url)
    assert cast(Any, caught.value).response["Error"]["Code"] == "KMS.AccessDeniedException"
    # Whoever could not read it has not received it.
    [message] = await receive(sqs, url, AttributeNames=["ApproximateReceiveCount"])
    assert message["Body"] == "sealed"
    assert message["Attributes"] == {"ApproximateReceiveCount": "1"}


async def test_the_default_kms_key_of_sqs_is_made_on_first_use(sqs: Client) -> None:
    url = await make_queue(sqs, KmsMasterKeyId="alias/aws/sqs")
    await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="sealed")
    assert await bodies(sqs, url) == ["sealed"]


async def test_messages_past_their_retention_are_neither_received_nor_kept(
    inside: Inside, sqs: Client
) -> None:
    url = await make_queue(sqs, MessageRetentionPeriod="60")
    await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="old")
    await age_messages(inside, 61_000)
    assert await receive(sqs, url) == []
    await inside.deployment.records.queues.prune()
    assert await count_rows(inside) == 0


async def age_messages(inside: Inside, by_ms: int) -> None:
    async with inside.deployment.state.stores.resources.writing() as transaction:
        await transaction.connection.execute(
            queue_messages.update().values(sent_at_ms=queue_messages.c.sent_at_ms - by_ms)
        )


async def count_rows(inside: Inside) -> int:
    async with inside.deployment.state.stores.resources.reading() as view:
        count = await view.connection.scalar(sa.select(sa.func.count()).select_from(queue_messages))
    return int(count or 0)


async def until_waiting(inside: Inside) -> None:
    hub = inside.deployment.records.queues
    async with asyncio.timeout(10):
        await hub.has_waiting.wait()


@pytest.mark.parametrize(
    ("name", "attributes", "code"),
    [
        ("jobs", {}, "InvalidParameterValue"),
        ("jobs.fifo", {"FifoQueue": "true"}, "AWS.SimpleQueueService.UnsupportedOperation"),
    ],
)
async def test_an_attempt_id_is_refused_not_ignored(
    sqs: Client, name: str, attributes: dict[str, str], code: str
) -> None:
    url = await make_queue(sqs, name, **attributes)
    with pytest.raises(ClientError) as caught:
        await receive(sqs, url, ReceiveRequestAttemptId="a")
    assert cast(Any, caught.value).response["Error"]["Code"] == code


@pytest.mark.parametrize(
    "policy",
    [
        "x",
        "[]",
        "{}",
        '{"deadLetterTargetArn": 1, "maxReceiveCount": 1}',
        '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:no", "maxReceiveCount": 1}',
        '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:no", "maxReceiveCount": 0}',
        '{"deadLetterTargetArn": "x", "maxReceiveCount": 1}',
        "[" * 100_000,
    ],
)
async def test_a_redrive_policy_that_leads_nowhere_is_refused(sqs: Client, policy: str) -> None:
    with pytest.raises(ClientError) as caught:
        await make_queue(sqs, RedrivePolicy=policy)
    assert cast(Any, caught.value).response["Error"]["Code"] == "InvalidParameterValue"


@pytest.mark.parametrize("parameter", ["AttributeNames", "MessageSystemAttributeNames"])
async def test_an_attribute_that_no_message_has_is_refused_by_its_name(
    sqs: Client, parameter: str
) -> None:
    url = await make_queue(sqs)
    with pytest.raises(ClientError, match=r"Unknown Attribute Nothing\."):
        await receive(sqs, url, **{parameter: ["SenderId", "Nothing"]})
    assert await receive(sqs, url, AttributeNames=["VisibilityTimeout", "SenderId"]) == []


async def test_a_count_of_receives_is_not_read_by_its_beginning(sqs: Client) -> None:
    await make_queue(sqs, "dead")
    policy = f'{{"deadLetterTargetArn": "{arn("dead")}", "maxReceiveCount": "000000001000000"}}'
    with pytest.raises(ClientError, match="Invalid value for maxReceiveCount: 000000001000000"):
        await make_queue(sqs, RedrivePolicy=policy)
