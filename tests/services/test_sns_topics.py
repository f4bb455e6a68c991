"""Topics: their attributes, policies, tags, subscriptions to queues, and who may do what."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from in_process import Client, Keys
from notified_endpoints import http_listener
from notified_topics import QUEUE, TOPIC, Topics, query_of, running_topics
from running_gateways import ACCOUNT
from statements import OTHER, allow, document

from outcrop.stores.tables import jobs
from outcrop.stores.topic_records import Subscription


@pytest.fixture
async def topics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Topics]:
    async with running_topics(tmp_path, monkeypatch, OTHER) as topics:
        yield topics


async def stranger(topics: Topics) -> Client:
    stores = topics.inside.deployment.state.stores
    root = await stores.identities.get_user(OTHER, "root")
    return topics.inside.client(Keys.of(await stores.keys.create_access_key(root)))


async def user(topics: Topics, *actions: str) -> Client:
    policy = document(allow(list(actions))) if actions else None
    return topics.inside.client(await topics.inside.user(ACCOUNT, "ann", policy))


async def test_a_topic_has_the_policy_that_aws_writes(topics: Topics) -> None:
    found = (await topics.ask("GetTopicAttributes", TopicArn=TOPIC))["Attributes"]
    (statement,) = json.loads(found["Policy"])["Statement"]
    assert statement["Condition"] == {"StringEquals": {"AWS:SourceOwner": ACCOUNT}}
    assert statement["Resource"] == TOPIC
    assert (found["Owner"], found["SubscriptionsConfirmed"]) == (ACCOUNT, "0")


async def test_a_topic_is_made_once(topics: Topics) -> None:
    again = await topics.ask("CreateTopic", Name="alerts")
    assert again["TopicArn"] == TOPIC
    with pytest.raises(ClientError, match="Topic already exists with different attributes"):
        await topics.ask("CreateTopic", Name="alerts", Attributes={"DisplayName": "x"})
    listed = await topics.ask("ListTopics")
    assert listed["Topics"] == [{"TopicArn": TOPIC}]
    await topics.ask("DeleteTopic", TopicArn=TOPIC)
    await topics.ask("DeleteTopic", TopicArn=TOPIC)
    assert (await topics.ask("ListTopics"))["Topics"] == []


@pytest.mark.parametrize(
    ("operation", "params", "said"),
    [
        ("CreateTopic", {"Name": "a.fifo"}, "FIFO topics are not supported by Outcrop"),
        ("CreateTopic", {"Name": "a b"}, "Topic Name"),
        (
            "CreateTopic",
            {"Name": "a", "Attributes": {"TracingConfig": "Active"}},
            "not supported by Outcrop",
        ),
        (
            "CreateTopic",
            {"Name": "a", "Attributes": {"HTTPSuccessFeedbackRoleArn": "x"}},
            "HTTPSuccessFeedbackRoleArn is not supported by Outcrop",
        ),
        (
            "Subscribe",
            {"TopicArn": TOPIC, "Protocol": "lambda", "Endpoint": "x"},
            "Outcrop does not deliver to lambda endpoints",
        ),
        (
            "Subscribe",
            {"TopicArn": TOPIC, "Protocol": "pigeon", "Endpoint": "x"},
            "does not support this protocol string: pigeon",
        ),
        (
            "Subscribe",
            {"TopicArn": TOPIC, "Protocol": "http", "Endpoint": "https://a"},
            "must match the specified protocol",
        ),
        (
            "Subscribe",
            {"TopicArn": TOPIC, "Protocol": "http", "Endpoint": "http://169.254.169.254/"},
            "169.254.169.254 is a link-local address",
        ),
        (
            "SetTopicAttributes",
            {
                "TopicArn": TOPIC,
                "AttributeName": "DeliveryPolicy",
                "AttributeValue": '{"http":{"defaultThrottlePolicy":{"maxReceivesPerSecond":1}}}',
            },
            "defaultThrottlePolicy is not supported by Outcrop",
        ),
        (
            "SetTopicAttributes",
            {"TopicArn": TOPIC, "AttributeName": "Policy", "AttributeValue": "{}"},
            "Policy Error",
        ),
        (
            "Publish",
            {"TopicArn": TOPIC, "Message": "m", "MessageGroupId": "g"},
            "MessageGroupId Reason: it is of FIFO topics",
        ),
    ],
)
async def test_what_is_not_there_is_refused_by_name(
    operation: str, params: dict[str, Any], said: str, topics: Topics
) -> None:
    with pytest.raises(ClientError, match=said) as caught:
        await topics.ask(operation, **params)
    answer: Any = caught.value.response
    assert answer["Error"]["Code"] == "InvalidParameter"


async def test_tags_are_kept_and_taken_off(topics: Topics) -> None:
    tags = [{"Key": "team", "Value": "a"}, {"Key": "tier", "Value": "b"}]
    await topics.ask("TagResource", ResourceArn=TOPIC, Tags=tags)
    await topics.ask("UntagResource", ResourceArn=TOPIC, TagKeys=["tier"])
    found = await topics.ask("ListTagsForResource", ResourceArn=TOPIC)
    assert found["Tags"] == tags[:1]
    with pytest.raises(ClientError, match="Resource does not exist"):
        await topics.ask("ListTagsForResource", ResourceArn=f"{TOPIC}2")


async def test_a_message_comes_to_a_queue_whose_policy_lets_the_topic_send(
    topics: Topics,
) -> None:
    url = await topics.queue()
    await topics.queue("closed", allows=False)
    await topics.subscribe("sqs", QUEUE)
    dead = json.dumps({"deadLetterTargetArn": QUEUE})
    await topics.subscribe("sqs", QUEUE.replace(":q", ":closed"), RedrivePolicy=dead)
    message_id = await topics.publish("it", Subject="s")
    got: list[dict[str, Any]] = []
    while len(got) < 2:
        got += await topics.receive(url)
    bodies = [json.loads(each["Body"]) for each in got]
    assert [each["MessageId"] for each in bodies] == [message_id] * 2
    assert all([await topics.is_signed(each) for each in bodies])
    (refused,) = [each for each in got if each.get("MessageAttributes")]
    said = refused["MessageAttributes"]["ErrorMessage"]["StringValue"]
    assert "is not authorized to perform: sqs:SendMessage" in said


async def test_a_raw_message_keeps_its_attributes_in_a_queue(topics: Topics) -> None:
    url = await topics.queue()
    await topics.subscribe("sqs", QUEUE, RawMessageDelivery="true")
    given = {
        "kind": {"DataType": "String", "StringValue": "a"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    await topics.publish("it", MessageAttributes=given)
    (got,) = await topics.receive(url)
    assert got["Body"] == "it"
    assert got["MessageAttributes"] == given


async def test_a_batch_is_published_message_by_message(topics: Topics) -> None:
    url = await topics.queue()
    await topics.subscribe("sqs", QUEUE, RawMessageDelivery="true")
    entries = [{"Id": "a", "Message": "1"}, {"Id": "b", "Message": ""}, {"Id": "c", "Message": "3"}]
    answer = await topics.ask("PublishBatch", TopicArn=TOPIC, PublishBatchRequestEntries=entries)
    assert [each["Id"] for each in answer["Successful"]] == ["a", "c"]
    assert [(each["Id"], each["Code"]) for each in answer["Failed"]] == [("b", "InvalidParameter")]
    got: list[str] = []
    while len(got) < 2:
        got += [each["Body"] for each in await topics.receive(url)]
    assert sorted(got) == ["1", "3"]


async def test_only_what_passes_its_filter_comes_to_a_subscription(topics: Topics) -> None:
    url = await topics.queue()
    policy = {"detail": {"status": [{"prefix": "Fail"}]}}
    arn = await topics.subscribe(
        "sqs",
        QUEUE,
        RawMessageDelivery="true",
        FilterPolicyScope="MessageBody",
        FilterPolicy=json.dumps(policy),
    )
    found = await topics.attributes_of(arn)
    assert (found["FilterPolicyScope"], found["FilterPolicy"]) == (
        "MessageBody",
        json.dumps(policy),
    )
    for status in ("Completed", "Failed"):
        await topics.publish(json.dumps({"detail": {"status": status}}))
    (got,) = await topics.receive(url)
    assert json.loads(got["Body"]) == {"detail": {"status": "Failed"}}


async def test_subscribing_again_finds_the_subscription_that_is_there(topics: Topics) -> None:
    first = await topics.subscribe("sqs", QUEUE)
    assert await topics.subscribe("sqs", QUEUE) == first
    await topics.ask("DeleteTopic", TopicArn=TOPIC)
    await topics.ask("CreateTopic", Name="alerts")
    assert await topics.subscribe("sqs", QUEUE) != first


async def test_who_does_not_confirm_within_three_days_is_not_subscribed(topics: Topics) -> None:
    async with http_listener() as listener:
        arn = await topics.subscribe("http", listener.url)
        url = (await listener.next()).json["SubscribeURL"]
        resources = topics.inside.deployment.state.stores.resources
        async with resources.reading() as view:
            item = await view.find_arn(Subscription, arn)
        assert item is not None
        ends = item.record.expires_at
        assert ends is not None
        assert timedelta(days=2, hours=23) < ends - datetime.now(UTC) <= timedelta(days=3)
        ended = msgspec.structs.replace(item.record, expires_at=datetime.now(UTC))
        await topics.inside.change(type(item)(ended, item.place, item.parent, item.arn))
        status, body = await topics.visit(url)
        assert (status, b"Invalid parameter: Token" in body) == (400, True)
        assert (await topics.ask("ListSubscriptions"))["Subscriptions"] == []
        assert await topics.subscribe("http", listener.url) != arn


async def test_a_user_publishes_by_its_own_policy_or_by_the_topics(topics: Topics) -> None:
    ann = await user(topics)
    with pytest.raises(ClientError) as caught:
        await ann.ask("sns", "Publish", TopicArn=TOPIC, Message="m")
    answer: Any = caught.value.response
    assert answer["Error"] == {
        "Type": "Sender",
        "Code": "AuthorizationError",
        "Message": f"User: arn:aws:iam::{ACCOUNT}:user/ann is not authorized to perform: "
        f"SNS:Publish on resource: {TOPIC} because no identity-based policy allows the "
        "SNS:Publish action",
    }
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/ann"},
        "Action": "sns:Publish",
        "Resource": TOPIC,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    await topics.ask(
        "SetTopicAttributes", TopicArn=TOPIC, AttributeName="Policy", AttributeValue=policy
    )
    await ann.ask("sns", "Publish", TopicArn=TOPIC, Message="m")


async def test_another_account_publishes_once_it_is_permitted(topics: Topics) -> None:
    client = await stranger(topics)
    for arn in (TOPIC, f"{TOPIC}-missing"):
        with pytest.raises(ClientError, match="AuthorizationError"):
            await client.ask("sns", "Publish", TopicArn=arn, Message="m")
    permission = {"TopicArn": TOPIC, "Label": "theirs"}
    await topics.ask(
        "AddPermission", **permission, AWSAccountId=[OTHER], ActionName=["Publish", "Subscribe"]
    )
    await client.ask("sns", "Publish", TopicArn=TOPIC, Message="m")
    await client.ask(
        "sns",
        "Subscribe",
        TopicArn=TOPIC,
        Protocol="sqs",
        Endpoint=f"arn:aws:sqs:us-east-1:{OTHER}:theirs",
    )
    (theirs,) = (await client.ask("sns", "ListSubscriptions"))["Subscriptions"]
    assert (theirs["Owner"], theirs["TopicArn"]) == (OTHER, TOPIC)
    assert (await topics.ask("ListSubscriptions"))["Subscriptions"] == []
    await topics.ask("RemovePermission", **permission)
    with pytest.raises(ClientError, match="AuthorizationError"):
        await client.ask("sns", "Publish", TopicArn=TOPIC, Message="m")


async def test_the_subscriptions_of_others_are_not_touched(topics: Topics) -> None:
    arn = await topics.subscribe("sqs", QUEUE)
    client = await stranger(topics)
    for operation in ("GetSubscriptionAttributes", "Unsubscribe"):
        with pytest.raises(ClientError, match="AuthorizationError"):
            await client.ask("sns", operation, SubscriptionArn=arn)


async def test_a_policy_may_say_what_is_subscribed(topics: Topics) -> None:
    statement = allow("sns:Subscribe", Condition={"StringLike": {"sns:Endpoint": "*:q"}})
    ann = topics.inside.client(await topics.inside.user(ACCOUNT, "ann", document(statement)))
    params = {"TopicArn": TOPIC, "Protocol": "sqs"}
    await ann.ask("sns", "Subscribe", **params, Endpoint=QUEUE)
    with pytest.raises(ClientError, match="AuthorizationError"):
        await ann.ask("sns", "Subscribe", **params, Endpoint=f"{QUEUE}2")


async def test_messages_of_a_topic_with_a_key_wait_encrypted(topics: Topics) -> None:
    key = (await topics.client.ask("kms", "CreateKey"))["KeyMetadata"]["KeyId"]
    await topics.ask(
        "SetTopicAttributes", TopicArn=TOPIC, AttributeName="KmsMasterKeyId", AttributeValue=key
    )
    ann = await user(topics, "sns:*")
    with pytest.raises(ClientError, match="KMSAccessDenied"):
        await ann.ask("sns", "Publish", TopicArn=TOPIC, Message="m")
    url = await topics.queue()
    await topics.subscribe("sqs", QUEUE, RawMessageDelivery="true")
    await topics.publish("the very secret text")
    (got,) = await topics.receive(url)
    assert got["Body"] == "the very secret text"
    async with topics.inside.deployment.state.stores.database.read() as connection:
        payloads = (await connection.execute(sa.select(jobs.c.payload))).scalars().all()
    assert payloads
    assert not any(b"very secret" in bytes(each) for each in payloads)


async def test_a_message_waits_while_the_key_of_its_topic_is_disabled(topics: Topics) -> None:
    key = (await topics.client.ask("kms", "CreateKey"))["KeyMetadata"]["KeyId"]
    await topics.ask(
        "SetTopicAttributes", TopicArn=TOPIC, AttributeName="KmsMasterKeyId", AttributeValue=key
    )
    async with http_listener() as listener:
        await topics.subscribe("http", listener.url, RawMessageDelivery="true")
        await topics.visit((await listener.next()).json["SubscribeURL"])
        listener.statuses += [503]
        await topics.publish("first try fails")
        await listener.next()
        await topics.client.ask("kms", "DisableKey", KeyId=key)
        with pytest.raises(ClientError, match="KMSDisabled"):
            await topics.publish("not now")
        await topics.client.ask("kms", "EnableKey", KeyId=key)
        assert (await listener.next()).body == b"first try fails"


async def test_the_managed_key_serves_everyone_who_may_publish(topics: Topics) -> None:
    await topics.ask(
        "SetTopicAttributes",
        TopicArn=TOPIC,
        AttributeName="KmsMasterKeyId",
        AttributeValue="alias/aws/sns",
    )
    ann = await user(topics, "sns:Publish")
    url = await topics.queue()
    await topics.subscribe("sqs", QUEUE, RawMessageDelivery="true")
    await ann.ask("sns", "Publish", TopicArn=TOPIC, Message="m")
    assert [each["Body"] for each in await topics.receive(url)] == ["m"]


async def test_a_password_in_an_endpoint_is_not_shown(topics: Topics) -> None:
    async with http_listener() as listener:
        endpoint = listener.url.replace("http://", "http://ann:secret@")
        await topics.subscribe("http", endpoint)
        asked = await listener.next()
        assert asked.headers["Authorization"].startswith("Basic ")
        assert query_of(asked.json["SubscribeURL"])["TopicArn"] == TOPIC
    (listed,) = (await topics.ask("ListSubscriptions"))["Subscriptions"]
    assert listed["Endpoint"] == endpoint.replace("secret", "****")
