"""The refusals of SQS as recorded from AWS: code, status and text."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, Client, Inside, running_inside

_RECORDED = Path(__file__).resolve().parents[2] / "../shared/aws-errors.jsonl"

Ask = Callable[[Client], Awaitable[object]]


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as running:
        yield running


async def queue(sqs: Client, name: str = "jobs", **attributes: str) -> str:
    answer = await sqs.ask("sqs", "CreateQueue", QueueName=name, Attributes=attributes)
    return answer["QueueUrl"]


async def fifo(sqs: Client, **attributes: str) -> str:
    return await queue(sqs, "jobs.fifo", FifoQueue="true", **attributes)


async def no_queue(sqs: Client) -> object:
    url = await queue(sqs)
    await sqs.ask("sqs", "DeleteQueue", QueueUrl=url)
    return await sqs.ask("sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])


def sends(**params: Any) -> Ask:
    async def ask(sqs: Client) -> object:
        url = await queue(sqs)
        return await sqs.ask(
            "sqs", "SendMessage", **{"QueueUrl": url, "MessageBody": "x", **params}
        )

    return ask


async def too_large(sqs: Client) -> object:
    url = await queue(sqs, MaximumMessageSize="1024")
    return await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="a" * 1025)


async def other_attributes(sqs: Client) -> object:
    await fifo(sqs, ContentBasedDeduplication="true")
    return await fifo(sqs, ContentBasedDeduplication="false")


def sends_batch(**entry: str) -> Ask:
    async def ask(sqs: Client) -> object:
        url = await fifo(sqs)
        entries = [{"Id": "a", "MessageBody": "x", **entry}]
        return await sqs.ask("sqs", "SendMessageBatch", QueueUrl=url, Entries=entries)

    return ask


async def becomes_fifo(sqs: Client) -> object:
    url = await queue(sqs)
    changes = {"FifoQueue": "true"}
    return await sqs.ask("sqs", "SetQueueAttributes", QueueUrl=url, Attributes=changes)


async def without_group(sqs: Client) -> object:
    url = await fifo(sqs)
    return await sqs.ask("sqs", "SendMessage", QueueUrl=url, MessageBody="x")


async def purges_twice(sqs: Client) -> object:
    url = await queue(sqs, "queue-name")
    await sqs.ask("sqs", "PurgeQueue", QueueUrl=url)
    return await sqs.ask("sqs", "PurgeQueue", QueueUrl=url)


async def label_again(sqs: Client) -> object:
    url = await queue(sqs)
    for account in ("111122223333", "444455556666"):
        await sqs.ask(
            "sqs",
            "AddPermission",
            QueueUrl=url,
            Label="crossaccountpermission",
            AWSAccountIds=[account],
            Actions=["SendMessage"],
        )
    raise AssertionError("the label was taken twice")


async def no_label(sqs: Client) -> object:
    url = await queue(sqs)
    label = "crossaccountpermission2"
    return await sqs.ask("sqs", "RemovePermission", QueueUrl=url, Label=label)


def makes(**attributes: str) -> Ask:
    return lambda sqs: queue(sqs, **attributes)


async def waits_backwards(sqs: Client) -> object:
    url = await queue(sqs)
    return await sqs.ask("sqs", "ReceiveMessage", QueueUrl=url, WaitTimeSeconds=-1)


async def deletes_too_late(sqs: Client) -> object:
    url = await fifo(sqs, ContentBasedDeduplication="true")
    message = {"MessageBody": "x", "MessageGroupId": "g"}
    await sqs.ask("sqs", "SendMessage", QueueUrl=url, **message)
    answer = await sqs.ask("sqs", "ReceiveMessage", QueueUrl=url, VisibilityTimeout=0)
    handle = answer["Messages"][0]["ReceiptHandle"]
    try:
        return await sqs.ask("sqs", "DeleteMessage", QueueUrl=url, ReceiptHandle=handle)
    except ClientError as error:
        held = cast(Any, error).response["Error"]
        held["Message"] = held.get("Message", "").replace(handle, "<receipt-handle:1>")
        raise


def sends_fifo(deduplication_id: str) -> Ask:
    async def ask(sqs: Client) -> object:
        url = await fifo(sqs)
        return await sqs.ask(
            "sqs",
            "SendMessage",
            QueueUrl=url,
            MessageBody="x",
            MessageGroupId="g",
            MessageDeduplicationId=deduplication_id,
        )

    return ask


_EMPTY = {"ErrorDetails": {"DataType": "String", "StringValue": ""}}

ASKED: dict[tuple[str, str], Ask] = {
    ("test_update_standard_queue_add_properties_with_replacement", "/error"): no_queue,
    ("test_send_oversized_message[sqs]", "/send_oversized_message"): sends(
        MessageBody="a" * (1024 * 1024 + 1)
    ),
    ("test_send_message_with_updated_maximum_message_size[sqs]", "/send_oversized_message"): (
        too_large
    ),
    (
        "test_create_fifo_queue_with_different_attributes_raises_error[sqs]",
        "/queue-already-exists",
    ): other_attributes,
    (
        "test_send_batch_missing_deduplication_id_for_fifo_queue[sqs]",
        "/test_missing_deduplication_id_for_fifo_queue",
    ): sends_batch(MessageGroupId="g"),
    (
        "test_send_batch_missing_message_group_id_for_fifo_queue[sqs]",
        "/test_missing_message_group_id_for_fifo_queue",
    ): sends_batch(MessageDeduplicationId="d"),
    ("test_send_message_with_empty_string_attribute[sqs]", "/empty-string-attr"): sends(
        MessageAttributes=_EMPTY
    ),
    ("test_set_unsupported_attribute_fifo[sqs]", "/invalid-attr-name-1"): becomes_fifo,
    ("test_posting_to_fifo_requires_deduplicationid_group_id[sqs]", "/missing-parameter"): (
        without_group
    ),
    ("test_successive_purge_calls_fail[sqs]", "/purge_queue_error"): purges_twice,
    (
        "test_sqs_permission_lifecycle[sqs]",
        "/get-queue-policy-attribute-second-account-same-label",
    ): label_again,
    (
        "test_sqs_permission_lifecycle[sqs]",
        "/get-queue-policy-attribute-delete-non-existent-label",
    ): no_label,
    (
        "test_create_standard_queue_with_fifo_attribute_raises_error[sqs]",
        "/invalid-attribute-content-based-deduplication",
    ): makes(ContentBasedDeduplication="false"),
    (
        "test_create_standard_queue_with_fifo_attribute_raises_error[sqs]",
        "/invalid-attribute-deduplication-scope",
    ): makes(DeduplicationScope="queue"),
    ("test_send_receive_wait_time_seconds[sqs]", "/recieve_message_error_too_small"): (
        waits_backwards
    ),
    ("test_fifo_delete_after_visibility_timeout[sqs]", "/delete_after_timeout_fifo"): (
        deletes_too_late
    ),
    (
        "test_send_message_to_standard_queue_with_invalid_message_group_id[empty]",
        "/error-response",
    ): sends(MessageGroupId=""),
    (
        "test_send_message_to_standard_queue_with_invalid_message_group_id[too_long]",
        "/error-response",
    ): sends(MessageGroupId="a" * 129),
    ("test_message_deduplication_id_invalid[empty]", "/error-response"): sends_fifo(""),
    ("test_message_deduplication_id_invalid[spaces]", "/error-response"): sends_fifo("group 123"),
}

ELSEWHERE = {
    # In test_sqs_query.py: it is what the query protocol answers.
    "test_non_existent_queue",
    # Message move tasks, which Outcrop does not have.
    "test_source_needs_redrive_policy",
    "test_cancel_with_invalid_source_arn_in_task_handle",
    "test_cancel_with_invalid_task_id_in_task_handle",
    "test_destination_needs_to_exist",
}


def recorded() -> list[dict[str, Any]]:
    rows = [msgspec.json.decode(line) for line in _RECORDED.read_text().splitlines()]
    return [row for row in rows if row["service"] == "sqs" and name_of(row) not in ELSEWHERE]


def name_of(row: dict[str, Any]) -> str:
    return row["test"].rpartition("::")[2]


@pytest.mark.parametrize("row", recorded(), ids=lambda row: f"{name_of(row)}{row['key']}"[-70:])
async def test_a_refusal_is_as_recorded(inside: Inside, row: dict[str, Any]) -> None:
    ask = ASKED[name_of(row), row["key"]]
    with pytest.raises(ClientError) as caught:
        await ask(inside.client(ADMIN))
    found = cast(Any, caught.value).response
    assert (
        found["Error"]["Code"],
        found["ResponseMetadata"]["HTTPStatusCode"],
        found["Error"]["Message"],
    ) == (row["code"], row["status"], row["message"].replace("<queue-name>", "queue-name"))
