"""The event history: what is asked is found, newest first, in pages, by every attribute."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from in_process import ADMIN, REGION, Client, Inside, Keys
from running_gateways import ACCESS_KEY, ACCOUNT
from statements import OTHER

from outcrop.stores.operator_actions import record_action
from outcrop.stores.resources import Place
from outcrop.stores.tables import now_ms, trail_events
from outcrop.trail.index import TrailRetention


async def lookup(client: Client, **params: Any) -> list[dict[str, Any]]:
    return (await client.ask("cloudtrail", "LookupEvents", **params))["Events"]


async def by(client: Client, key: str, value: str) -> list[str]:
    asked = [{"AttributeKey": key, "AttributeValue": value}]
    return [each["EventName"] for each in await lookup(client, LookupAttributes=asked)]


def told(event: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(event["CloudTrailEvent"])


async def test_a_call_is_found_at_once_newest_first(admin: Client):
    await admin.ask("bedrock", "ListFoundationModels")
    await admin.ask("iam", "CreateUser", UserName="ann")
    await admin.ask("kms", "ListKeys")
    names = [each["EventName"] for each in await lookup(admin)]
    assert names == ["ListKeys", "CreateUser", "ListFoundationModels"]
    # The question itself is found when it has been answered.
    assert (await lookup(admin))[0]["EventName"] == "LookupEvents"


async def test_a_call_of_bedrock_that_is_not_here_is_in_the_history(admin: Client):
    with pytest.raises(ClientError):
        await admin.ask("bedrock", "DeleteImportedModel", modelIdentifier="abcdefghwxyz")
    (event,) = await lookup(admin)
    assert event["EventName"] == "DeleteImportedModel"
    record = told(event)
    assert record["errorCode"] == "NotImplementedException"
    assert record["requestParameters"] == {"modelIdentifier": "abcdefghwxyz"}


async def test_events_are_found_by_every_attribute(admin: Client):
    await admin.ask("bedrock", "ListFoundationModels")
    await admin.ask("iam", "CreateUser", UserName="ann")
    (event,) = [each for each in await lookup(admin) if each["EventName"] == "CreateUser"]
    assert event["ReadOnly"] == "false"
    assert event["AccessKeyId"] == ACCESS_KEY
    assert {"ResourceType": "AWS::IAM::User", "ResourceName": "ann"} in event["Resources"]
    assert told(event)["recipientAccountId"] == ACCOUNT
    assert await by(admin, "EventId", event["EventId"]) == ["CreateUser"]
    assert await by(admin, "EventName", "CreateUser") == ["CreateUser"]
    assert await by(admin, "EventSource", "iam.amazonaws.com") == ["CreateUser"]
    assert await by(admin, "ResourceType", "AWS::IAM::User") == ["CreateUser"]
    assert await by(admin, "ResourceName", "ann") == ["CreateUser"]
    assert await by(admin, "ReadOnly", "false") == ["CreateUser"]
    assert "CreateUser" in await by(admin, "Username", event["Username"])
    assert "CreateUser" in await by(admin, "AccessKeyId", ACCESS_KEY)
    assert await by(admin, "EventName", "DeleteUser") == []


async def test_pages_hold_each_event_once_while_new_ones_come(admin: Client):
    for _ in range(7):
        await admin.ask("bedrock", "ListFoundationModels")
    asked: dict[str, Any] = {
        "LookupAttributes": [
            {"AttributeKey": "EventName", "AttributeValue": "ListFoundationModels"}
        ],
        "MaxResults": 3,
    }
    pages = [await admin.ask("cloudtrail", "LookupEvents", **asked)]
    while "NextToken" in pages[-1]:
        await admin.ask("bedrock", "ListFoundationModels")
        token = pages[-1]["NextToken"]
        pages.append(await admin.ask("cloudtrail", "LookupEvents", **asked, NextToken=token))
    sizes = [len(page["Events"]) for page in pages]
    assert sizes == [3, 3, 1]
    assert len({each["EventId"] for page in pages for each in page["Events"]}) == 7


async def test_times_bound_what_is_found(admin: Client):
    await admin.ask("bedrock", "ListFoundationModels")
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    assert len(await lookup(admin, StartTime=now - hour, EndTime=now + hour)) == 1
    assert await lookup(admin, StartTime=now + hour) == []
    assert await lookup(admin, EndTime=now - hour) == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"NextToken": "00"}, "InvalidNextTokenException"),
        ({"NextToken": "zz"}, "InvalidNextTokenException"),
        ({"EventCategory": "insight"}, "InvalidEventCategoryException"),
        (
            {"LookupAttributes": [{"AttributeKey": "ReadOnly", "AttributeValue": "maybe"}]},
            "InvalidLookupAttributesException",
        ),
        (
            {
                "LookupAttributes": [
                    {"AttributeKey": "EventName", "AttributeValue": "a"},
                    {"AttributeKey": "EventId", "AttributeValue": "b"},
                ]
            },
            "InvalidLookupAttributesException",
        ),
        (
            {
                "StartTime": datetime(2026, 1, 2, tzinfo=UTC),
                "EndTime": datetime(2026, 1, 1, tzinfo=UTC),
            },
            "InvalidTimeRangeException",
        ),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    admin: Client, params: Mapping[str, Any], code: str
):
    with pytest.raises(ClientError) as caught:
        await lookup(admin, **params)
    assert caught.value.response.get("Error", {}).get("Code") == code


async def test_who_was_denied_is_found_with_the_error(inside: Inside, admin: Client):
    nobody = inside.client(await inside.user(ACCOUNT, "nobody"))
    with pytest.raises(ClientError):
        await nobody.ask("bedrock-runtime", "InvokeModel", modelId="amazon.titan-x", body=b"{}")
    (event,) = [each for each in await lookup(admin) if each.get("Username") == "nobody"]
    record = told(event)
    assert record["errorCode"] == "AccessDenied"
    assert "bedrock:InvokeModel" in record["errorMessage"]
    assert record["requestParameters"] == {"modelId": "amazon.titan-x"}


async def test_accounts_and_regions_see_their_own_events(inside: Inside, admin: Client):
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    full = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    other = inside.client(await inside.user(OTHER, "them", full))
    await admin.ask("bedrock", "ListFoundationModels")
    assert await lookup(other) == []
    west = Client(inside.app, ADMIN, region="us-west-2")
    assert await lookup(west) == []
    await west.ask("iam", "ListUsers")
    assert "ListUsers" in [each["EventName"] for each in await lookup(admin)]


async def test_the_owner_of_a_role_is_told_who_of_elsewhere_took_it(inside: Inside, admin: Client):
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
            ],
        }
    )
    arn = await inside.role(OTHER, "open", trust)
    taken = await admin.ask("sts", "AssumeRole", RoleArn=arn, RoleSessionName="me")
    assert Keys.answered(taken).token
    allowed = {"Effect": "Allow", "Action": "cloudtrail:LookupEvents", "Resource": "*"}
    reader = inside.client(
        await inside.user(
            OTHER, "reader", json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        )
    )
    (theirs,) = [told(each) for each in await lookup(reader) if each["EventName"] == "AssumeRole"]
    (own,) = [told(each) for each in await lookup(admin) if each["EventName"] == "AssumeRole"]
    assert theirs["sharedEventID"] == own["sharedEventID"]
    assert theirs["eventID"] != own["eventID"]
    assert theirs["recipientAccountId"] == OTHER
    assert theirs["userIdentity"]["type"] == "AWSAccount"
    assert "arn" not in theirs["userIdentity"]


async def test_what_the_operator_did_to_the_account_is_in_its_trail(inside: Inside, admin: Client):
    place = Place(ACCOUNT, REGION, "bedrock/L-1")
    async with inside.deployment.state.stores.resources.writing() as transaction:
        await record_action(transaction, place, "quotas.set", "ada", {"value": "7"})
    (event,) = await lookup(
        admin, LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "quotas.set"}]
    )
    assert (event["Username"], event["EventSource"], event["ReadOnly"]) == (
        "ada",
        "outcrop",
        "false",
    )
    assert event["Resources"][0]["ResourceName"] == "bedrock/L-1"
    assert told(event)["eventID"] == event["EventId"]
    assert told(event)["serviceEventDetails"] == {
        "operator": "ada",
        "resource": "bedrock/L-1",
        "value": "7",
    }


async def test_events_are_removed_when_they_are_too_old(inside: Inside, admin: Client):
    await admin.ask("bedrock", "ListFoundationModels")
    assert len(await lookup(admin)) == 1
    resources = inside.deployment.state.stores.resources
    retention = TrailRetention(resources, 90, lambda: now_ms() + 91 * 24 * 3600 * 1000)
    assert await retention.prune() >= 1
    async with resources.reading() as view:
        count = sa.select(sa.func.count()).select_from(trail_events)
        assert await view.connection.scalar(count) == 0
