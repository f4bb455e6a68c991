"""E-mail endpoints of topics: confirmation, its link, notifications, a server that fails."""

import json
import re
import ssl
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from certificates import write_certificate
from notified_endpoints import SmtpServer, smtp_server
from notified_topics import QUEUE, TOPIC, Topics, running_topics

from outcrop.config import Mail

ADDRESS = "ann@example.test"
LINK = re.compile(r"http://\S+")


def text_of(mail: EmailMessage) -> str:
    content = mail.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


def link_of(mail: EmailMessage) -> str:
    return LINK.findall(text_of(mail))[-1]


@pytest.fixture
async def server() -> AsyncIterator[SmtpServer]:
    async with smtp_server() as server:
        yield server


@pytest.fixture
async def topics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: SmtpServer
) -> AsyncIterator[Topics]:
    mail = Mail(host="127.0.0.1", port=server.port, tls="none", sender="sns@outcrop.test")
    async with running_topics(tmp_path, monkeypatch, mail=mail) as topics:
        yield topics


async def confirmed(topics: Topics, server: SmtpServer, **attributes: str) -> str:
    arn = await topics.subscribe("email", ADDRESS, **attributes)
    status, _ = await topics.visit(link_of(await server.next()))
    assert status == 200
    return arn


async def test_a_subscription_is_confirmed_by_the_link_in_a_mail(
    topics: Topics, server: SmtpServer
) -> None:
    answer = await topics.ask("Subscribe", TopicArn=TOPIC, Protocol="email", Endpoint=ADDRESS)
    assert answer["SubscriptionArn"] == "pending confirmation"
    listed = await topics.ask("ListSubscriptionsByTopic", TopicArn=TOPIC)
    assert listed["Subscriptions"][0]["SubscriptionArn"] == "PendingConfirmation"
    mail = await server.next()
    assert mail["Subject"] == "AWS Notification - Subscription Confirmation"
    assert (mail["To"], mail["From"]) == (ADDRESS, "AWS Notifications <sns@outcrop.test>")
    assert TOPIC in text_of(mail)
    status, body = await topics.visit(link_of(mail))
    arn = re.findall(rb"<SubscriptionArn>(.*)</SubscriptionArn>", body)[0].decode()
    assert status == 200
    listed = await topics.ask("ListSubscriptionsByTopic", TopicArn=TOPIC)
    assert listed["Subscriptions"][0]["SubscriptionArn"] == arn


async def test_a_notification_comes_by_mail_with_a_link_to_end_it(
    topics: Topics, server: SmtpServer
) -> None:
    await confirmed(topics, server)
    await topics.ask(
        "SetTopicAttributes",
        TopicArn=TOPIC,
        AttributeName="DisplayName",
        AttributeValue="Bedrock, jobs",
    )
    await topics.publish("The job failed.\n.\nReally: \u2713", Subject="Job failed")
    mail = await server.next()
    assert mail["Subject"] == "Job failed"
    assert mail["From"] == '"Bedrock, jobs" <sns@outcrop.test>'
    assert text_of(mail).startswith("The job failed.\n.\nReally: \u2713\n")
    await topics.publish("no subject")
    assert (await server.next())["Subject"] == "AWS Notification Message"
    status, _ = await topics.visit(link_of(mail))
    assert status == 200
    assert (await server.next())["Subject"] == "AWS Notification - Unsubscribe Confirmation"
    assert (await topics.ask("ListSubscriptions"))["Subscriptions"] == []


async def test_email_json_has_the_whole_signed_message(topics: Topics, server: SmtpServer) -> None:
    await topics.subscribe("email-json", ADDRESS)
    asked = json.loads(text_of(await server.next()))
    assert await topics.is_signed(asked)
    await topics.visit(asked["SubscribeURL"])
    await topics.publish("it")
    members = json.loads(text_of(await server.next()))
    assert (members["Message"], await topics.is_signed(members)) == ("it", True)


async def test_each_protocol_gets_the_text_that_is_meant_for_it(
    topics: Topics, server: SmtpServer
) -> None:
    await confirmed(topics, server)
    texts = json.dumps({"default": "short", "email": "long", "lambda": 1})
    await topics.publish(texts, MessageStructure="json")
    assert text_of(await server.next()).startswith("long\n")


async def test_no_line_ends_get_into_a_header(topics: Topics) -> None:
    with pytest.raises(ClientError, match="Invalid parameter: Subject"):
        await topics.publish(Subject="a\r\nBcc: eve@example.test")
    for address in ("ann@example.test\nBcc: eve@example.test", "a@b, c@d", "no address", "@"):
        with pytest.raises(ClientError, match="Email address"):
            await topics.subscribe("email", address)
    with pytest.raises(ClientError, match="DisplayName"):
        await topics.ask(
            "SetTopicAttributes",
            TopicArn=TOPIC,
            AttributeName="DisplayName",
            AttributeValue="a\nBcc: eve@example.test",
        )


async def test_an_address_that_the_mail_server_refuses_goes_to_the_dead_letter_queue(
    topics: Topics, server: SmtpServer
) -> None:
    url = await topics.queue()
    await confirmed(topics, server, RedrivePolicy=json.dumps({"deadLetterTargetArn": QUEUE}))
    server.refusal = "550 nobody here"
    await topics.publish()
    (dead,) = await topics.receive(url)
    assert "550 nobody here" in dead["MessageAttributes"]["ErrorMessage"]["StringValue"]


async def test_a_mail_waits_for_a_server_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with smtp_server() as server:
        port = server.port
    mail = Mail(host="127.0.0.1", port=port, tls="none")
    async with running_topics(tmp_path, monkeypatch, mail=mail) as topics:
        await topics.subscribe("email", ADDRESS)
        async with smtp_server(port=port) as server:
            assert (await server.next())["To"] == ADDRESS


async def test_mail_is_sent_over_tls_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    write_certificate(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("SMTP_PASSWORD", "secret")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with smtp_server(context) as server:
        mail = Mail(host="127.0.0.1", port=server.port, tls="starttls")
        async with running_topics(tmp_path, monkeypatch, mail=mail) as topics:
            await topics.subscribe("email", ADDRESS)
            await server.next()
    assert server.secured == 1


async def test_without_a_mail_server_nobody_subscribes_by_mail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_topics(tmp_path, monkeypatch) as topics:
        with pytest.raises(ClientError, match=r"Set \[mail\] in Outcrop's configuration"):
            await topics.subscribe("email", ADDRESS)
