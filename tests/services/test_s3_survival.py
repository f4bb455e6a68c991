"""The gateway is killed in the middle of uploads: what it acknowledged is there afterwards."""

import os
import signal
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
