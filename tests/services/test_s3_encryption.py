"""Objects at rest: what lies on the disk, who may read what KMS encrypts, and what answers say."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from buckets_under_test import new_bucket, refusal
from running_gateways import ACCOUNT, Gateway

PART = 5 << 20


@pytest.fixture(scope="module")
def kms(scripted_gateway: Gateway) -> Any:
    return scripted_gateway.client("kms")


@pytest.fixture
def key(kms: Any) -> str:
    return kms.create_key()["KeyMetadata"]["Arn"]


def _user(gateway: Gateway, name: str, statements: list[dict[str, Any]]) -> Any:
    """The S3 client of a user with one policy."""
    iam = gateway.client("iam")
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="granted", PolicyDocument=document)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return gateway.client("s3", key=made["AccessKeyId"], secret=made["SecretAccessKey"])


def _lies_in(folder: Path, text: bytes) -> bool:
    return any(text in file.read_bytes() for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("kind", ["AES256", "aws:kms"])
def test_no_object_lies_readable_on_the_disk(s3: Any, scripted_gateway: Gateway, kind: str):
    bucket, body = new_bucket(s3), b"a plain text nobody may find %d " % os.getpid()
    s3.put_object(Bucket=bucket, Key="small", Body=body, ServerSideEncryption=kind)
    s3.put_object(Bucket=bucket, Key="large", Body=body * 200_000, ServerSideEncryption=kind)
    made = s3.create_multipart_upload(Bucket=bucket, Key="m", ServerSideEncryption=kind)
    upload = {"Bucket": bucket, "Key": "m", "UploadId": made["UploadId"]}
    s3.upload_part(PartNumber=1, Body=body * 200_000, **upload)
    assert s3.get_object(Bucket=bucket, Key="small")["Body"].read() == body
    objects = scripted_gateway.data_dir / "objects"
    assert objects.is_dir()
    assert not _lies_in(objects, body)


def test_answers_name_the_kms_key(s3: Any, key: str):
    bucket = new_bucket(s3)
    kms_key = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    for answer in (
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **kms_key),
        s3.get_object(Bucket=bucket, Key="k"),
        s3.head_object(Bucket=bucket, Key="k"),
        s3.copy_object(
            Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "k"}, **kms_key
        ),
    ):
        assert answer["ServerSideEncryption"] == "aws:kms"
        assert answer["SSEKMSKeyId"] == key
        assert answer["BucketKeyEnabled"] is True


def test_a_bucket_encrypts_by_default_as_it_is_told(s3: Any, key: str):
    bucket = new_bucket(s3)
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
        "BucketKeyEnabled": True,
    }
    configuration = {"Rules": [rule]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=configuration)
    told = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert told == configuration
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"x")["SSEKMSKeyId"] == key
    s3.delete_bucket_encryption(Bucket=bucket)
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"y")["ServerSideEncryption"] == "AES256"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"y"


def test_ranges_parts_and_copies_of_encrypted_objects_are_exact(s3: Any, key: str):
    bucket, body = new_bucket(s3), os.urandom(PART + 12_345)
    made = s3.create_multipart_upload(
        Bucket=bucket, Key="m", ServerSideEncryption="aws:kms", SSEKMSKeyId=key
    )
    upload = {"Bucket": bucket, "Key": "m", "UploadId": made["UploadId"]}
    first = s3.upload_part(PartNumber=1, Body=body[:PART], **upload)["ETag"]
    second = s3.upload_part(PartNumber=2, Body=body[PART:], **upload)["ETag"]
    parts = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": second}]
    s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)
    assert s3.get_object(Bucket=bucket, Key="m")["Body"].read() == body
    across = s3.get_object(Bucket=bucket, Key="m", Range=f"bytes={PART - 3}-{PART + 2}")
    assert across["Body"].read() == body[PART - 3 : PART + 3]

    source = {"Bucket": bucket, "Key": "m"}
    again = s3.create_multipart_upload(Bucket=bucket, Key="p")
    upload = {"Bucket": bucket, "Key": "p", "UploadId": again["UploadId"]}
    copied = s3.upload_part_copy(
        PartNumber=1, CopySource=source, CopySourceRange=f"bytes=7-{PART + 9}", **upload
    )
    parts = [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}]
    s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)
    s3.copy_object(Bucket=bucket, Key="plain", CopySource=source)
    assert s3.get_object(Bucket=bucket, Key="p")["Body"].read() == body[7 : PART + 10]
    plain = s3.get_object(Bucket=bucket, Key="plain")
    assert plain["ServerSideEncryption"] == "AES256"
    digest = hashlib.sha256(plain["Body"].read()).digest()
    assert digest == hashlib.sha256(body).digest()


def test_writing_needs_leave_to_generate_and_reading_to_decrypt(
    scripted_gateway: Gateway, s3: Any, key: str
):
    bucket = new_bucket(s3)
    objects = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    via = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    arn = {"StringEquals": {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}"}}
    may = {"Effect": "Allow", "Resource": key}
    generate = {**may, "Action": "kms:GenerateDataKey", "Condition": via}
    decrypt = {**may, "Action": "kms:Decrypt", "Condition": {**via, **arn}}
    writer = _user(scripted_gateway, f"writer-{bucket}", [objects, generate])
    reader = _user(scripted_gateway, f"reader-{bucket}", [objects, decrypt])
    sealed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}

    assert refusal(reader.put_object, Bucket=bucket, Key="k", Body=b"x", **sealed)[1] == 403
    writer.put_object(Bucket=bucket, Key="k", Body=b"x", **sealed)
    code, status, text = refusal(writer.get_object, Bucket=bucket, Key="k")
    assert (code, status) == ("AccessDenied", 403)
    assert "kms:Decrypt" in text
    assert refusal(writer.head_object, Bucket=bucket, Key="k")[1] == 403
    copying = {"Key": "c", "CopySource": {"Bucket": bucket, "Key": "k"}}
    assert refusal(writer.copy_object, Bucket=bucket, **copying)[1] == 403
    assert reader.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_nothing_under_a_disabled_key_is_read_or_written(s3: Any, kms: Any, key: str):
    bucket = new_bucket(s3)
    sealed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **sealed)
    s3.put_object(Bucket=bucket, Key="other", Body=b"y")
    kms.disable_key(KeyId=key)
    disabled = ("KMS.DisabledException", 400, f"{key} is disabled.")
    assert refusal(s3.get_object, Bucket=bucket, Key="k") == disabled
    assert refusal(s3.put_object, Bucket=bucket, Key="n", Body=b"x", **sealed) == disabled
    assert s3.get_object(Bucket=bucket, Key="other")["Body"].read() == b"y"
    kms.enable_key(KeyId=key)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_aws_managed_key_serves_who_names_none(s3: Any, kms: Any):
    bucket = new_bucket(s3)
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms")
    managed = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert put["SSEKMSKeyId"] == managed["Arn"]
    assert managed["Arn"].split(":")[4] == ACCOUNT
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
