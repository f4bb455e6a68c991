"""SNS under requests and endpoints that mean to break it: other messages go on."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from in_process import Keys
from notified_endpoints import HttpListener, http_listener
from notified_topics import QUEUE, TOPIC, Topics, query_of, running_topics

OTHER = "444455556666"
ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'


@pytest.fixture
async def topics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Topics]:
    async with running_topics(tmp_path, monkeypatch, OTHER) as topics:
        yield topics


@pytest.fixture
async def listener() -> AsyncIterator[HttpListener]:
    async with http_listener() as listener:
        yield listener


async def confirmed(topics: Topics, listener: HttpListener, **attributes: str) -> str:
    arn = await topics.subscribe("http", f"{listener.url}/hook", **attributes)
    asked = await listener.next()
    await topics.visit(asked.json["SubscribeURL"])
    return arn


async def test_a_dead_letter_queue_that_takes_nothing_does_not_hold_up_what_follows(
    topics: Topics, listener: HttpListener, caplog: pytest.LogCaptureFixture
) -> None:
    await topics.queue(allows=False)
    redrive = json.dumps({"deadLetterTargetArn": QUEUE})
    await confirmed(topics, listener, RedrivePolicy=redrive, RawMessageDelivery="true")
    listener.statuses = [400]
    await topics.publish("poison")
    assert (await listener.next()).body == b"poison"
    await topics.publish("next")
    assert (await listener.next()).body == b"next"
    # It was tried once.
    await topics.move_clock(timedelta(minutes=5))
    await topics.publish("last")
    assert (await listener.next()).body == b"last"
    assert "its queue too" in caplog.text


@pytest.mark.parametrize("given", [[], {}, 5, None])
async def test_a_content_type_is_a_text(topics: Topics, given: object) -> None:
    policy = json.dumps({"http": {"defaultRequestPolicy": {"headerContentType": given}}})
    with pytest.raises(ClientError, match="headerContentType"):
        await topics.ask(
            "SetTopicAttributes",
            TopicArn=TOPIC,
            AttributeName="DeliveryPolicy",
            AttributeValue=policy,
        )


@pytest.mark.parametrize("http", [[], "", False, 0])
async def test_a_delivery_policy_is_an_object(topics: Topics, http: object) -> None:
    with pytest.raises(ClientError, match="an object was expected"):
        await topics.ask(
            "SetTopicAttributes",
            TopicArn=TOPIC,
            AttributeName="DeliveryPolicy",
            AttributeValue=json.dumps({"http": http}),
        )


async def test_the_owner_of_an_endpoint_confirms_for_a_topic_of_another_account(
    topics: Topics, listener: HttpListener
) -> None:
    """The token shows that it was asked; the topic's policy cannot even name the action."""
    keys: Keys = await topics.inside.user(OTHER, "ann", ALL)
    ann = topics.inside.client(keys)
    arn = await topics.subscribe("http", f"{listener.url}/hook")
    token = query_of((await listener.next()).json["SubscribeURL"])["Token"]
    made = await ann.ask("sns", "ConfirmSubscription", TopicArn=TOPIC, Token=token)
    assert made["SubscriptionArn"] == arn
    # Not so for one whose policy lets no one of that account.
    statement = {
        "Effect": "Deny",
        "Principal": {"AWS": OTHER},
        "Action": "sns:*",
        "Resource": TOPIC,
    }
    await topics.ask(
        "SetTopicAttributes",
        TopicArn=TOPIC,
        AttributeName="Policy",
        AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    with pytest.raises(ClientError, match="explicit deny"):
        await ann.ask("sns", "ConfirmSubscription", TopicArn=TOPIC, Token=token)
    nobody = topics.inside.client(await topics.inside.user(OTHER, "nobody"))
    with pytest.raises(ClientError, match="not authorized to perform: SNS:ConfirmSubscription"):
        await nobody.ask("sns", "ConfirmSubscription", TopicArn=TOPIC, Token=token)
