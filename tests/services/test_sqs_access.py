"""Who may use a queue: its own account by policy of either side, others and services by the queue's
policy alone. Hostile receipts, URLs and policies."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from in_process import ADMIN, HOST, Client, Inside, running_inside
from running_gateways import ACCOUNT

from outcrop.errors import AWSError
from outcrop.services.service_callers import SNS, service_caller
from outcrop.stores.account_removal import remove_account
from outcrop.stores.tables import queue_messages

OTHER = "444455556666"
ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:*","Resource":"*"}]}'
ARN = f"arn:aws:sqs:us-east-1:{ACCOUNT}:jobs"
URL = f"http://{HOST}/{ACCOUNT}/jobs"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:news"


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Inside]:
    async with running_inside(tmp_path, monkeypatch, OTHER) as running:
        await running.client(ADMIN).ask("sqs", "CreateQueue", QueueName="jobs")
        yield running


async def set_policy(inside: Inside, *statements: dict[str, Any]) -> None:
    policy = {"Version": "2012-10-17", "Statement": statements}
    await inside.client(ADMIN).ask(
        "sqs",
        "SetQueueAttributes",
        QueueUrl=URL,
        Attributes={"Policy": msgspec.json.encode(policy).decode()},
    )


async def code_of(client: Client, operation: str, **params: Any) -> str:
    try:
        await client.ask("sqs", operation, QueueUrl=URL, **params)
    except ClientError as error:
        return str(cast(Any, error).response["Error"]["Code"])
    return "allowed"


async def test_a_service_sends_only_for_the_topic_that_the_policy_names(inside: Inside) -> None:
    params = {"QueueUrl": URL, "MessageBody": "x"}
    perform = inside.deployment.records.observing.background.perform
    with pytest.raises(AWSError) as caught:
        await perform(service_caller(SNS, TOPIC), "sqs", "SendMessage", params)
    assert caught.value.code == "AccessDeniedException"
    await set_policy(
        inside,
        {
            "Effect": "Allow",
            "Principal": {"Service": SNS},
            "Action": "sqs:SendMessage",
            "Resource": ARN,
            "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC}},
        },
    )
    await perform(service_caller(SNS, TOPIC), "sqs", "SendMessage", params)
    with pytest.raises(AWSError):
        await perform(service_caller(SNS, f"{TOPIC}2"), "sqs", "SendMessage", params)


async def test_another_account_needs_both_sides(inside: Inside) -> None:
    with_policy = inside.client(await inside.user(OTHER, "with", ALL))
    without = inside.client(await inside.user(OTHER, "without"))
    assert await code_of(with_policy, "SendMessage", MessageBody="x") == "AccessDenied"
    await inside.client(ADMIN).ask(
        "sqs",
        "AddPermission",
        QueueUrl=URL,
        Label="other",
        AWSAccountIds=[OTHER],
        Actions=["SendMessage"],
    )
    assert await code_of(with_policy, "SendMessage", MessageBody="x") == "allowed"
    assert await code_of(without, "SendMessage", MessageBody="x") == "AccessDenied"
    assert await code_of(with_policy, "ReceiveMessage") == "AccessDenied"
    # A batch is a SendMessage, each of its entries.
    entries = [{"Id": "a", "MessageBody": "x"}]
    assert await code_of(with_policy, "SendMessageBatch", Entries=entries) == "allowed"


async def test_what_is_for_the_owner_alone_no_policy_opens(inside: Inside) -> None:
    stranger = inside.client(await inside.user(OTHER, "stranger", ALL))
    everyone = {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": ARN}
    await set_policy(inside, everyone)
    for operation, params in (
        ("DeleteQueue", {}),
        ("SetQueueAttributes", {"Attributes": {"DelaySeconds": "1"}}),
        ("TagQueue", {"Tags": {"a": "b"}}),
        ("ListQueueTags", {}),
        ("RemovePermission", {"Label": "x"}),
    ):
        assert await code_of(stranger, operation, **params) == "AccessDenied"
    assert await code_of(stranger, "GetQueueAttributes") == "allowed"


async def test_a_policy_that_is_none_is_refused(inside: Inside) -> None:
    attributes = {"Policy": '{"Statement": "no"}'}
    code = await code_of(inside.client(ADMIN), "SetQueueAttributes", Attributes=attributes)
    assert code == "InvalidAttributeValue"


async def test_queues_are_listed_for_their_account_and_region_alone(inside: Inside) -> None:
    stranger = inside.client(await inside.user(OTHER, "stranger", ALL))
    assert "QueueUrls" not in await stranger.ask("sqs", "ListQueues")
    elsewhere = Client(inside.app, ADMIN, region="eu-central-1")
    assert "QueueUrls" not in await elsewhere.ask("sqs", "ListQueues")
    mine = await inside.client(ADMIN).ask("sqs", "ListQueues", QueueNamePrefix="jo")
    assert mine["QueueUrls"] == [URL]


@pytest.mark.parametrize(
    "handle", ["", "x", "é", "QUJD", "YXJuOmF3czpzcXM6fDF8MQ==", "\x00", "a" * 100_000]
)
async def test_made_up_receipts_are_refused(inside: Inside, handle: str) -> None:
    admin = inside.client(ADMIN)
    assert await code_of(admin, "DeleteMessage", ReceiptHandle=handle) == "ReceiptHandleIsInvalid"


@pytest.mark.parametrize("url", ["", "jobs", "http://", "http://x/jobs", "http://[", "\x00/\x00"])
async def test_addresses_of_no_queue_are_refused(inside: Inside, url: str) -> None:
    with pytest.raises(ClientError) as caught:
        await inside.client(ADMIN).ask("sqs", "PurgeQueue", QueueUrl=url)
    assert cast(Any, caught.value).response["Error"]["Code"] == "InvalidAddress"


async def test_a_removed_account_takes_its_messages_along(inside: Inside) -> None:
    owner = inside.client(await inside.user(OTHER, "owner", ALL))
    url = (await owner.ask("sqs", "CreateQueue", QueueName="jobs"))["QueueUrl"]
    await owner.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="x")
    await inside.client(ADMIN).ask("sqs", "SendMessage", QueueUrl=URL, MessageBody="kept")
    resources = inside.deployment.state.stores.resources
    await remove_account(resources, OTHER, force=True)
    async with resources.reading() as view:
        rows = list(await view.connection.execute(sa.select(queue_messages.c.queue)))
    assert [row[0] for row in rows] == [ARN]
