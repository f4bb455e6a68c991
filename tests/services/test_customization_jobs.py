"""Customization jobs: what they tell, how they are listed and stopped, who sees them."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from customizations_under_test import BASE_ARN, HYPERPARAMETERS, JOBS, Bench, open_bench
from in_process import Client
from kms_requests import make_key
from statements import ACCOUNT, OTHER, allow, document, user_arn

from outcrop.services.bedrock.customization.kinds import CUSTOMIZE
from outcrop.services.bedrock.owned import NOT_FOUND
from outcrop.stores.customization_records import Phase
from outcrop.wire.patterns import fits

RECORDED = Path(__file__).resolve().parents[2] / "../shared/real-control-plane.jsonl"
MISSING = f"{JOBS}/amazon.titan-text-express-v1:0:8k/abcdefghijkl"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, monkeypatch) as bench:
        yield bench


def recorded(operation: str) -> list[dict[str, Any]]:
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if operation in line]
    return [
        {name: value for name, value in row["data"].items() if name != "ResponseMetadata"}
        for row in rows
        if (row["service"], row["op"]) == ("bedrock", operation)
    ]


async def test_the_documents_request_makes_a_job_in_progress(bench: Bench) -> None:
    arn = await bench.create()
    assert fits(f"{JOBS}/amazon.titan-text-express-v1:0:8k/[a-z0-9]{{12}}", arn)
    found = await bench.get(arn)
    assert found.pop("creationTime") == found.pop("lastModifiedTime")
    assert found == {
        "jobArn": arn,
        "jobName": "job-name",
        "outputModelName": "custom-model-name",
        "roleArn": bench.role,
        "status": "InProgress",
        "statusDetails": {
            "validationDetails": {"status": "NotStarted"},
            "dataProcessingDetails": {"status": "NotStarted"},
            "trainingDetails": {"status": "NotStarted"},
        },
        "baseModelArn": BASE_ARN,
        "customizationType": "FINE_TUNING",
        "hyperParameters": HYPERPARAMETERS,
        "trainingDataConfig": {"s3Uri": "s3://bucket/path/to/train.jsonl"},
        "outputDataConfig": {"s3Uri": "s3://bucket/path/to/output-folder"},
        "validationMetrics": [],
    }
    assert await bench.submitted(CUSTOMIZE) == [arn]
    record = (await bench.record()).record
    assert record.by == user_arn("admin")
    assert (record.engine, record.base) == ("base", "base.gguf:4:c217f3168397e6abf99e745082cd6606")
    assert fits(
        r"arn:aws:bedrock:us-east-1:\d{12}:custom-model/[^/]+/[a-z0-9]{12}", record.model_arn
    )


async def test_a_job_tells_the_same_as_aws_s_own(bench: Bench) -> None:
    """Field by field, but for what differs by job, and what AWS added after the recordings."""
    key = await make_key(bench.admin)
    token = "24cc2d55-fb6d-40d6-a136-6d44b5f89ae0"
    await bench.create(
        baseModelIdentifier="cohere.command-text-v14:7:4k",
        hyperParameters={"batchSize": "8", "epochCount": "1", "learningRate": "0.005"},
        customModelKmsKeyId=key.rpartition("/")[2],
        clientRequestToken=token,
    )
    found = await bench.get()
    rows = recorded("GetModelCustomizationJob")
    assert len(rows) == 2
    for row in rows:
        if "outputModelKmsKeyArn" not in row:
            row["outputModelKmsKeyArn"] = key
        assert found.keys() - {"statusDetails"} == row.keys()
        for name, value in row.items():
            if name.endswith("Time"):
                assert isinstance(found[name], datetime)
            else:
                assert found[name].__class__ is value.__class__, name
        for same in ("status", "baseModelArn", "customizationType", "validationMetrics"):
            assert found[same] == row[same]
    assert found["outputModelKmsKeyArn"] == key
    assert found["clientRequestToken"] == token


async def test_everything_that_was_asked_for_is_told(bench: Bench) -> None:
    vpc = await bench.admin.ask("ec2", "CreateVpc", CidrBlock="10.0.0.0/16")
    vpc_id = vpc["Vpc"]["VpcId"]
    subnet = await bench.admin.ask("ec2", "CreateSubnet", VpcId=vpc_id, CidrBlock="10.0.1.0/24")
    group = await bench.admin.ask(
        "ec2", "CreateSecurityGroup", VpcId=vpc_id, GroupName="jobs", Description="jobs"
    )
    network = {
        "subnetIds": [subnet["Subnet"]["SubnetId"]],
        "securityGroupIds": [group["GroupId"]],
    }
    validators = {"validators": [{"s3Uri": f"s3://bucket/{name}.jsonl"} for name in "ab"]}
    arn = await bench.create(
        customizationType="CONTINUED_PRE_TRAINING",
        vpcConfig=network,
        validationDataConfig=validators,
        jobTags=[{"key": "key1", "value": "value1"}],
        customModelTags=[{"key": "key2", "value": "value2"}],
    )
    found = await bench.get(arn)
    assert found["vpcConfig"] == network
    assert found["validationDataConfig"] == validators
    assert found["customizationType"] == "CONTINUED_PRE_TRAINING"
    tags = await bench.ask("ListTagsForResource", resourceARN=arn)
    assert tags["tags"] == [{"key": "key1", "value": "value1"}]
    assert (await bench.record()).record.model_tags == {"key2": "value2"}


async def test_a_completed_job_tells_its_model_and_metrics(bench: Bench) -> None:
    await bench.create()
    done = Phase(status="Completed", began_at=NOW, changed_at=NOW + timedelta(seconds=9))
    changed = await bench.change(
        status="Completed",
        validation=done,
        processing=done,
        training=done,
        training_loss=0.5,
        validation_losses=(0.25,),
    )
    found = await bench.get()
    assert found["status"] == "Completed"
    assert found["outputModelArn"] == changed.record.model_arn
    assert found["trainingMetrics"] == {"trainingLoss": 0.5}
    assert found["validationMetrics"] == [{"validationLoss": 0.25}]
    assert found["endTime"] >= found["creationTime"]
    assert found["statusDetails"]["trainingDetails"] == {
        "status": "Completed",
        "creationTime": NOW,
        "lastModifiedTime": NOW + timedelta(seconds=9),
    }
    (row,) = (await bench.ask("ListModelCustomizationJobs"))["modelCustomizationJobSummaries"]
    assert row == {
        "jobArn": found["jobArn"],
        "baseModelArn": BASE_ARN,
        "jobName": "job-name",
        "status": "Completed",
        "statusDetails": found["statusDetails"],
        "lastModifiedTime": found["lastModifiedTime"],
        "creationTime": found["creationTime"],
        "endTime": found["endTime"],
        "customModelArn": found["outputModelArn"],
        "customModelName": "custom-model-name",
        "customizationType": "FINE_TUNING",
    }


async def test_a_failed_job_says_why_and_has_no_model(bench: Bench) -> None:
    await bench.create()
    await bench.change(status="Failed", failure="x" * 3000)
    found = await bench.get()
    assert (found["status"], found["failureMessage"]) == ("Failed", "x" * 2048)
    assert "outputModelArn" not in found
    assert "trainingMetrics" not in found


async def test_stopping_is_told_at_once_and_may_be_asked_again(bench: Bench) -> None:
    arn = await bench.create()
    await bench.change(training=Phase(status="InProgress", began_at=NOW, changed_at=NOW))
    for _ in range(2):
        await bench.stop(arn)
        found = await bench.get()
        assert found["status"] == "Stopping"
        assert found["statusDetails"]["trainingDetails"]["status"] == "Stopping"
        assert found["statusDetails"]["validationDetails"]["status"] == "NotStarted"
        assert "endTime" not in found
    await bench.change(status="Stopped")
    found = await bench.get()
    assert found["statusDetails"]["trainingDetails"]["status"] == "Stopped"
    assert "endTime" in found


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped"])
async def test_what_has_ended_cannot_be_stopped(bench: Bench, status: str) -> None:
    arn = await bench.create()
    if status == "Stopped":
        await bench.stop()
    await bench.change(status=status)
    code, message = await bench.refusal("StopModelCustomizationJob", jobIdentifier=arn)
    assert code == "ConflictException"
    assert f"has the status {status}" in message
    assert (await bench.get())["status"] == status


@pytest.mark.parametrize("operation", ["GetModelCustomizationJob", "StopModelCustomizationJob"])
@pytest.mark.parametrize("identifier", [MISSING, "nobody-s"])
async def test_what_is_not_there_is_not_found(
    bench: Bench, operation: str, identifier: str
) -> None:
    refused = await bench.refusal(operation, jobIdentifier=identifier)
    assert refused == ("ResourceNotFoundException", NOT_FOUND)


async def test_an_arn_of_another_region_is_refused(bench: Bench) -> None:
    arn = await bench.create()
    elsewhere = Client(bench.inside.app, bench.admin.keys, region="eu-central-1")
    for identifier, code in (
        (arn, "ValidationException"),
        ("job-name", "ResourceNotFoundException"),
    ):
        refused = await bench.refusal(
            "GetModelCustomizationJob", elsewhere, jobIdentifier=identifier
        )
        assert refused[0] == code
    listed = await bench.ask("ListModelCustomizationJobs", elsewhere)
    assert listed["modelCustomizationJobSummaries"] == []


async def test_another_account_sees_and_stops_nothing(bench: Bench) -> None:
    arn = await bench.create()
    keys = await bench.inside.user(OTHER, "eve", document(allow("*")))
    eve = bench.inside.client(keys)
    for operation in ("GetModelCustomizationJob", "StopModelCustomizationJob"):
        refused = await bench.refusal(operation, eve, jobIdentifier=arn)
        assert refused[0] == "AccessDeniedException"
        refused = await bench.refusal(operation, eve, jobIdentifier="job-name")
        assert refused == ("ResourceNotFoundException", NOT_FOUND)
    listed = await bench.ask("ListModelCustomizationJobs", eve)
    assert listed["modelCustomizationJobSummaries"] == []
    assert (await bench.get())["status"] == "InProgress"


async def test_jobs_are_listed_by_state_name_and_time(bench: Bench) -> None:
    await bench.quota("customization-jobs", 10)
    made: dict[str, datetime] = {}
    for name in ("alpha", "beta", "gamma"):
        made[name] = (await bench.get(await bench.create(jobName=name, customModelName=name)))[
            "creationTime"
        ]
    await bench.change("beta", status="Completed")
    assert await bench.names() == ["gamma", "beta", "alpha"]
    assert await bench.names(sortBy="CreationTime", sortOrder="Ascending") == [
        *("alpha", "beta", "gamma")
    ]
    assert await bench.names(statusEquals="Completed") == ["beta"]
    assert await bench.names(statusEquals="Stopped") == []
    assert await bench.names(nameContains="am") == ["gamma"]
    assert await bench.names(creationTimeAfter=made["alpha"]) == [*("gamma", "beta")]
    assert await bench.names(creationTimeBefore=made["beta"]) == ["alpha"]


async def test_pages_continue_where_they_ended(bench: Bench) -> None:
    await bench.quota("customization-jobs", 10)
    for name in ("one", "two", "three"):
        await bench.create(jobName=name, customModelName=name)
    first = await bench.ask("ListModelCustomizationJobs", maxResults=2)
    assert len(first["modelCustomizationJobSummaries"]) == 2
    await bench.change("two", status="Failed")
    rest = await bench.ask("ListModelCustomizationJobs", maxResults=2, nextToken=first["nextToken"])
    assert "nextToken" not in rest
    pages = (first, rest)
    seen = [row["jobName"] for page in pages for row in page["modelCustomizationJobSummaries"]]
    assert sorted(seen) == ["one", "three", "two"]


async def test_a_model_with_jobs_keeps_its_access_until_they_end(bench: Bench) -> None:
    await bench.access("amazon.titan-text-express-v1", "granted")
    arn = await bench.create()
    asked = {"modelId": "amazon.titan-text-express-v1"}
    code, message = await bench.refusal("DeleteFoundationModelAgreement", **asked)
    assert (code, arn in message) == ("ConflictException", True)
    await bench.change(status="Failed")
    await bench.ask("DeleteFoundationModelAgreement", **asked)


async def test_the_trail_tells_what_was_asked_for(bench: Bench) -> None:
    arn = await bench.create(jobTags=[{"key": "key1", "value": "value1"}])
    await bench.stop(arn)
    await bench.inside.deployment.records.observing.catch_up()
    found = await bench.admin.ask(
        "cloudtrail",
        "LookupEvents",
        LookupAttributes=[
            {"AttributeKey": "EventSource", "AttributeValue": "bedrock.amazonaws.com"}
        ],
    )
    events = {
        event["eventName"]: event
        for event in (json.loads(each["CloudTrailEvent"]) for each in found["Events"])
    }
    created = events["CreateModelCustomizationJob"]
    assert created["requestParameters"]["jobName"] == "job-name"
    assert created["requestParameters"]["trainingDataConfig"] == {
        "s3Uri": "s3://bucket/path/to/train.jsonl"
    }
    assert created["responseElements"] == {"jobArn": arn}
    assert created["readOnly"] is False
    assert events["StopModelCustomizationJob"]["requestParameters"] == {"jobIdentifier": arn}
    assert created["recipientAccountId"] == ACCOUNT
