"""SQS through boto3 against a server that is killed: what was answered is there afterwards."""

import signal
import threading
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from running_gateways import SCRIPTED, start_gateway


def test_what_was_sent_is_received_after_kill_9_and_what_was_deleted_is_not(
    tmp_path: Path,
) -> None:
    gateway = start_gateway(tmp_path, SCRIPTED)
    sqs: Any = gateway.client("sqs")
    url = sqs.create_queue(QueueName="jobs", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    attributes = {"kind": {"DataType": "String", "StringValue": "test"}}
    sqs.send_message(QueueUrl=url, MessageBody="done", MessageAttributes=attributes)
    [done] = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=done["ReceiptHandle"])
    answered: list[str] = []
    has_sent = threading.Event()

    def send() -> None:
        try:
            for number in range(100_000):
                body = str(number)
                sqs.send_message(QueueUrl=url, MessageBody=body)
                answered.append(body)
                if number == 20:
                    has_sent.set()
        except (BotoCoreError, ClientError):
            return

    sender = threading.Thread(target=send)
    sender.start()
    assert has_sent.wait(60)
    gateway.process.send_signal(signal.SIGKILL)
    gateway.process.wait()
    sender.join()

    gateway = start_gateway(tmp_path, SCRIPTED)
    try:
        again: Any = gateway.client("sqs")
        url = again.get_queue_url(QueueName="jobs")["QueueUrl"]
        received: list[str] = []
        params = {"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 600}
        while messages := again.receive_message(**params).get("Messages"):
            received += [message["Body"] for message in messages]
        # The last one may have been written and not answered; retries may write it twice.
        assert received[: len(answered)] == answered
        assert "done" not in received
    finally:
        gateway.stop()
