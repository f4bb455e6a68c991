"""HTTP endpoints of topics: asked to confirm, notified, tried again, left."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from notified_endpoints import HttpListener, http_listener
from notified_topics import QUEUE, TOPIC, Topics, query_of, running_topics


@pytest.fixture
async def topics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Topics]:
    async with running_topics(tmp_path, monkeypatch) as topics:
        yield topics


@pytest.fixture
async def listener() -> AsyncIterator[HttpListener]:
    async with http_listener() as listener:
        yield listener


async def confirmed(topics: Topics, listener: HttpListener, **attributes: str) -> str:
    arn = await topics.subscribe("http", f"{listener.url}/hook", **attributes)
    asked = await listener.next()
    status, _ = await topics.visit(asked.json["SubscribeURL"])
    assert status == 200
    return arn


async def test_an_endpoint_is_asked_to_confirm_in_a_signed_message(
    topics: Topics, listener: HttpListener
) -> None:
    arn = await topics.subscribe("http", f"{listener.url}/hook?a=b")
    asked = await listener.next()
    assert asked.path == "/hook?a=b"
    assert asked.headers["x-amz-sns-message-type"] == "SubscriptionConfirmation"
    assert asked.headers["x-amz-sns-topic-arn"] == TOPIC
    assert asked.headers["x-amz-sns-message-id"] == asked.json["MessageId"]
    assert "x-amz-sns-subscription-arn" not in asked.headers
    assert asked.headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert asked.json["Type"] == "SubscriptionConfirmation"
    assert await topics.is_signed(asked.json)
    assert query_of(asked.json["SubscribeURL"])["Token"] == asked.json["Token"]
    assert (await topics.attributes_of(arn))["PendingConfirmation"] == "true"
    status, body = await topics.visit(asked.json["SubscribeURL"])
    assert (status, arn.encode() in body) == (200, True)
    attributes = await topics.attributes_of(arn)
    assert attributes["PendingConfirmation"] == "false"
    assert attributes["ConfirmationWasAuthenticated"] == "false"


async def test_what_is_published_comes_signed_to_a_confirmed_endpoint_only(
    topics: Topics, listener: HttpListener
) -> None:
    await topics.subscribe("http", f"{listener.url}/never")
    await listener.next()
    arn = await confirmed(topics, listener)
    one = {"n": {"DataType": "Number", "StringValue": "1"}}
    message_id = await topics.publish("it's \u2713\nhere", Subject="News", MessageAttributes=one)
    got = await listener.next()
    assert got.path == "/hook"
    assert got.headers["x-amz-sns-message-type"] == "Notification"
    assert got.headers["x-amz-sns-subscription-arn"] == arn
    members = got.json
    assert (members["MessageId"], members["Subject"]) == (message_id, "News")
    assert members["Message"] == "it's \u2713\nhere"
    assert members["MessageAttributes"] == {"n": {"Type": "Number", "Value": "1"}}
    assert await topics.is_signed(members)
    assert listener.posted.empty()


async def test_a_topic_may_sign_by_sha_256(topics: Topics, listener: HttpListener) -> None:
    await topics.ask(
        "SetTopicAttributes",
        TopicArn=TOPIC,
        AttributeName="SignatureVersion",
        AttributeValue="2",
    )
    await topics.subscribe("http", listener.url)
    asked = (await listener.next()).json
    assert asked["SignatureVersion"] == "2"
    assert await topics.is_signed(asked)


async def test_a_raw_message_comes_as_it_is_with_the_type_of_its_policy(
    topics: Topics, listener: HttpListener
) -> None:
    policy = json.dumps({"requestPolicy": {"headerContentType": "application/json"}})
    await confirmed(topics, listener, RawMessageDelivery="true", DeliveryPolicy=policy)
    await topics.publish('{"a": 1}')
    got = await listener.next()
    assert got.body == b'{"a": 1}'
    assert got.headers["x-amz-sns-rawdelivery"] == "true"
    assert got.headers["Content-Type"] == "application/json"


async def test_an_endpoint_that_fails_gets_the_message_later(
    topics: Topics, listener: HttpListener
) -> None:
    await confirmed(topics, listener)
    listener.statuses += [503, 429]
    message_id = await topics.publish()
    got = [(await listener.next()).json["MessageId"] for _ in range(3)]
    assert got == [message_id] * 3


@pytest.mark.parametrize("status", [302, 404])
async def test_a_refusal_for_good_goes_to_the_dead_letter_queue_at_once(
    status: int, topics: Topics, listener: HttpListener
) -> None:
    url = await topics.queue()
    await confirmed(topics, listener, RedrivePolicy=json.dumps({"deadLetterTargetArn": QUEUE}))
    listener.statuses += [status]
    message_id = await topics.publish()
    await listener.next()
    (dead,) = await topics.receive(url)
    assert json.loads(dead["Body"])["MessageId"] == message_id
    said = dead["MessageAttributes"]["ErrorMessage"]["StringValue"]
    assert said == f"The endpoint answered {status}."
    # No redirect was followed.
    assert listener.posted.empty()


async def test_after_a_day_a_message_goes_to_the_dead_letter_queue(
    topics: Topics, listener: HttpListener
) -> None:
    url = await topics.queue()
    await confirmed(topics, listener, RedrivePolicy=json.dumps({"deadLetterTargetArn": QUEUE}))
    listener.statuses += [500] * 100
    message_id = await topics.publish()
    await listener.next()
    await topics.move_clock(timedelta(hours=24))
    (dead,) = await topics.receive(url)
    assert json.loads(dead["Body"])["MessageId"] == message_id


async def test_a_delivery_policy_says_how_often_it_is_tried(
    topics: Topics, listener: HttpListener
) -> None:
    url = await topics.queue()
    retries = {"numRetries": 2, "numNoDelayRetries": 0, "minDelayTarget": 1, "maxDelayTarget": 1}
    await confirmed(
        topics,
        listener,
        DeliveryPolicy=json.dumps({"healthyRetryPolicy": retries}),
        RedrivePolicy=json.dumps({"deadLetterTargetArn": QUEUE}),
    )
    listener.statuses += [500] * 100
    await topics.publish()
    (dead,) = await topics.receive(url)
    assert dead["MessageAttributes"]["RequestID"]
    assert listener.posted.qsize() == 3


async def test_who_has_the_link_ends_a_subscription_and_may_take_it_up_again(
    topics: Topics, listener: HttpListener
) -> None:
    arn = await confirmed(topics, listener)
    await topics.publish()
    status, _ = await topics.visit((await listener.next()).json["UnsubscribeURL"])
    assert status == 200
    told = await listener.next()
    assert told.headers["x-amz-sns-message-type"] == "UnsubscribeConfirmation"
    assert await topics.is_signed(told.json)
    listed = await topics.ask("ListSubscriptionsByTopic", TopicArn=TOPIC)
    assert listed["Subscriptions"] == []
    await topics.publish("to nobody")
    status, _ = await topics.visit(told.json["SubscribeURL"])
    assert status == 200
    await topics.publish("back again")
    assert (await listener.next()).json["Message"] == "back again"
    assert (await topics.attributes_of(arn))["PendingConfirmation"] == "false"


async def test_only_its_owner_ends_a_subscription_confirmed_so(
    topics: Topics, listener: HttpListener
) -> None:
    arn = await topics.subscribe("http", listener.url)
    token = (await listener.next()).json["Token"]
    await topics.ask(
        "ConfirmSubscription", TopicArn=TOPIC, Token=token, AuthenticateOnUnsubscribe="true"
    )
    await topics.publish()
    status, body = await topics.visit((await listener.next()).json["UnsubscribeURL"])
    assert (status, b"AuthorizationError" in body) == (403, True)
    assert (await topics.attributes_of(arn))["ConfirmationWasAuthenticated"] == "true"
    await topics.ask("Unsubscribe", SubscriptionArn=arn)
    assert (await topics.ask("ListSubscriptions"))["Subscriptions"] == []


async def test_no_link_is_taken_with_another_token_or_for_another_topic(
    topics: Topics, listener: HttpListener
) -> None:
    arn = await topics.subscribe("http", listener.url)
    url = (await listener.next()).json["SubscribeURL"]
    token = query_of(url)["Token"]
    other = token[:-1] + ("0" if token[-1] != "0" else "1")
    for changed in (
        url.replace(token, other),
        url.replace(":alerts", ":others"),
        url.replace(token, ""),
    ):
        status, _ = await topics.visit(changed)
        assert status == 400
    assert (await topics.attributes_of(arn))["PendingConfirmation"] == "true"


async def test_no_other_page_is_below_the_path_of_the_certificate(topics: Topics) -> None:
    status, _ = await topics.visit("http://127.0.0.1:4510/_outcrop/sns/other.pem")
    assert status == 404
