"""The audit trail as an auditor uses it: a server that is killed, boto3, AWS's own validator."""

import gzip
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from running_gateways import ACCOUNT, SCRIPTED, Gateway, start_gateway

BUCKET = "audited"
ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/audit"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Action": "s3:GetBucketAcl",
            "Resource": f"arn:aws:s3:::{BUCKET}",
            "Condition": {"StringEquals": {"aws:SourceArn": ARN}},
        },
        {
            "Effect": "Allow",
            "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/AWSLogs/{ACCOUNT}/*",
            "Condition": {
                "StringEquals": {
                    "s3:x-amz-acl": "bucket-owner-full-control",
                    "aws:SourceArn": ARN,
                }
            },
        },
    ],
}
BODY = json.dumps({"prompt": "\n\nHuman: xyzzy\n\nAssistant:", "max_tokens_to_sample": 5})
CALLS = 40


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Calls were made, the gateway killed in the middle of them, and the trail then stopped."""
    folder = tmp_path_factory.mktemp("audited")
    gateway = start_gateway(folder, SCRIPTED)
    s3: Any = gateway.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(POLICY))
    cloudtrail = gateway.client("cloudtrail")
    cloudtrail.create_trail(Name="audit", S3BucketName=BUCKET, EnableLogFileValidation=True)
    cloudtrail.start_logging(Name="audit")
    _invoke(gateway)
    gateway.process.send_signal(signal.SIGKILL)
    gateway.process.wait()
    gateway = start_gateway(folder, SCRIPTED)
    _invoke(gateway)
    gateway.client("cloudtrail").stop_logging(Name="audit")
    _await(lambda: _keys(gateway, "CloudTrail-Digest"))
    yield gateway
    gateway.stop()


def _invoke(gateway: Gateway) -> None:
    runtime = gateway.client("bedrock-runtime")
    for _ in range(CALLS):
        runtime.invoke_model(modelId="anthropic.claude-v2", body=BODY)


def _keys(gateway: Gateway, folder: str) -> list[str]:
    listed = gateway.client("s3").list_objects_v2(
        Bucket=BUCKET, Prefix=f"AWSLogs/{ACCOUNT}/{folder}/"
    )
    return [each["Key"] for each in listed.get("Contents", ())]


def _await(look: Callable[[], Any]) -> None:
    until = time.monotonic() + 90
    while not look():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.1)


def _validate(gateway: Gateway, aws: Path) -> subprocess.CompletedProcess[str]:
    start = datetime.now(UTC) - timedelta(hours=2)
    return subprocess.run(
        [
            *(str(aws), "cloudtrail", "validate-logs", "--verbose", "--trail-arn", ARN),
            *("--start-time", start.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ],
        env=gateway.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _verify(gateway: Gateway) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "outcrop", "trail", "verify", "--json"),
            *("--data-dir", str(gateway.data_dir), "--config", str(gateway.config)),
        ],
        env=gateway.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_call_is_in_the_files_once_though_the_gateway_was_killed(audited: Gateway):
    s3 = audited.client("s3")
    bodies = [
        s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in _keys(audited, "CloudTrail")
    ]
    records = [record for body in bodies for record in json.loads(gzip.decompress(body))["Records"]]
    invoked = [record for record in records if record["eventName"] == "InvokeModel"]
    assert len(invoked) == 2 * CALLS
    assert len({record["requestID"] for record in invoked}) == 2 * CALLS
    assert "StopLogging" in {record["eventName"] for record in records}


def test_every_call_is_in_the_event_history_once_though_the_gateway_was_killed(audited: Gateway):
    cloudtrail = audited.client("cloudtrail")
    pages = cloudtrail.get_paginator("lookup_events").paginate(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "InvokeModel"}],
        PaginationConfig={"PageSize": 7},
    )
    ids = [each["EventId"] for page in pages for each in page["Events"]]
    assert len(ids) == len(set(ids)) == 2 * CALLS


def test_aws_own_validator_accepts_the_digests_and_finds_what_was_changed(
    audited: Gateway, aws_v1: Path
):
    done = _validate(audited, aws_v1)
    assert done.returncode == 0, done.stdout + done.stderr
    files = len(_keys(audited, "CloudTrail"))
    assert "1/1 digest files valid" in done.stdout
    assert f"{files}/{files} log files valid" in done.stdout
    assert json.loads(_verify(audited).stdout)[ARN] == {
        "digests": 1,
        "log_files": files,
        "findings": [],
    }

    s3 = audited.client("s3")
    key = _keys(audited, "CloudTrail")[0]
    kept = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    s3.put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(b'{"Records":[]}'))
    assert _validate(audited, aws_v1).returncode == 1
    found = _verify(audited)
    assert found.returncode == 1
    assert json.loads(found.stdout)[ARN]["findings"] == [
        {"key": key, "what": "the log file was changed"}
    ]
    s3.put_object(Bucket=BUCKET, Key=key, Body=kept)

    (digest,) = _keys(audited, "CloudTrail-Digest")
    s3.delete_object(Bucket=BUCKET, Key=digest)
    gone = _verify(audited)
    assert gone.returncode == 1
    assert "the digest is missing" in gone.stdout
