"""EventBridge's operations: what AWS was recorded to answer, and who may ask."""

import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from event_worlds import PATTERN, put, queue, queue_arn
from in_process import ADMIN, Client, Inside, running_inside
from running_gateways import ACCOUNT

SHARED = Path(__file__).resolve().parents[2] / "../shared"
ARN = f"arn:aws:events:us-east-1:{ACCOUNT}"
API_KEY: Mapping[str, Any] = {
    "AuthorizationType": "API_KEY",
    "AuthParameters": {"ApiKeyAuthParameters": {"ApiKeyName": "x-key", "ApiKeyValue": "s3cret"}},
}


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as inside:
        yield inside


@pytest.fixture
def client(inside: Inside) -> Client:
    return inside.client(ADMIN)


def recorded(key: str) -> dict[str, Any]:
    rows = map(json.loads, (SHARED / "aws-errors.jsonl").read_text().splitlines())
    return next(row for row in rows if row["service"] == "events" and row["key"] == key)


RECORDED: dict[str, tuple[str, dict[str, Any]]] = {
    "/describe-api-destination-not-found-error": (
        "DescribeApiDestination",
        {"Name": "<destination-name>"},
    ),
    "/create-multiple-event-buses-same-name": ("CreateEventBus", {"Name": "<bus-name>"}),
    "/non-existent-bus-error": ("DescribeEventBus", {"Name": "<custom-event-bus>"}),
    "/missing-key-exception-error": (
        "PutTargets",
        {
            "Rule": "r",
            "Targets": [
                {
                    "Id": "<target-id>",
                    "Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:q",
                    "InputTransformer": {
                        "InputPathsMap": {"a": "$.detail"},
                        "InputTemplate": '"<notdefinedkey>"',
                    },
                }
            ],
        },
    ),
    "/plain-string-payload-exc": (
        "TestEventPattern",
        {"EventPattern": PATTERN, "Event": "plain string"},
    ),
    "/invalid-put-rule": (
        "PutRule",
        {"Name": "r", "ScheduleExpression": "cron(INVALID)"},
    ),
    "/tag_not_existing_resource_error": (
        "TagResource",
        {
            "ResourceARN": f"{ARN}:event-bus/<not-existing-resource-name>",
            "Tags": [{"Key": "k", "Value": "v"}],
        },
    ),
    "/int_nolist_EXC/exception_message": (
        "PutRule",
        {"Name": "r", "EventPattern": '{"int": 42}'},
    ),
}


@pytest.mark.parametrize("key", RECORDED)
async def test_refusals_are_the_recorded_ones(client: Client, key: str) -> None:
    row = recorded(key)
    operation, params = RECORDED[key]
    # Names of the recording are put aside for ones that the patterns of names take.
    named = json.loads(json.dumps(params).replace("<", "").replace(">", ""))
    if key == "/missing-key-exception-error":
        named["Targets"][0]["InputTransformer"]["InputTemplate"] = '"<notdefinedkey>"'
    await client.ask("events", "PutRule", Name="r", EventPattern=PATTERN)
    if operation == "CreateEventBus":
        await client.ask("events", operation, **named)
    with pytest.raises(ClientError) as caught:
        await client.ask("events", operation, **named)
    error: Any = caught.value.response
    assert error["Error"]["Code"] == row["code"]
    assert error["Error"]["Message"] == row["message"].replace("<", "").replace(">", "")
    assert error["ResponseMetadata"]["HTTPStatusCode"] == row["status"]


async def test_rules_are_made_listed_changed_and_deleted(client: Client) -> None:
    made = await client.ask("events", "PutRule", Name="r", EventPattern=PATTERN, Description="d")
    assert made["RuleArn"] == f"{ARN}:rule/r"
    url = await queue(client, "q")
    target = {"Id": "t", "Arn": await queue_arn(client, url)}
    await client.ask("events", "PutTargets", Rule="r", Targets=[target])
    described = await client.ask("events", "DescribeRule", Name="r")
    assert {name: described[name] for name in described if name != "ResponseMetadata"} == {
        "Name": "r",
        "Arn": f"{ARN}:rule/r",
        "EventPattern": PATTERN,
        "State": "ENABLED",
        "Description": "d",
        "EventBusName": "default",
        "CreatedBy": ACCOUNT,
    }
    await client.ask("events", "PutRule", Name="r", EventPattern='{"a":[1]}', State="DISABLED")
    listed = (await client.ask("events", "ListRules", NamePrefix="r"))["Rules"]
    assert [(rule["Name"], rule["State"]) for rule in listed] == [("r", "DISABLED")]
    names = await client.ask("events", "ListRuleNamesByTarget", TargetArn=target["Arn"])
    assert names["RuleNames"] == ["r"]
    targets = await client.ask("events", "ListTargetsByRule", Rule="r")
    assert targets["Targets"] == [target]
    with pytest.raises(ClientError, match=r"Rule can't be deleted since it has targets\."):
        await client.ask("events", "DeleteRule", Name="r", Force=True)
    gone = await client.ask("events", "RemoveTargets", Rule="r", Ids=["t", "unknown"])
    assert [each["TargetId"] for each in gone["FailedEntries"]] == ["unknown"]
    await client.ask("events", "DeleteRule", Name="r")
    with pytest.raises(ClientError, match=r"Rule r does not exist on EventBus default\."):
        await client.ask("events", "DescribeRule", Name="r")


async def test_rules_come_in_pages(client: Client) -> None:
    for at in range(5):
        await client.ask("events", "PutRule", Name=f"r{at}", EventPattern=PATTERN)
    first = await client.ask("events", "ListRules", Limit=3)
    rest = await client.ask("events", "ListRules", Limit=3, NextToken=first["NextToken"])
    names = [rule["Name"] for rule in (*first["Rules"], *rest["Rules"])]
    assert names == [f"r{at}" for at in range(5)]


async def test_a_rule_has_five_targets_at_most(client: Client) -> None:
    await client.ask("events", "PutRule", Name="r", EventPattern=PATTERN)
    arn = await queue_arn(client, await queue(client, "q"))
    targets = [{"Id": str(at), "Arn": arn} for at in range(6)]
    with pytest.raises(ClientError, match="exceeds the maximum number allowed"):
        await client.ask("events", "PutTargets", Rule="r", Targets=targets)


async def test_a_schedule_is_refused_with_what_to_do_instead(client: Client) -> None:
    with pytest.raises(ClientError, match="Outcrop runs no schedules") as caught:
        await client.ask("events", "PutRule", Name="r", ScheduleExpression="rate(5 minutes)")
    assert "ValidationException" in str(caught.value)


@pytest.mark.parametrize(
    ("arn", "code", "said"),
    [
        (
            "arn:aws:lambda:us-east-1:123456789012:function:f",
            "TargetNotConfigured",
            "[services.targets.lambda]",
        ),
        ("arn:aws:redshift:us-east-1:123456789012:cluster:c", "UnsupportedTarget", "cannot send"),
    ],
)
async def test_targets_that_nothing_would_reach_fail_by_themselves(
    client: Client, arn: str, code: str, said: str
) -> None:
    await client.ask("events", "PutRule", Name="r", EventPattern=PATTERN)
    good = {"Id": "good", "Arn": await queue_arn(client, await queue(client, "q"))}
    bad = {"Id": "bad", "Arn": arn}
    answer = await client.ask("events", "PutTargets", Rule="r", Targets=[good, bad])
    assert answer["FailedEntryCount"] == 1
    assert answer["FailedEntries"][0]["TargetId"] == "bad"
    assert answer["FailedEntries"][0]["ErrorCode"] == code
    assert said in answer["FailedEntries"][0]["ErrorMessage"]
    assert (await client.ask("events", "ListTargetsByRule", Rule="r"))["Targets"] == [good]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"RoleArn": "arn:aws:iam::123456789012:role/r"}, "RoleArn is not supported"),
        ({"SqsParameters": {"MessageGroupId": "g"}}, "only FIFO queues"),
        ({"KinesisParameters": {"PartitionKeyPath": "$.id"}}, "nothing of it is sent"),
        ({"DeadLetterConfig": {"Arn": "arn:aws:sns:us-east-1:123456789012:t"}}, "standard SQS"),
        ({"Arn": "arn:aws:sqs:eu-west-1:123456789012:q"}, "not in the region of the rule"),
        ({"Arn": "queue"}, "Provided Arn is not in correct format."),
    ],
)
async def test_what_a_target_would_not_use_is_refused(
    client: Client, target: dict[str, Any], said: str
) -> None:
    await client.ask("events", "PutRule", Name="r", EventPattern=PATTERN)
    whole = {"Id": "t", "Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", **target}
    with pytest.raises(ClientError) as caught:
        await client.ask("events", "PutTargets", Rule="r", Targets=[whole])
    assert said in str(caught.value)


async def test_each_entry_is_refused_by_itself(client: Client) -> None:
    good = {"Source": "s", "DetailType": "d", "Detail": "{}"}
    entries = [
        good,
        {**good, "Detail": "no json"},
        {**good, "Detail": "[]"},
        {**good, "Source": "aws.s3"},
        {"DetailType": "d", "Detail": "{}"},
        {**good, "EventBusName": "not-there"},
    ]
    answer = await client.ask("events", "PutEvents", Entries=entries)
    assert answer["FailedEntryCount"] == 4
    assert [each.get("ErrorCode") for each in answer["Entries"]] == [
        *(None, "MalformedDetail", "MalformedDetail", "NotAuthorizedForSourceException"),
        *("InvalidArgument", None),
    ]
    assert answer["Entries"][4]["ErrorMessage"] == (
        "Parameter Source is not valid. Reason: Source is a required argument."
    )


async def test_entries_are_256_kib_at_most(client: Client) -> None:
    big = {"Source": "s", "DetailType": "d", "Detail": json.dumps({"a": "x" * 300_000})}
    with pytest.raises(ClientError, match="Total size of the entries"):
        await client.ask("events", "PutEvents", Entries=[big])


async def test_buses_are_made_described_and_deleted(client: Client) -> None:
    made = await client.ask("events", "CreateEventBus", Name="b", Description="d")
    assert made["EventBusArn"] == f"{ARN}:event-bus/b"
    listed = (await client.ask("events", "ListEventBuses"))["EventBuses"]
    assert [bus["Name"] for bus in listed] == ["default", "b"]
    rule = await client.ask("events", "PutRule", Name="r", EventPattern=PATTERN, EventBusName="b")
    assert rule["RuleArn"] == f"{ARN}:rule/b/r"
    with pytest.raises(ClientError, match=r"Event bus can't be deleted since it has rules\."):
        await client.ask("events", "DeleteEventBus", Name="b")
    await client.ask("events", "DeleteRule", Name="r", EventBusName="b")
    await client.ask("events", "DeleteEventBus", Name="b")
    with pytest.raises(ClientError, match=r"Cannot delete event bus default\."):
        await client.ask("events", "DeleteEventBus", Name="default")


async def test_statements_of_a_bus_are_put_and_removed(client: Client) -> None:
    statement = {"StatementId": "s", "Action": "events:PutEvents", "Principal": "210987654321"}
    await client.ask("events", "PutPermission", **statement)
    described = await client.ask("events", "DescribeEventBus")
    policy = msgspec.json.decode(described["Policy"])
    assert policy["Statement"] == [
        {
            "Sid": "s",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::210987654321:root"},
            "Action": "events:PutEvents",
            "Resource": f"{ARN}:event-bus/default",
        }
    ]
    with pytest.raises(ClientError, match=r"Statement with the provided id does not exist\."):
        await client.ask("events", "RemovePermission", StatementId="other")
    await client.ask("events", "RemovePermission", StatementId="s")
    assert "Policy" not in await client.ask("events", "DescribeEventBus")


async def test_tags_of_buses_and_rules(client: Client) -> None:
    await client.ask("events", "PutRule", Name="r", EventPattern=PATTERN)
    for arn in (f"{ARN}:rule/r", f"{ARN}:event-bus/default"):
        tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
        await client.ask("events", "TagResource", ResourceARN=arn, Tags=tags)
        await client.ask("events", "UntagResource", ResourceARN=arn, TagKeys=["a"])
        listed = await client.ask("events", "ListTagsForResource", ResourceARN=arn)
        assert listed["Tags"] == tags[1:]


async def test_no_answer_has_a_secret_of_a_connection(inside: Inside, client: Client) -> None:
    http = {"HeaderParameters": [{"Key": "h", "Value": "v", "IsValueSecret": False}]}
    parameters = {**API_KEY["AuthParameters"], "InvocationHttpParameters": http}
    await client.ask(
        "events",
        "CreateConnection",
        Name="c",
        AuthorizationType="API_KEY",
        AuthParameters=parameters,
    )
    described = await client.ask("events", "DescribeConnection", Name="c")
    assert described["AuthParameters"] == {
        "ApiKeyAuthParameters": {"ApiKeyName": "x-key"},
        "InvocationHttpParameters": http,
    }
    assert described["ConnectionState"] == "AUTHORIZED"
    kept = [path.read_bytes() for path in inside.deployment.config.data_dir.rglob("*.db*")]
    assert kept
    assert not any(b"s3cret" in text for text in kept)
    with pytest.raises(ClientError, match="API_KEY needs ApiKeyAuthParameters"):
        await client.ask(
            "events",
            "CreateConnection",
            Name="d",
            AuthorizationType="API_KEY",
            AuthParameters={"BasicAuthParameters": {"Username": "u", "Password": "p"}},
        )


@pytest.mark.parametrize(
    "endpoint",
    ["http://example.com/", "https://169.254.169.254/latest", "https://user:pw@example.com/"],
)
async def test_endpoints_that_would_leak_are_refused(client: Client, endpoint: str) -> None:
    made = await client.ask("events", "CreateConnection", Name="c", **API_KEY)
    with pytest.raises(ClientError, match="ValidationException"):
        await client.ask(
            "events",
            "CreateApiDestination",
            Name="d",
            ConnectionArn=made["ConnectionArn"],
            InvocationEndpoint=endpoint,
            HttpMethod="POST",
        )


async def test_policies_limit_the_sources_of_events(inside: Inside) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "events:PutEvents",
            "Resource": f"{ARN}:event-bus/default",
            "Condition": {"StringEquals": {"events:source": "shop"}},
        },
    }
    keys = await inside.user(ACCOUNT, "limited", msgspec.json.encode(policy).decode())
    limited = inside.client(keys)
    assert await put(limited)
    with pytest.raises(ClientError, match="AccessDenied"):
        await put(limited, Source="other")


async def test_a_role_is_passed_only_by_who_may(inside: Inside, client: Client) -> None:
    bus = (await client.ask("events", "CreateEventBus", Name="b"))["EventBusArn"]
    await client.ask("events", "PutRule", Name="r", EventPattern=PATTERN)
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
    role = await inside.role(ACCOUNT, "sender", msgspec.json.encode(trust).decode())
    policy = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "events:*", "Resource": "*"},
    }
    keys = await inside.user(ACCOUNT, "limited", msgspec.json.encode(policy).decode())
    target = {"Id": "b", "Arn": bus, "RoleArn": role}
    with pytest.raises(ClientError, match="iam:PassRole"):
        await inside.client(keys).ask("events", "PutTargets", Rule="r", Targets=[target])
