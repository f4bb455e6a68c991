"""Keys, policies, filters, queries and Live Tail of CloudWatch Logs."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from botocore.eventstream import EventStreamBuffer
from in_process import Client, Inside
from log_requests import GROUP, STREAM, events_of, make_stream, now_ms, put, refusal
from running_gateways import ACCOUNT

from outcrop.errors import AWSError
from outcrop.services.service_callers import service_caller
from outcrop.services.service_roles import ServiceRole, assume
from outcrop.stores.tables import log_events

SEEDS = Path(__file__).resolve().parents[2] / "../shared/seed-examples"
ARN = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{GROUP}"
BEDROCK = "bedrock.amazonaws.com"
SOURCE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:logging"


def key_policy(*, allows_logs: bool) -> str:
    """As the user guide of CloudWatch Logs has it."""
    statements: list[dict[str, Any]] = [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ]
    if allows_logs:
        statements.append(
            {
                "Effect": "Allow",
                "Principal": {"Service": "logs.us-east-1.amazonaws.com"},
                "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:GenerateDataKey*"],
                "Resource": "*",
                "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": ARN}},
            }
        )
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


async def make_key(admin: Client, *, allows_logs: bool = True) -> str:
    made = await admin.ask("kms", "CreateKey", Policy=key_policy(allows_logs=allows_logs))
    return made["KeyMetadata"]["Arn"]


async def test_messages_of_a_group_with_a_key_lie_sealed_and_are_read_open(
    admin: Client, inside: Inside
) -> None:
    key = await make_key(admin)
    await admin.ask("logs", "CreateLogGroup", logGroupName=GROUP, kmsKeyId=key)
    await admin.ask("logs", "CreateLogStream", logGroupName=GROUP, logStreamName=STREAM)
    await put(admin, "a secret")
    assert await events_of(admin) == ["a secret"]
    async with inside.deployment.state.stores.resources.reading() as view:
        (row,) = (await view.connection.execute(sa.select(log_events))).all()
    assert b"secret" not in row.message
    assert row.data_key


async def test_without_the_key_nobody_reads_the_group(admin: Client) -> None:
    key = await make_key(admin)
    await make_stream(admin)
    await put(admin, "before")
    await admin.ask("logs", "AssociateKmsKey", logGroupName=GROUP, kmsKeyId=key)
    await put(admin, "after")
    assert await events_of(admin) == ["before", "after"]
    await admin.ask("kms", "DisableKey", KeyId=key)
    refused = await refusal(admin, "GetLogEvents", logGroupName=GROUP, logStreamName=STREAM)
    assert refused == (
        "AccessDeniedException",
        f"The specified KMS key does not exist or is not allowed to be used with Arn '{ARN}'",
    )
    await admin.ask("kms", "EnableKey", KeyId=key)
    await admin.ask("logs", "DisassociateKmsKey", logGroupName=GROUP)
    await put(admin, "plain")
    assert await events_of(admin) == ["before", "after", "plain"]


async def test_a_key_that_the_service_may_not_use_is_refused(admin: Client) -> None:
    await make_stream(admin)
    denied = await make_key(admin, allows_logs=False)
    code, text = await refusal(admin, "AssociateKmsKey", logGroupName=GROUP, kmsKeyId=denied)
    assert code == "AccessDeniedException"
    assert text.endswith(f"'{ARN}'")
    # Whether it is there, who may not use it is not told.
    none = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/00000000-0000-0000-0000-000000000000"
    assert await refusal(admin, "AssociateKmsKey", logGroupName=GROUP, kmsKeyId=none) == (
        code,
        text,
    )


def role_policy(group: str) -> str:
    """RUN-004, with the names filled in."""
    text = (SEEDS / "RUN-004.json").read_text(encoding="utf-8")
    return (
        text.replace("region", "us-east-1")
        .replace("accountId", ACCOUNT)
        .replace("logGroupName", group)
    )


def role_trust() -> str:
    text = (SEEDS / "RUN-003.json").read_text(encoding="utf-8")
    return text.replace("accountId", ACCOUNT).replace(":region:", ":us-east-1:")


async def test_the_documents_role_writes_to_its_stream_and_does_nothing_else(
    admin: Client, inside: Inside
) -> None:
    await admin.ask("logs", "CreateLogGroup", logGroupName=GROUP)
    arn = await inside.role(ACCOUNT, "logging", role_trust(), role_policy(GROUP))
    stores = inside.deployment.state.stores
    role = await assume(stores, ServiceRole(arn, SOURCE, BEDROCK), datetime.now(UTC))
    background = inside.deployment.records.observing.background
    names = {"logGroupName": GROUP, "logStreamName": "aws/bedrock/modelinvocations"}
    await background.perform(role, "logs", "CreateLogStream", names)
    events = [{"timestamp": now_ms(), "message": "{}"}]
    asked = {**names, "logEvents": events, "sequenceToken": "batch-1"}
    await background.perform(role, "logs", "PutLogEvents", asked)
    await background.perform(role, "logs", "PutLogEvents", asked)
    found = await admin.ask("logs", "GetLogEvents", **names)
    assert len(found["events"]) == 1
    for operation, params in (
        ("CreateLogStream", {**names, "logStreamName": "other"}),
        ("PutLogEvents", {**asked, "logStreamName": "other"}),
        ("GetLogEvents", names),
        ("FilterLogEvents", {"logGroupName": GROUP}),
        ("DescribeLogStreams", {"logGroupName": GROUP}),
        ("CreateLogGroup", {"logGroupName": "more"}),
        ("DeleteLogStream", names),
    ):
        with pytest.raises(AWSError) as caught:
            await background.perform(role, "logs", operation, params)
        assert caught.value.code == "AccessDeniedException"


async def test_a_service_writes_where_a_resource_policy_lets_it(
    admin: Client, inside: Inside
) -> None:
    await make_stream(admin)
    background = inside.deployment.records.observing.background
    events = service_caller("events.amazonaws.com", f"arn:aws:events:us-east-1:{ACCOUNT}:rule/r")
    asked = {
        "logGroupName": GROUP,
        "logStreamName": STREAM,
        "logEvents": [{"timestamp": now_ms(), "message": "hello"}],
    }
    with pytest.raises(AWSError):
        await background.perform(events, "logs", "PutLogEvents", asked)
    for name, service in (("other", "es.amazonaws.com"), ("own", "events.amazonaws.com")):
        statement = {
            "Sid": "same",
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": f"{ARN}:*",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        await admin.ask("logs", "PutResourcePolicy", policyName=name, policyDocument=document)
    await background.perform(events, "logs", "PutLogEvents", asked)
    assert await events_of(admin) == ["hello"]


async def metric(admin: Client, **more: Any) -> None:
    await admin.ask(
        "logs",
        "PutMetricFilter",
        logGroupName=GROUP,
        filterName="slow",
        filterPattern="{ $.took > 10 }",
        metricTransformations=[
            {"metricName": "Slow", "metricNamespace": "App", "metricValue": "$.took", **more}
        ],
    )


async def measured(inside: Inside) -> list[tuple[str, float, float]]:
    async with inside.deployment.state.stores.resources.reading() as view:
        found = await view.connection.execute(
            sa.text(
                "SELECT s.dimensions, p.samples, p.sum FROM metric_series s "
                "JOIN metric_points p ON p.series = s.id WHERE s.name = 'Slow'"
            )
        )
        return [tuple(row) for row in found.all()]


async def test_a_metric_filter_counts_each_event_once(admin: Client, inside: Inside) -> None:
    await make_stream(admin)
    await metric(admin, dimensions={"Who": "$.who"})
    at = now_ms() // 60_000 * 60_000
    await put(admin, *(json.dumps({"took": n, "who": "me"}) for n in (5, 20, 30)), at=at)
    await put(admin, json.dumps({"took": 40}), "no json", at=at)
    assert await measured(inside) == [('[["Who","me"]]', 2.0, 50.0)]
    (group,) = (await admin.ask("logs", "DescribeLogGroups"))["logGroups"]
    assert group["metricFilterCount"] == 1
    listed = await admin.ask("logs", "DescribeMetricFilters", logGroupName=GROUP)
    assert listed["metricFilters"][0]["metricTransformations"] == [
        {
            "metricName": "Slow",
            "metricNamespace": "App",
            "metricValue": "$.took",
            "dimensions": {"Who": "$.who"},
        }
    ]
    await admin.ask("logs", "DeleteMetricFilter", logGroupName=GROUP, filterName="slow")
    await put(admin, json.dumps({"took": 50, "who": "me"}), at=at)
    assert len(await measured(inside)) == 1


async def test_the_default_value_stands_for_minutes_without_a_match(
    admin: Client, inside: Inside
) -> None:
    await make_stream(admin)
    await metric(admin, defaultValue=0.0)
    at = now_ms() // 60_000 * 60_000
    await put(admin, '{"took": 1}', '{"took": 2}', at=at)
    assert await measured(inside) == [("[]", 1.0, 0.0)]


async def test_a_metric_filter_is_tried_before_it_is_made(admin: Client) -> None:
    answer = await admin.ask(
        "logs",
        "TestMetricFilter",
        filterPattern="[ip, ..., status = 4*, size]",
        logEventMessages=['127.0.0.1 - frank [10/Oct] "GET /" 404 2326', "127.0.0.1 200 1"],
    )
    assert answer["matches"] == [
        {
            "eventNumber": 1,
            "eventMessage": '127.0.0.1 - frank [10/Oct] "GET /" 404 2326',
            "extractedValues": {"$ip": "127.0.0.1", "$status": "404", "$size": "2326"},
        }
    ]
    refused = await refusal(
        admin, "TestMetricFilter", filterPattern="{ $.x = }", logEventMessages=["a"]
    )
    assert refused == ("InvalidParameterException", "Invalid filter pattern")


async def test_destinations_that_are_not_here_are_refused(admin: Client) -> None:
    await make_stream(admin)
    for destination, said in (
        (f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f", "[services.targets.lambda]"),
        (f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:other", "for vendor logs"),
    ):
        code, text = await refusal(
            admin,
            "PutSubscriptionFilter",
            logGroupName=GROUP,
            filterName="f",
            filterPattern="",
            destinationArn=destination,
        )
        assert code == "InvalidParameterException"
        assert said in text


async def results(admin: Client, query_id: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            found = await admin.ask("logs", "GetQueryResults", queryId=query_id)
            if found["status"] not in ("Scheduled", "Running"):
                return found
            await asyncio.sleep(0.01)


async def query(admin: Client, text: str, **more: Any) -> dict[str, Any]:
    now_s = now_ms() // 1000
    started = await admin.ask(
        "logs",
        "StartQuery",
        logGroupName=GROUP,
        startTime=now_s - 3600,
        endTime=now_s + 3600,
        queryString=text,
        **more,
    )
    return await results(admin, started["queryId"])


def invocation(number: int) -> str:
    tokens = {"inputTokenCount": number}
    return json.dumps({"modelId": f"m{number % 2}", "input": tokens, "operation": "Converse"})


async def test_a_query_adds_up_fields_of_json_events(admin: Client) -> None:
    await make_stream(admin)
    await put(admin, *map(invocation, range(10)))
    found = await query(
        admin, "stats count(*) as n, sum(input.inputTokenCount) as t by modelId | sort t desc"
    )
    assert found["status"] == "Complete"
    assert found["results"] == [
        [
            {"field": "modelId", "value": "m1"},
            {"field": "n", "value": "5"},
            {"field": "t", "value": "25"},
        ],
        [
            {"field": "modelId", "value": "m0"},
            {"field": "n", "value": "5"},
            {"field": "t", "value": "20"},
        ],
    ]
    assert found["statistics"]["recordsScanned"] == 10.0


async def test_a_row_of_a_query_leads_to_its_event(admin: Client) -> None:
    await make_stream(admin)
    await put(admin, *map(invocation, range(3)))
    found = await query(admin, "filter input.inputTokenCount = 1 | fields modelId", limit=5)
    (row,) = found["results"]
    fields = {each["field"]: each["value"] for each in row}
    assert fields["modelId"] == "m1"
    record = await admin.ask("logs", "GetLogRecord", logRecordPointer=fields["@ptr"])
    assert record["logRecord"]["@message"] == invocation(1)
    code, _ = await refusal(admin, "GetLogRecord", logRecordPointer="1.2")
    assert code == "InvalidParameterException"


async def test_a_query_that_is_not_of_the_simple_forms_is_refused(admin: Client) -> None:
    await make_stream(admin)
    code, text = await refusal(
        admin,
        "StartQuery",
        logGroupName=GROUP,
        startTime=0,
        endTime=1,
        queryString="fields @message | pattern @message",
    )
    assert code == "MalformedQueryException"
    assert "pattern" in text
    code, text = await refusal(
        admin, "StartQuery", logGroupName="none", startTime=0, endTime=1, queryString="limit 1"
    )
    assert code == "ResourceNotFoundException"
    said = f"Log group 'none' does not exist for account ID '{ACCOUNT}' (Service: AWSLogs; "
    assert text.startswith(said)


async def test_queries_are_listed_and_stopped(admin: Client) -> None:
    await make_stream(admin)
    await query(admin, "limit 1")
    (listed,) = (await admin.ask("logs", "DescribeQueries", logGroupName=GROUP))["queries"]
    assert listed["status"] == "Complete"
    code, _ = await refusal(admin, "StopQuery", queryId=listed["queryId"])
    assert code == "InvalidParameterException"
    code, _ = await refusal(admin, "GetQueryResults", queryId="none")
    assert code == "ResourceNotFoundException"


async def open_tail(admin: Client, **more: Any) -> AsyncIterator[dict[str, Any]]:
    request = admin.request("logs", "StartLiveTail", logGroupIdentifiers=[ARN], **more)
    response = await admin.app.handle(request)
    assert response.status == 200
    buffer = cast(Any, EventStreamBuffer)()
    body = cast(Any, response.body)
    try:
        async for piece in body:
            buffer.add_data(piece)
            for event in buffer:
                kind = event.headers[":event-type"]
                yield {kind: json.loads(event.payload)}
    finally:
        await body.aclose()


async def test_live_tail_tells_what_comes_and_ends_when_its_client_leaves(
    admin: Client, inside: Inside
) -> None:
    await make_stream(admin)
    tail = open_tail(admin, logEventFilterPattern="wanted")
    assert await anext(tail) == {"initial-response": {}}
    start = await anext(tail)
    assert start["sessionStart"]["logGroupIdentifiers"] == [ARN]
    await put(admin, "wanted 1", "other", "wanted 2")
    update = (await anext(tail))["sessionUpdate"]
    assert [each["message"] for each in update["sessionResults"]] == ["wanted 1", "wanted 2"]
    assert update["sessionMetadata"] == {"sampled": False}
    tails = inside.deployment.records.observing.logs.tails
    assert tails.sessions == 1
    await cast(Any, tail).aclose()
    assert tails.sessions == 0


async def test_live_tail_samples_what_is_too_much(admin: Client) -> None:
    await make_stream(admin)
    tail = open_tail(admin)
    await anext(tail)
    await anext(tail)
    await put(admin, *(f"event {number}" for number in range(800)))
    update = (await anext(tail))["sessionUpdate"]
    assert len(update["sessionResults"]) == 500
    assert update["sessionMetadata"] == {"sampled": True}
    await cast(Any, tail).aclose()


async def test_a_sixteenth_live_tail_is_refused(admin: Client) -> None:
    await make_stream(admin)
    tails = [open_tail(admin) for _ in range(15)]
    for each in tails:
        await anext(each)
    code, _ = await refusal(admin, "StartLiveTail", logGroupIdentifiers=[ARN])
    assert code == "LimitExceededException"
    for each in tails:
        await cast(Any, each).aclose()
