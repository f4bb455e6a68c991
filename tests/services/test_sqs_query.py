"""SQS in the query protocol, as its clients of before 2024 speak it; forms written by hand."""

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode
from xml.etree import ElementTree

import botocore.auth
import botocore.awsrequest
import pytest
from botocore.credentials import Credentials
from in_process import ADMIN, HOST, Client, Inside, as_received, running_inside, whole
from running_gateways import ACCOUNT

_NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as running:
        yield running


async def ask(
    client: Client, action: str, path: str = "/", **fields: str
) -> tuple[int, ElementTree.Element]:
    form = urlencode({"Action": action, "Version": "2012-11-05", **fields})
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = cast(Any, botocore.awsrequest).AWSRequest(
        "POST", f"http://{HOST}{path}", headers=headers, data=form.encode()
    )
    keys = Credentials(client.keys.id, client.keys.secret)
    cast(Any, botocore.auth).SigV4Auth(keys, "sqs", client.region).add_auth(request)
    response = await client.app.handle(as_received(request))
    # Our own answer, not a stranger's.
    return response.status, ElementTree.fromstring(await whole(response))  # noqa: S314


def text(root: ElementTree.Element, path: str) -> str:
    found = root.findtext("/".join(f"{_NAMESPACE}{part}" for part in path.split("/")))
    assert found is not None, ElementTree.tostring(root)
    return found


async def test_a_message_goes_through_in_forms_and_xml(inside: Inside) -> None:
    sqs = inside.client(ADMIN)
    made = {"Attribute.1.Name": "VisibilityTimeout", "Attribute.1.Value": "5", "Tag.1.Key": "team"}
    made |= {"Tag.1.Value": "red", "QueueName": "jobs"}
    status, root = await ask(sqs, "CreateQueue", **made)
    assert (status, root.tag) == (200, f"{_NAMESPACE}CreateQueueResponse")
    url = text(root, "CreateQueueResult/QueueUrl")
    assert url == f"http://{HOST}/{ACCOUNT}/jobs"
    sent = {
        "QueueUrl": url,
        "MessageBody": "hello",
        "MessageAttribute.1.Name": "kind",
        "MessageAttribute.1.Value.DataType": "String",
        "MessageAttribute.1.Value.StringValue": "greeting",
    }
    # Clients send to the queue's own address.
    status, root = await ask(sqs, "SendMessage", f"/{ACCOUNT}/jobs", **sent)
    assert status == 200
    summed = text(root, "SendMessageResult/MD5OfMessageAttributes")
    wanted = {"AttributeName.1": "All", "MessageAttributeName.1": "All", "QueueUrl": url}
    status, root = await ask(sqs, "ReceiveMessage", **wanted)
    message = "ReceiveMessageResult/Message"
    assert text(root, f"{message}/Body") == "hello"
    assert text(root, f"{message}/MessageAttribute/Name") == "kind"
    assert text(root, f"{message}/MessageAttribute/Value/StringValue") == "greeting"
    assert text(root, f"{message}/MD5OfMessageAttributes") == summed
    names = root.findall(f".//{_NAMESPACE}Attribute/{_NAMESPACE}Name")
    assert "SentTimestamp" in [name.text for name in names]
    entry = "DeleteMessageBatchRequestEntry.1"
    handle = text(root, f"{message}/ReceiptHandle")
    batch = {f"{entry}.Id": "a", f"{entry}.ReceiptHandle": handle, "QueueUrl": url}
    status, root = await ask(sqs, "DeleteMessageBatch", **batch)
    result = "DeleteMessageBatchResult/DeleteMessageBatchResultEntry"
    assert text(root, f"{result}/Id") == "a"
    status, root = await ask(sqs, "GetQueueAttributes", **{"AttributeName.1": "All"}, QueueUrl=url)
    assert held(root)["VisibilityTimeout"] == "5"
    status, root = await ask(sqs, "ListQueueTags", QueueUrl=url)
    assert text(root, "ListQueueTagsResult/Tag/Value") == "red"


def held(root: ElementTree.Element) -> Mapping[str, str]:
    pairs = root.findall(f".//{_NAMESPACE}Attribute")
    return {
        one.findtext(f"{_NAMESPACE}Name") or "": one.findtext(f"{_NAMESPACE}Value") or ""
        for one in pairs
    }


async def test_the_codes_are_those_that_older_clients_know(inside: Inside) -> None:
    status, root = await ask(
        inside.client(ADMIN), "SendMessage", QueueUrl=f"http://{HOST}/{ACCOUNT}/no", MessageBody="x"
    )
    # Recorded: test_non_existent_queue, queue-does-not-exist-query.
    assert (status, text(root, "Error/Code"), text(root, "Error/Message")) == (
        400,
        "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue does not exist for this wsdl version.",
    )


async def test_json_names_the_shape_and_the_header_the_older_code(inside: Inside) -> None:
    sqs = inside.client(ADMIN)
    request = sqs.request("sqs", "GetQueueUrl", QueueName="no")
    response = await sqs.app.handle(request)
    assert response.status == 400
    assert response.headers["x-amzn-query-error"] == (
        "AWS.SimpleQueueService.NonExistentQueue;Sender"
    )
    assert await whole(response) == (
        b'{"__type":"com.amazonaws.sqs#QueueDoesNotExist",'
        b'"message":"The specified queue does not exist."}'
    )
