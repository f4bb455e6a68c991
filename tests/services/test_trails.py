"""Trails: made as AWS makes them, delivered to a real bucket, once, in AWS's layout."""

import asyncio
import gzip
import json
import re
from typing import Any

import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from in_process import Client, Inside
from running_gateways import ACCOUNT
from trails_under_test import ARN, BUCKET, NAME, Trailing, bucket_policy

from outcrop.services.cloudtrail import writer
from outcrop.stores.tables import now_ms, trail_events

INVOKE = {
    "modelId": "anthropic.claude-v2",
    "body": json.dumps({"prompt": "\n\nHuman: xyzzy\n\nAssistant:", "max_tokens_to_sample": 5}),
}


@pytest.fixture
async def trailing(inside: Inside) -> Trailing:
    return await Trailing.over(inside)


async def code_of(client: Client, operation: str, **params: object) -> str:
    with pytest.raises(ClientError) as caught:
        await client.ask("cloudtrail", operation, **params)
    return str(caught.value.response.get("Error", {}).get("Code"))


async def test_a_trail_needs_a_bucket_that_lets_cloudtrail_write_for_it(trailing: Trailing):
    admin = trailing.admin
    asked = {"Name": NAME, "S3BucketName": BUCKET}
    assert await code_of(admin, "CreateTrail", **asked) == "S3BucketDoesNotExistException"
    await trailing.make_bucket(policy=bucket_policy(arn=ARN + "-other"))
    assert await code_of(admin, "CreateTrail", **asked) == "InsufficientS3BucketPolicyException"
    await trailing.put_policy(bucket_policy())
    made = await admin.ask("cloudtrail", "CreateTrail", **asked)
    assert made["TrailARN"] == ARN
    with_prefix = {**asked, "S3KeyPrefix": "elsewhere"}
    assert await code_of(admin, "UpdateTrail", **with_prefix) == (
        "InsufficientS3BucketPolicyException"
    )


async def test_a_writer_that_is_about_to_look_waits_for_nothing_when_it_is_closed(
    trailing: Trailing, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer, "_SOON_S", 3600.0)
    stores = trailing.inside.deployment.state.stores
    looks = list[str]()

    async def look() -> None:
        looks.append("taken")

    closing = writer.TrailWriter(stores, look)
    closing.start()
    closing.wake()
    for _ in range(5):
        await asyncio.sleep(0)
    assert looks == []
    async with asyncio.timeout(60):
        await closing.close()
    assert looks == ["taken"]


async def test_calls_are_delivered_once_in_the_layout_of_aws(trailing: Trailing):
    await trailing.make_bucket()
    await trailing.make_trail()
    await trailing.admin.ask("bedrock-runtime", "InvokeModel", **INVOKE)
    await trailing.admin.ask("bedrock", "ListFoundationModels")
    await trailing.write()
    await trailing.write()
    records = await trailing.delivered()
    names = [record["eventName"] for record in records]
    assert names[:3] == ["StartLogging", "InvokeModel", "ListFoundationModels"]
    assert len({record["eventID"] for record in records}) == len(records)
    assert "xyzzy" not in json.dumps(records)
    key = (await trailing.log_keys())[0]
    assert re.fullmatch(
        rf"AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/\d{{4}}/\d\d/\d\d/"
        rf"{ACCOUNT}_CloudTrail_us-east-1_\d{{8}}T\d{{4}}Z_[A-Za-z0-9]{{16}}\.json\.gz",
        key,
    )


async def test_what_the_bucket_refuses_is_tried_again_and_comes_once(trailing: Trailing):
    await trailing.make_bucket()
    await trailing.make_trail()
    await trailing.admin.ask("bedrock", "ListFoundationModels")
    await trailing.put_policy(bucket_policy(arn=ARN + "-other"))
    await trailing.cut()
    refused = await trailing.deliver()
    assert refused
    assert all("AccessDenied" in why for why in refused)
    status = await trailing.admin.ask("cloudtrail", "GetTrailStatus", Name=NAME)
    assert status["LatestDeliveryError"] == "AccessDenied"
    assert await trailing.log_keys() == []
    await trailing.put_policy(bucket_policy())
    await trailing.write()
    names = [record["eventName"] for record in await trailing.delivered()]
    assert names.count("ListFoundationModels") == 1
    status = await trailing.admin.ask("cloudtrail", "GetTrailStatus", Name=NAME)
    assert "LatestDeliveryError" not in status
    assert status["LatestDeliveryTime"]


async def test_a_file_that_was_put_before_the_process_died_keeps_its_key(trailing: Trailing):
    await trailing.make_bucket()
    await trailing.make_trail(EnableLogFileValidation=True)
    await trailing.cut()
    (job,) = await trailing.waiting()
    await trailing.run(job)
    first = await trailing.log_keys()
    # Its end was not written: whoever is next does it again.
    await trailing.run(job)
    assert await trailing.log_keys() == first
    assert len(await trailing.digested_after(hours=1)) == 1


async def test_a_trail_of_one_region_takes_its_own_events_and_those_of_no_region(
    trailing: Trailing,
):
    await trailing.make_bucket()
    await trailing.make_trail()
    west = Client(trailing.admin.app, trailing.admin.keys, region="us-west-2")
    await west.ask("bedrock", "ListFoundationModels")
    await west.ask("iam", "ListUsers")
    await trailing.write()
    names = [record["eventName"] for record in await trailing.delivered()]
    assert "ListUsers" in names
    assert "ListFoundationModels" not in names


async def test_a_trail_of_all_regions_files_events_by_region_and_is_known_in_all(
    trailing: Trailing,
):
    await trailing.make_bucket()
    await trailing.make_trail(IsMultiRegionTrail=True)
    west = Client(trailing.admin.app, trailing.admin.keys, region="us-west-2")
    await west.ask("bedrock", "ListFoundationModels")
    await trailing.write()
    (key,) = [key for key in await trailing.log_keys() if "/us-west-2/" in key]
    file = await trailing.read(key)
    assert {record["awsRegion"] for record in file["Records"]} == {"us-west-2"}
    seen = await west.ask("cloudtrail", "DescribeTrails")
    assert [each["HomeRegion"] for each in seen["trailList"]] == ["us-east-1"]
    assert await code_of(west, "StopLogging", Name=NAME) == "InvalidHomeRegionException"


async def test_a_trail_takes_what_its_selectors_say(trailing: Trailing):
    await trailing.make_bucket()
    await trailing.admin.ask("s3", "CreateBucket", Bucket="watched-objects")
    await trailing.make_trail()
    selectors = [
        {
            "ReadWriteType": "WriteOnly",
            "IncludeManagementEvents": True,
            "DataResources": [
                {"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::watched-objects/in/"]}
            ],
        }
    ]
    put = await trailing.admin.ask(
        "cloudtrail", "PutEventSelectors", TrailName=NAME, EventSelectors=selectors
    )
    assert put["EventSelectors"][0]["ReadWriteType"] == "WriteOnly"
    for key in ("in/one", "out/two"):
        await trailing.admin.ask("s3", "PutObject", Bucket="watched-objects", Key=key, Body=b"x")
    await trailing.admin.ask("bedrock", "ListFoundationModels")
    await trailing.write()
    records = await trailing.delivered()
    data = [record for record in records if record["eventCategory"] == "Data"]
    assert [record["requestParameters"]["key"] for record in data] == ["in/one"]
    assert data[0]["managementEvent"] is False
    assert not any(record["readOnly"] for record in records)
    found = await trailing.admin.ask("cloudtrail", "LookupEvents")
    assert "PutObject" not in {each["EventName"] for each in found["Events"]}


async def test_a_stopped_trail_delivers_what_was_before_and_nothing_after(trailing: Trailing):
    await trailing.make_bucket()
    await trailing.make_trail()
    await trailing.admin.ask("cloudtrail", "StopLogging", Name=NAME)
    await trailing.admin.ask("bedrock", "ListFoundationModels")
    await trailing.write()
    await trailing.write()
    names = [record["eventName"] for record in await trailing.delivered()]
    assert "StopLogging" in names
    assert "ListFoundationModels" not in names
    status = await trailing.admin.ask("cloudtrail", "GetTrailStatus", Name=NAME)
    assert status["IsLogging"] is False


async def test_what_outcrop_does_not_have_is_refused_by_name(trailing: Trailing):
    await trailing.make_bucket()
    await trailing.make_trail()
    admin = trailing.admin
    for params, code in (
        ({"IsOrganizationTrail": True}, "OrganizationsNotInUseException"),
        ({"RecursiveLogging": True}, "UnsupportedOperationException"),
        ({"KmsKeyId": "alias/none"}, "KmsKeyNotFoundException"),
        ({"SnsTopicName": "nowhere"}, "InsufficientSnsTopicPolicyException"),
        (
            {"IsMultiRegionTrail": True, "IncludeGlobalServiceEvents": False},
            "InvalidParameterCombinationException",
        ),
        (
            {"CloudWatchLogsLogGroupArn": "arn:aws:logs:us-east-1:1:log-group:x:*"},
            "InvalidParameterCombinationException",
        ),
    ):
        assert await code_of(admin, "UpdateTrail", Name=NAME, **params) == code
    again = {"Name": NAME, "S3BucketName": BUCKET}
    assert await code_of(admin, "CreateTrail", **again) == "TrailAlreadyExistsException"
    assert await code_of(admin, "CreateTrail", Name="a", S3BucketName=BUCKET) == (
        "InvalidTrailNameException"
    )
    assert await code_of(admin, "GetTrail", Name="other") == "TrailNotFoundException"


async def test_a_topic_is_told_of_each_file_and_a_log_group_gets_the_events(
    inside: Inside, trailing: Trailing
):
    admin = trailing.admin
    topic = (await admin.ask("sns", "CreateTopic", Name="files"))["TopicArn"]
    allowed = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}}
    policy = {**allowed, "Action": "SNS:Publish", "Resource": topic}
    await admin.ask(
        "sns",
        "SetTopicAttributes",
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [policy]}),
    )
    await admin.ask("logs", "CreateLogGroup", logGroupName="trail")
    group = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:trail:*"
    trust = {**allowed, "Action": "sts:AssumeRole"}
    stream = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:trail:log-stream:{ACCOUNT}_CloudTrail_*"
    actions = ["logs:CreateLogStream", "logs:PutLogEvents"]
    writes = {"Effect": "Allow", "Action": actions, "Resource": stream}
    role = await inside.role(
        ACCOUNT,
        "trail-logs",
        json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        json.dumps({"Version": "2012-10-17", "Statement": [writes]}),
    )
    await trailing.make_bucket()
    await trailing.make_trail(
        SnsTopicName="files", CloudWatchLogsLogGroupArn=group, CloudWatchLogsRoleArn=role
    )
    await admin.ask("bedrock", "ListFoundationModels")
    await trailing.write()
    found = await admin.ask(
        "logs",
        "GetLogEvents",
        logGroupName="trail",
        logStreamName=f"{ACCOUNT}_CloudTrail_us-east-1",
    )
    names = [json.loads(each["message"])["eventName"] for each in found["events"]]
    assert names.count("ListFoundationModels") == 1
    # What a delivery does is no reason for another one.
    await trailing.write()
    await trailing.write()
    assert await trailing.waiting() == []
    made = [each["eventName"] for each in await trailing.delivered()]
    assert made.count("CreateLogStream") == 1
    quiet = len(made)
    await trailing.write()
    assert len(await trailing.delivered()) == quiet
    status = await admin.ask("cloudtrail", "GetTrailStatus", Name=NAME)
    assert status["LatestNotificationTime"]
    assert status["LatestCloudWatchLogsDeliveryTime"]


async def test_files_are_encrypted_under_the_key_of_the_trail(trailing: Trailing):
    admin = trailing.admin
    owner = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    writes = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudtrail.amazonaws.com"},
        "Action": "kms:GenerateDataKey*",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:SourceArn": ARN}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [owner]})
    key = (await admin.ask("kms", "CreateKey", Policy=policy))["KeyMetadata"]["Arn"]
    await trailing.make_bucket()
    asked = {"Name": NAME, "S3BucketName": BUCKET, "KmsKeyId": key}
    assert await code_of(admin, "CreateTrail", **asked) == "InsufficientEncryptionPolicyException"
    policy = json.dumps({"Version": "2012-10-17", "Statement": [owner, writes]})
    await admin.ask("kms", "PutKeyPolicy", KeyId=key, Policy=policy)
    await trailing.make_trail(KmsKeyId=key)
    await trailing.write()
    request = admin.request("s3", "HeadObject", Bucket=BUCKET, Key=(await trailing.log_keys())[0])
    headers = (await admin.app.handle(request)).headers
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == key
    assert (await trailing.delivered())[0]["eventName"] == "StartLogging"


async def test_tags_of_a_trail_are_kept_and_decide(inside: Inside, trailing: Trailing):
    await trailing.make_bucket()
    await trailing.make_trail(TagsList=[{"Key": "team", "Value": "audit"}])
    admin = trailing.admin
    await admin.ask("cloudtrail", "AddTags", ResourceId=ARN, TagsList=[{"Key": "k", "Value": "v"}])
    await admin.ask("cloudtrail", "RemoveTags", ResourceId=ARN, TagsList=[{"Key": "k"}])
    listed = await admin.ask("cloudtrail", "ListTags", ResourceIdList=[ARN])
    assert listed["ResourceTagList"][0]["TagsList"] == [{"Key": "team", "Value": "audit"}]
    allowed = {
        "Effect": "Allow",
        "Action": "cloudtrail:StopLogging",
        "Resource": ARN,
        "Condition": {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    other = inside.client(await inside.user(ACCOUNT, "other", policy))
    assert await code_of(other, "StopLogging", Name=NAME) == "AccessDeniedException"
    assert await code_of(other, "DeleteTrail", Name=NAME) == "AccessDeniedException"
    await admin.ask("iam", "TagUser", UserName="other", Tags=[{"Key": "team", "Value": "audit"}])
    await other.ask("cloudtrail", "StopLogging", Name=NAME)


async def test_many_large_events_come_in_files_that_fit_into_memory(trailing: Trailing):
    await trailing.make_bucket()
    await trailing.make_trail()
    await trailing.write()
    before = len(await trailing.log_keys())
    async with trailing.inside.deployment.state.stores.resources.writing() as transaction:
        await transaction.connection.execute(sa.insert(trail_events), _large_events(100))
    await trailing.write()
    files = (await trailing.log_keys())[before:]
    sizes = [len(gzip.decompress((await trailing.read_whole(key))[0])) for key in files]
    assert len(sizes) == 2
    assert max(sizes) < 17 * 1024 * 1024
    assert sum(1 for each in await trailing.delivered() if each["eventName"] == "Large") == 100


def _large_events(count: int) -> list[dict[str, Any]]:
    body = {"eventName": "Large", "filling": "x" * 200 * 1024}
    row = {
        "account": ACCOUNT,
        "region": "us-east-1",
        "at_ms": now_ms(),
        "event_name": "Large",
        "event_source": "kms.amazonaws.com",
        "username": "",
        "access_key_id": "",
        "read_only": False,
        "is_data": False,
        "resources": b"[]",
        "body": json.dumps(body).encode(),
    }
    return [{**row, "event_id": str(number)} for number in range(count)]
