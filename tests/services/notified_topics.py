"""A topic in an application in the test's process, whose messages go to endpoints of the test."""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from in_process import ADMIN, HOST, Client, Inside, running_inside, whole
from running_gateways import ACCOUNT

from outcrop.config import Server
from outcrop.stores.tables import jobs
from outcrop.wire.http import Request

URL = f"http://{HOST}"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:alerts"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"


@dataclass
class Topics:
    inside: Inside
    client: Client

    async def ask(self, operation: str, **params: Any) -> dict[str, Any]:
        return await self.client.ask("sns", operation, **params)

    async def subscribe(self, protocol: str, endpoint: str, **attributes: str) -> str:
        made = await self.ask(
            "Subscribe",
            TopicArn=TOPIC,
            Protocol=protocol,
            Endpoint=endpoint,
            Attributes=attributes,
            ReturnSubscriptionArn=True,
        )
        return made["SubscriptionArn"]

    async def publish(self, message: str = "it happened", **more: Any) -> str:
        return (await self.ask("Publish", TopicArn=TOPIC, Message=message, **more))["MessageId"]

    async def attributes_of(self, subscription: str) -> dict[str, str]:
        answer = await self.ask("GetSubscriptionAttributes", SubscriptionArn=subscription)
        return answer["Attributes"]

    async def visit(self, url: str) -> tuple[int, bytes]:
        """Without a signature, as whoever has the link."""
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" == URL
        headers = (("host", parts.netloc),)
        request = Request("GET", parts.path, parts.query, headers, b"", parts.netloc)
        response = await self.inside.app.handle(request)
        return response.status, await whole(response)

    async def queue(self, name: str = "q", *, allows: bool = True) -> str:
        """Its URL."""
        made = await self.client.ask("sqs", "CreateQueue", QueueName=name)
        arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
        if allows:
            statement = {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC}},
            }
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            await self.client.ask(
                "sqs",
                "SetQueueAttributes",
                QueueUrl=made["QueueUrl"],
                Attributes={"Policy": policy},
            )
        return made["QueueUrl"]

    async def receive(self, url: str) -> list[dict[str, Any]]:
        answer = await self.client.ask(
            "sqs",
            "ReceiveMessage",
            QueueUrl=url,
            WaitTimeSeconds=10,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
        )
        return answer.get("Messages", [])

    async def move_clock(self, by: timedelta) -> None:
        """Every delivery that waits is older by this, and due."""
        ms = round(by.total_seconds() * 1000)
        async with self.inside.deployment.state.stores.database.write() as connection:
            aged = sa.update(jobs).values(created_at_ms=jobs.c.created_at_ms - ms, not_before_ms=0)
            await connection.execute(aged.where(jobs.c.kind == "sns:delivery"))
        self.inside.deployment.records.deliveries.wake()

    async def is_signed(self, members: dict[str, Any]) -> bool:
        status, pem = await self.visit(members["SigningCertURL"])
        assert status == 200
        key = x509.load_pem_x509_certificate(pem).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        names = ("Message", "MessageId", "SubscribeURL", "Subject", "Timestamp", "Token")
        text = "".join(
            f"{name}\n{members[name]}\n" for name in (*names, "TopicArn", "Type") if name in members
        )
        # SignatureVersion 1 is SHA-1.
        sha_1 = hashes.SHA1()  # noqa: S303
        digest = sha_1 if members["SignatureVersion"] == "1" else hashes.SHA256()
        signature = base64.b64decode(members["Signature"])
        key.verify(signature, text.encode(), padding.PKCS1v15(), digest)
        return True


@asynccontextmanager
async def running_topics(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *accounts: str, **settings: Any
) -> AsyncGenerator[Topics]:
    server = Server(port=0, public_url=URL)
    async with running_inside(folder, monkeypatch, *accounts, server=server, **settings) as inside:
        topics = Topics(inside, inside.client(ADMIN))
        await topics.ask("CreateTopic", Name="alerts")
        yield topics


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
