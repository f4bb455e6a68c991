"""The gateway is killed in the middle of uploads: what it acknowledged is there afterwards."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from buckets_under_test import new_bucket, refusal
from running_gateways import SCRIPTED, Gateway, start_gateway

PART = 5 << 20


def _kill(gateway: Gateway) -> None:
    gateway.process.send_signal(signal.SIGKILL)
    gateway.process.wait()


@pytest.mark.parametrize("kind", ["AES256", "aws:kms"])
def test_a_multipart_upload_goes_on_after_the_gateway_was_killed(tmp_path: Path, kind: str):
    parts = [os.urandom(PART), os.urandom(PART), os.urandom(1000)]
    gateway = start_gateway(tmp_path, SCRIPTED)
    s3: Any = gateway.client("s3")
    bucket = new_bucket(s3)
    s3.put_object(Bucket=bucket, Key="whole", Body=parts[0], ServerSideEncryption=kind)
    made = s3.create_multipart_upload(Bucket=bucket, Key="m", ServerSideEncryption=kind)
    upload = {"Bucket": bucket, "Key": "m", "UploadId": made["UploadId"]}
    tags = [
        s3.upload_part(PartNumber=number, Body=parts[number - 1], **upload)["ETag"]
        for number in (1, 2)
    ]
    _kill(gateway)

    gateway = start_gateway(tmp_path, SCRIPTED)
    try:
        s3 = gateway.client("s3")
        kept = s3.list_parts(**upload)["Parts"]
        assert [(one["PartNumber"], one["Size"]) for one in kept] == [(1, PART), (2, PART)]
        assert [one["ETag"] for one in kept] == tags
        tags.append(s3.upload_part(PartNumber=3, Body=parts[2], **upload)["ETag"])
        numbered = [{"PartNumber": n + 1, "ETag": tag} for n, tag in enumerate(tags)]
        s3.complete_multipart_upload(MultipartUpload={"Parts": numbered}, **upload)
        assert s3.get_object(Bucket=bucket, Key="m")["Body"].read() == b"".join(parts)
        assert s3.get_object(Bucket=bucket, Key="whole")["Body"].read() == parts[0]
        assert refusal(s3.list_parts, **upload)[:2] == ("NoSuchUpload", 404)
    finally:
        gateway.stop()


def _children(pid: int) -> list[int]:
    """Of all its threads."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def _stores(gateway: Gateway) -> list[int]:
    """The keepers of object stores among the children of a gateway."""
    found: list[int] = []
    for pid in _children(gateway.process.pid):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"outcrop.objects.keeper" in command:
            found.append(pid)
    return found


def _await(look: Callable[[], Any]) -> Any:
    until = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)
    return found


def test_the_store_starts_with_a_gateway_that_has_buckets_and_its_crash_is_an_event(
    tmp_path: Path,
):
    gateway = start_gateway(tmp_path, SCRIPTED)
    assert _stores(gateway) == []
    bucket = new_bucket(gateway.client("s3"))
    gateway.stop()

    gateway = start_gateway(tmp_path, SCRIPTED)
    try:
        # No request has asked for it.
        (keeper,) = _await(lambda: _stores(gateway))
        (store,) = _await(lambda: _children(keeper))
        s3, health = gateway.client("s3"), gateway.client("health")
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        os.kill(store, signal.SIGKILL)

        def events(status: str) -> Any:
            found = health.describe_events(filter={"services": ["S3"]})["events"]
            return [one for one in found if one["statusCode"] == status]

        (event,) = _await(lambda: events("open"))
        assert event["eventTypeCode"] == "AWS_S3_OPERATIONAL_ISSUE"
        # The next request starts it again.
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
        assert _await(lambda: events("closed"))
    finally:
        gateway.stop()
