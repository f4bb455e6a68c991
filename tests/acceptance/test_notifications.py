"""The documents' rule that notifies by SNS and e-mail, as its user sets it up: with the AWS CLI,
a mail server, a link, and a gateway that may be killed in between."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from notified_endpoints import smtp_server
from running_gateways import SCRIPTED, Gateway, start_gateway

AWS = Path(sys.executable).with_name("aws")
MAIL = """
[mail]
host = "127.0.0.1"
port = {port}
tls = "none"
sender = "sns@outcrop.test"
"""
LINK = re.compile(r"http://\S+")


async def aws(gateway: Gateway, *arguments: str) -> Any:
    def ask() -> str:
        done = subprocess.run(
            [str(AWS), *arguments, "--output", "json"],
            env=gateway.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    answer = await asyncio.to_thread(ask)
    return json.loads(answer) if answer else {}


@asynccontextmanager
async def running(folder: Path, port: int) -> AsyncGenerator[Gateway]:
    toml = SCRIPTED + MAIL.format(port=port)
    gateway = await asyncio.to_thread(start_gateway, folder, toml)
    try:
        yield gateway
    finally:
        if gateway.process.poll() is None:
            await asyncio.to_thread(gateway.stop)


def text_of(mail: EmailMessage) -> str:
    content = mail.get_content()
    assert isinstance(content, str)
    return content


async def visit(mail: EmailMessage) -> None:
    link = LINK.findall(text_of(mail))[-1]
    # A link to this machine's own gateway, as a browser follows it.
    with await asyncio.to_thread(urlopen, link) as answer:
        assert answer.status == 200


async def subscribed_topic(gateway: Gateway) -> str:
    made = await aws(gateway, "sns", "create-topic", "--name", "jobs")
    topic = made["TopicArn"]
    await aws(
        *(gateway, "sns", "subscribe", "--topic-arn", topic),
        *("--protocol", "email", "--notification-endpoint", "ann@example.test"),
    )
    return topic


async def test_an_event_comes_as_a_mail_once_the_subscription_is_confirmed(
    tmp_path: Path,
) -> None:
    async with smtp_server() as server, running(tmp_path, server.port) as gateway:
        topic = await subscribed_topic(gateway)
        mail = await server.next()
        assert mail["Subject"] == "AWS Notification - Subscription Confirmation"
        await visit(mail)
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": topic,
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        await aws(
            *(gateway, "sns", "set-topic-attributes", "--topic-arn", topic),
            *("--attribute-name", "Policy", "--attribute-value", policy),
        )
        pattern = json.dumps({"detail": {"status": ["Failed"]}})
        await aws(gateway, "events", "put-rule", "--name", "failed", "--event-pattern", pattern)
        await aws(
            *(gateway, "events", "put-targets", "--rule", "failed"),
            *("--targets", f"Id=mail,Arn={topic}"),
        )
        entries = [
            {"Source": "my.app", "DetailType": "Job", "Detail": json.dumps({"status": status})}
            for status in ("Completed", "Failed")
        ]
        await aws(gateway, "events", "put-events", "--entries", json.dumps(entries))
        mail = await server.next()
        assert mail["Subject"] == "AWS Notification Message"
        assert '"status":"Failed"' in text_of(mail).replace(" ", "")


async def test_a_message_that_was_published_outlives_the_gateway(tmp_path: Path) -> None:
    async with smtp_server() as server, running(tmp_path, server.port) as gateway:
        topic = await subscribed_topic(gateway)
        await visit(await server.next())
    port = server.port
    async with running(tmp_path, port) as gateway:
        # Nobody takes its mail.
        publish = ("sns", "publish", "--topic-arn", topic, "--message", "it happened")
        published = await aws(gateway, *publish)
        assert published["MessageId"]
        gateway.process.kill()
        gateway.process.wait(timeout=60)
    async with smtp_server(port=port) as server, running(tmp_path, port):
        assert text_of(await server.next()).startswith("it happened")
