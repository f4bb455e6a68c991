"""Checksums are kept with objects, however they were sent, and told when they are asked for."""

import base64
import hashlib
import os
from typing import Any

import pytest
from buckets_under_test import new_bucket, refusal
from running_gateways import Gateway

from outcrop.security.checksums import CHECKSUMS

PART = 5 << 20
CHUNK = 256 << 10


@pytest.fixture(scope="module")
def plain(scripted_gateway: Gateway) -> Any:
    """A client that sends no checksum by itself."""
    return scripted_gateway.client("s3", request_checksum_calculation="when_required")


def _crc64(body: bytes) -> str:
    checksum = CHECKSUMS["crc64nvme"]()
    checksum.update(body)
    return base64.b64encode(checksum.digest()).decode()


@pytest.mark.parametrize("kind", ["AES256", "aws:kms"])
@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_an_object_without_a_checksum_gets_one(s3: Any, plain: Any, size: int, kind: str):
    bucket, body = new_bucket(s3), os.urandom(size)
    put = plain.put_object(Bucket=bucket, Key="k", Body=body, ServerSideEncryption=kind)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert put["ChecksumCRC64NVME"] == head["ChecksumCRC64NVME"] == _crc64(body)
    assert head["ChecksumType"] == "FULL_OBJECT"
    assert head["ContentLength"] == size
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body
    told = s3.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectSize"]
    )
    assert told["Checksum"] == {"ChecksumCRC64NVME": _crc64(body), "ChecksumType": "FULL_OBJECT"}
    assert told["ObjectSize"] == size
    assert "ContentEncoding" not in head


def test_the_checksum_of_an_upload_is_made_of_those_of_its_parts(s3: Any):
    bucket, bodies = new_bucket(s3), (os.urandom(PART), b"the rest")
    made = s3.create_multipart_upload(Bucket=bucket, Key="m", ChecksumAlgorithm="SHA256")
    assert made["ChecksumType"] == "COMPOSITE"
    upload = {"Bucket": bucket, "Key": "m", "UploadId": made["UploadId"]}
    parts: list[Any] = []
    for number, body in enumerate(bodies, 1):
        put = s3.upload_part(**upload, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256")
        sums = {"ETag": put["ETag"], "ChecksumSHA256": put["ChecksumSHA256"]}
        parts.append({"PartNumber": number, **sums})
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    digests = b"".join(hashlib.sha256(body).digest() for body in bodies)
    whole = base64.b64encode(hashlib.sha256(digests).digest()).decode()
    head = s3.head_object(Bucket=bucket, Key="m", ChecksumMode="ENABLED")
    assert done["ChecksumSHA256"] == head["ChecksumSHA256"] == f"{whole}-2"
    assert head["ChecksumType"] == "COMPOSITE"


def test_a_full_checksum_of_an_upload_must_hold(s3: Any, plain: Any):
    bucket, bodies = new_bucket(s3), (os.urandom(PART), b"the rest")
    made = plain.create_multipart_upload(Bucket=bucket, Key="m", ChecksumAlgorithm="CRC64NVME")
    upload = {"Bucket": bucket, "Key": "m", "UploadId": made["UploadId"]}
    parts = [
        {
            "PartNumber": number,
            "ETag": plain.upload_part(
                **upload, PartNumber=number, Body=body, ChecksumCRC64NVME=_crc64(body)
            )["ETag"],
        }
        for number, body in enumerate(bodies, 1)
    ]
    wrong = refusal(
        plain.complete_multipart_upload,
        **upload,
        MultipartUpload={"Parts": parts},
        ChecksumCRC64NVME=_crc64(b"another"),
    )
    assert wrong[:2] == ("BadDigest", 400)
    done = plain.complete_multipart_upload(
        **upload, MultipartUpload={"Parts": parts}, ChecksumCRC64NVME=_crc64(b"".join(bodies))
    )
    assert done["ChecksumCRC64NVME"] == _crc64(b"".join(bodies))
