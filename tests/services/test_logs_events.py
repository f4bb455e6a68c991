"""Log groups, streams and events, as their clients see them."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from in_process import Client, Inside
from log_requests import GROUP, STREAM, events_of, make_stream, now_ms, put, refusal
from running_gateways import ACCOUNT
from statements import OTHER

from outcrop.logs.retention import DAY_MS, Retention
from outcrop.stores.account_removal import remove_account
from outcrop.stores.tables import log_events, log_streams

ERRORS = Path(__file__).resolve().parents[2] / "../shared/aws-errors.jsonl"


async def test_what_was_put_is_read_in_its_order(admin: Client) -> None:
    await make_stream(admin)
    await put(admin, "first", "second")
    assert await events_of(admin, startFromHead=True) == ["first", "second"]
    found = await admin.ask("logs", "FilterLogEvents", logGroupName=GROUP, filterPattern="second")
    assert [each["message"] for each in found["events"]] == ["second"]
    assert found["events"][0]["logStreamName"] == STREAM


async def test_tokens_lead_forward_and_back_through_a_stream(admin: Client) -> None:
    await make_stream(admin)
    await put(admin, *map(str, range(10)))
    page = {"logGroupName": GROUP, "logStreamName": STREAM, "limit": 4}
    first = await admin.ask("logs", "GetLogEvents", startFromHead=True, **page)
    second = await admin.ask("logs", "GetLogEvents", nextToken=first["nextForwardToken"], **page)
    back = await admin.ask("logs", "GetLogEvents", nextToken=second["nextBackwardToken"], **page)
    assert [each["message"] for each in first["events"]] == ["0", "1", "2", "3"]
    assert [each["message"] for each in second["events"]] == ["4", "5", "6", "7"]
    assert back["events"] == first["events"]


async def test_the_end_of_a_stream_gives_back_the_token_until_more_comes(admin: Client) -> None:
    await make_stream(admin)
    await put(admin, "one")
    page = {"logGroupName": GROUP, "logStreamName": STREAM}
    first = await admin.ask("logs", "GetLogEvents", startFromHead=True, **page)
    token = first["nextForwardToken"]
    end = await admin.ask("logs", "GetLogEvents", nextToken=token, **page)
    assert end["events"] == []
    assert end["nextForwardToken"] == token
    await put(admin, "two", at=now_ms() + 1000)
    later = await admin.ask("logs", "GetLogEvents", nextToken=token, **page)
    assert [each["message"] for each in later["events"]] == ["two"]


async def test_the_latest_events_come_first_without_a_token(admin: Client) -> None:
    await make_stream(admin)
    await put(admin, *map(str, range(5)))
    assert await events_of(admin, limit=2) == ["3", "4"]


async def test_a_search_goes_on_where_its_page_ended(admin: Client) -> None:
    await make_stream(admin)
    await put(admin, *(f"{'odd' if i % 2 else 'even'} {i}" for i in range(20)))
    asked: dict[str, Any] = {"logGroupName": GROUP, "filterPattern": "odd", "limit": 3}
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = await admin.ask("logs", "FilterLogEvents", **asked, **token)
        found += [each["message"] for each in page["events"]]
        assert len(page["events"]) <= 3
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert found == [f"odd {i}" for i in range(1, 20, 2)]
    other = await refusal(
        admin, "FilterLogEvents", logGroupName=GROUP, filterPattern="even", **token
    )
    assert other == ("InvalidParameterException", "The specified nextToken is invalid.")


async def test_a_search_is_of_the_streams_and_times_that_it_names(admin: Client) -> None:
    await make_stream(admin)
    await admin.ask("logs", "CreateLogStream", logGroupName=GROUP, logStreamName="two")
    at = now_ms() - 5000
    await put(admin, "a", at=at)
    await put(admin, "b", at=at + 2000, stream="two")

    async def search(**more: Any) -> list[str]:
        found = await admin.ask("logs", "FilterLogEvents", logGroupName=GROUP, **more)
        return [each["message"] for each in found["events"]]

    assert await search() == ["a", "b"]
    assert await search(logStreamNames=["two"]) == ["b"]
    assert await search(logStreamNamePrefix="on") == ["a"]
    assert await search(startTime=at + 1) == ["b"]
    assert await search(endTime=at + 2000) == ["a"]
    assert await search(startFromHead=False) == ["b", "a"]


async def test_events_of_the_wrong_time_are_refused_one_by_one(admin: Client) -> None:
    await make_stream(admin)
    now = now_ms()
    answer = await put(admin, "old", at=now - 15 * DAY_MS)
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    answer = await put(admin, "new", at=now + 3 * 3600 * 1000)
    assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 0}
    await admin.ask("logs", "PutRetentionPolicy", logGroupName=GROUP, retentionInDays=1)
    answer = await put(admin, "expired", at=now - 2 * DAY_MS)
    assert answer["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
    assert await events_of(admin) == []


async def test_a_batch_keeps_the_limits_of_the_service(admin: Client) -> None:
    await make_stream(admin)
    now = now_ms()
    names = {"logGroupName": GROUP, "logStreamName": STREAM}
    large = [{"timestamp": now, "message": "x" * 1_048_551}]
    code, text = await refusal(admin, "PutLogEvents", logEvents=large, **names)
    assert code == "InvalidParameterException"
    assert text == "Upload too large: 1048577 bytes exceeds limit of 1048576"
    wide = [{"timestamp": now - DAY_MS - 1, "message": "a"}, {"timestamp": now, "message": "b"}]
    code, text = await refusal(admin, "PutLogEvents", logEvents=wide, **names)
    assert "cannot span more than 24 hours" in text
    many = [{"timestamp": now, "message": "x"}] * 10_001
    code, text = await refusal(admin, "PutLogEvents", logEvents=many, **names)
    assert code == "InvalidParameterException"
    assert "less than or equal to 10000" in text


async def test_a_sequence_token_of_a_client_is_taken_and_says_nothing(admin: Client) -> None:
    await make_stream(admin)
    await put(admin, "a", sequenceToken="1")
    await put(admin, "b", sequenceToken="1")
    assert await events_of(admin) == ["a", "b"]


async def test_retention_removes_what_is_too_old_and_hides_it_before(
    admin: Client, inside: Inside
) -> None:
    await make_stream(admin)
    now = now_ms()
    await put(admin, "old", at=now - 4 * DAY_MS)
    await put(admin, "new", at=now)
    await admin.ask("logs", "PutRetentionPolicy", logGroupName=GROUP, retentionInDays=3)
    assert await events_of(admin) == ["new"]
    resources = inside.deployment.state.stores.resources
    assert await Retention(resources).prune() == 1
    streams = await admin.ask("logs", "DescribeLogStreams", logGroupName=GROUP)
    assert streams["logStreams"][0]["firstEventTimestamp"] == now
    groups = await admin.ask("logs", "DescribeLogGroups", logGroupNamePrefix=GROUP)
    assert groups["logGroups"][0]["storedBytes"] == len("new") + 26
    assert groups["logGroups"][0]["retentionInDays"] == 3


async def test_a_group_made_anew_has_none_of_the_former_events(
    admin: Client, inside: Inside
) -> None:
    await make_stream(admin)
    await put(admin, "former")
    await admin.ask("logs", "DeleteLogGroup", logGroupName=GROUP)
    await make_stream(admin)
    assert await events_of(admin) == []
    found = await admin.ask("logs", "FilterLogEvents", logGroupName=GROUP)
    assert found["events"] == []
    resources = inside.deployment.state.stores.resources
    assert await Retention(resources).prune() == 1
    async with resources.reading() as view:
        assert await view.connection.scalar(sa.select(sa.func.count(log_events.c.id))) == 0


async def test_a_protected_group_is_not_deleted(admin: Client) -> None:
    await admin.ask("logs", "CreateLogGroup", logGroupName=GROUP, deletionProtectionEnabled=True)
    code, _ = await refusal(admin, "DeleteLogGroup", logGroupName=GROUP)
    assert code == "ValidationException"
    await admin.ask(
        "logs",
        "PutLogGroupDeletionProtection",
        logGroupIdentifier=GROUP,
        deletionProtectionEnabled=False,
    )
    await admin.ask("logs", "DeleteLogGroup", logGroupName=GROUP)


async def test_streams_are_listed_by_name_and_by_their_last_event(admin: Client) -> None:
    await make_stream(admin, name="b")
    for name in ("a", "c"):
        await admin.ask("logs", "CreateLogStream", logGroupName=GROUP, logStreamName=name)
    at = now_ms()
    await put(admin, "1", at=at, stream="c")
    await put(admin, "2", at=at + 1, stream="b")

    async def names(**more: Any) -> list[str]:
        listed: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = await admin.ask(
                "logs", "DescribeLogStreams", logGroupName=GROUP, limit=1, **more, **token
            )
            listed += [each["logStreamName"] for each in page["logStreams"]]
            if "nextToken" not in page:
                return listed
            token = {"nextToken": page["nextToken"]}

    assert await names() == ["a", "b", "c"]
    assert await names(descending=True) == ["c", "b", "a"]
    assert await names(orderBy="LastEventTime", descending=True) == ["b", "c", "a"]
    assert await names(logStreamNamePrefix="b") == ["b"]


async def test_the_answer_of_a_group_has_the_recorded_form(admin: Client) -> None:
    await make_stream(admin)
    (group,) = (await admin.ask("logs", "DescribeLogGroups"))["logGroups"]
    assert group["arn"] == f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{GROUP}:*"
    assert group["metricFilterCount"] == 0
    assert group["storedBytes"] == 0
    (stream,) = (await admin.ask("logs", "DescribeLogStreams", logGroupName=GROUP))["logStreams"]
    assert stream["arn"] == f"{group['arn'].removesuffix('*')}log-stream:{STREAM}"
    assert "firstEventTimestamp" not in stream


async def test_tags_go_by_both_interfaces(admin: Client) -> None:
    await admin.ask("logs", "CreateLogGroup", logGroupName=GROUP, tags={"App": "login"})
    arn = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{GROUP}"
    await admin.ask("logs", "TagResource", resourceArn=arn, tags={"b": "2"})
    await admin.ask("logs", "TagLogGroup", logGroupName=GROUP, tags={"c": "3"})
    await admin.ask("logs", "UntagResource", resourceArn=arn, tagKeys=["b"])
    listed = await admin.ask("logs", "ListTagsForResource", resourceArn=arn)
    assert listed["tags"] == {"App": "login", "c": "3"}
    await admin.ask("logs", "UntagLogGroup", logGroupName=GROUP, tags=["c"])
    listed = await admin.ask("logs", "ListTagsLogGroup", logGroupName=GROUP)
    assert listed["tags"] == {"App": "login"}


X = "X" * 513
RECORDED: dict[str, tuple[str, dict[str, Any]]] = {
    "error-wrong-order": (
        "PutLogEvents",
        {
            "logGroupName": GROUP,
            "logStreamName": STREAM,
            "logEvents": [
                {"timestamp": 1_700_000_000_001, "message": "b"},
                {"timestamp": 1_700_000_000_000, "message": "a"},
            ],
        },
    ),
    "error-invalid-token": (
        "GetLogEvents",
        {"logGroupName": GROUP, "logStreamName": STREAM, "nextToken": "invalid"},
    ),
    "error-limit-exceeded": (
        "GetLogEvents",
        {"logGroupName": GROUP, "logStreamName": STREAM, "limit": 10001},
    ),
    "error-log-group-does-not-exist": ("DescribeLogStreams", {"logGroupName": "none"}),
    "error-invalid-filter-name": (
        "PutMetricFilter",
        {
            "logGroupName": GROUP,
            "filterName": X,
            "filterPattern": "",
            "metricTransformations": [
                {"metricName": "m", "metricNamespace": "n", "metricValue": "1"}
            ],
        },
    ),
    "error-invalid-filter-prefix": ("DescribeMetricFilters", {"filterNamePrefix": X}),
    "error-invalid-metric-name": (
        "DescribeMetricFilters",
        {"metricName": "X" * 256, "metricNamespace": "n"},
    ),
    "error-both-name-and-identifier": (
        "DescribeLogStreams",
        {"logGroupName": GROUP, "logGroupIdentifier": GROUP},
    ),
    "error-filter-not-found": (
        "DeleteSubscriptionFilter",
        {"logGroupName": GROUP, "filterName": "none"},
    ),
    "error-kinesis-not-found": (
        "PutSubscriptionFilter",
        {
            "logGroupName": GROUP,
            "filterName": "f",
            "filterPattern": "",
            "destinationArn": "arn:aws:kinesis:us-east-1:111111111111:stream/none",
        },
    ),
}


def recorded(key: str) -> dict[str, Any]:
    rows = map(msgspec.json.decode, ERRORS.read_bytes().splitlines())
    found = [row for row in rows if row["service"] == "logs" and row["key"] == f"/{key}"]
    return next(row for row in found if "X" * 600 not in row["message"])


@pytest.mark.parametrize("key", RECORDED)
async def test_refusals_are_those_that_were_recorded(admin: Client, key: str) -> None:
    await make_stream(admin)
    operation, params = RECORDED[key]
    row = recorded(key)
    with pytest.raises(ClientError) as caught:
        await admin.ask("logs", operation, **params)
    answer: Any = caught.value.response
    assert answer["Error"]["Code"] == row["code"]
    assert answer["Error"]["Message"] == row["message"]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == row["status"]


async def test_the_eleventh_resource_policy_is_one_too_many(admin: Client) -> None:
    document = msgspec.json.encode(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"Service": "es.amazonaws.com"},
                "Action": "logs:PutLogEvents",
                "Resource": "*",
            },
        }
    ).decode()
    for number in range(10):
        await admin.ask(
            "logs", "PutResourcePolicy", policyName=f"p{number}", policyDocument=document
        )
    refused = await refusal(admin, "PutResourcePolicy", policyName="p10", policyDocument=document)
    assert refused == ("LimitExceededException", "Resource limit exceeded.")
    listed = await admin.ask("logs", "DescribeResourcePolicies", limit=3)
    assert [each["policyName"] for each in listed["resourcePolicies"]] == ["p0", "p1", "p2"]
    await admin.ask("logs", "DeleteResourcePolicy", policyName="p0")
    code, _ = await refusal(admin, "DeleteResourcePolicy", policyName="p0")
    assert code == "ResourceNotFoundException"


async def test_groups_of_other_accounts_and_regions_are_not_seen(
    admin: Client, inside: Inside
) -> None:
    await make_stream(admin)
    keys = await inside.user(OTHER, "reader", FULL)
    other = inside.client(keys)
    assert (await other.ask("logs", "DescribeLogGroups"))["logGroups"] == []
    west = Client(inside.app, admin.keys, region="us-west-2")
    assert (await west.ask("logs", "DescribeLogGroups"))["logGroups"] == []
    code, _ = await refusal(other, "FilterLogEvents", logGroupName=GROUP)
    assert code == "ResourceNotFoundException"


FULL = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}'


async def test_the_events_of_a_removed_account_go_with_it(inside: Inside) -> None:
    client = inside.client(await inside.user(OTHER, "writer", FULL))
    await make_stream(client)
    await put(client, "one")
    await client.ask("logs", "CreateLogStream", logGroupName=GROUP, logStreamName="two")
    await put(client, "two", stream="two")
    await client.ask("logs", "DeleteLogStream", logGroupName=GROUP, logStreamName="two")
    resources = inside.deployment.state.stores.resources
    await remove_account(resources, OTHER, force=True)
    async with resources.reading() as view:
        assert await view.connection.scalar(sa.select(sa.func.count(log_events.c.id))) == 0
        assert await view.connection.scalar(sa.select(sa.func.count(log_streams.c.id))) == 0
