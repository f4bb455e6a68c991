"""Objects through a running gateway with unmodified clients: boto3 and the AWS CLI."""

import hashlib
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from buckets_under_test import new_bucket, peak_kib, refusal
from running_gateways import Gateway

BIG = 64 << 20


@pytest.fixture(scope="module")
def bucket(s3: Any) -> str:
    return new_bucket(s3)


def test_an_object_comes_back_with_its_metadata_and_nothing_of_the_store(s3: Any, bucket: str):
    put = s3.put_object(Bucket=bucket, Key="a/ä b+c%", Body=b"hello", Metadata={"k": "v"})
    got = s3.get_object(Bucket=bucket, Key="a/ä b+c%")
    assert got["Body"].read() == b"hello"
    digest = hashlib.md5(b"hello", usedforsecurity=False).hexdigest()
    assert got["ETag"] == put["ETag"] == f'"{digest}"'
    assert got["Metadata"] == {"k": "v"}
    assert got["ContentType"] == "binary/octet-stream"
    assert got["ServerSideEncryption"] == "AES256"
    headers = got["ResponseMetadata"]["HTTPHeaders"]
    assert "seaweed" not in str(headers).lower()


def test_a_range_and_conditions_are_answered_as_s3_does(s3: Any, bucket: str):
    tag = s3.put_object(Bucket=bucket, Key="ranged", Body=b"0123456789")["ETag"]
    got = s3.get_object(Bucket=bucket, Key="ranged", Range="bytes=2-4")
    assert got["Body"].read() == b"234"
    assert got["ContentRange"] == "bytes 2-4/10"
    beyond = refusal(s3.get_object, Bucket=bucket, Key="ranged", Range="bytes=100-")
    assert beyond == ("InvalidRange", 416, "The requested range is not satisfiable")
    same = refusal(s3.get_object, Bucket=bucket, Key="ranged", IfNoneMatch=tag)
    assert same[:2] == ("304", 304)
    other = refusal(s3.get_object, Bucket=bucket, Key="ranged", IfMatch='"other"')
    assert other[:2] == ("PreconditionFailed", 412)
    again = refusal(s3.put_object, Bucket=bucket, Key="ranged", Body=b"x", IfNoneMatch="*")
    assert again[:2] == ("PreconditionFailed", 412)


def test_listings_page_and_fold_by_delimiter(s3: Any, bucket: str):
    keys = [f"listed/{part}/{number}" for part in "ab" for number in range(3)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    folded = s3.list_objects_v2(Bucket=bucket, Prefix="listed/", Delimiter="/")
    assert [one["Prefix"] for one in folded["CommonPrefixes"]] == ["listed/a/", "listed/b/"]
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix="listed/", PaginationConfig={"PageSize": 4}
    )
    assert [one["Key"] for page in pages for one in page["Contents"]] == keys


def test_objects_are_copied_tagged_and_deleted_in_one_request(s3: Any, bucket: str):
    s3.put_object(Bucket=bucket, Key="original", Body=b"x", Tagging="a=b")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "original"})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"x"
    tags = s3.get_object_tagging(Bucket=bucket, Key="original")["TagSet"]
    assert tags == [{"Key": "a", "Value": "b"}]
    done = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "original"}, {"Key": "copy"}]}
    )
    assert {one["Key"] for one in done["Deleted"]} == {"original", "copy"}
    gone = refusal(s3.get_object, Bucket=bucket, Key="copy")
    assert gone == ("NoSuchKey", 404, "The specified key does not exist.")


def test_versions_are_kept_when_asked_for(s3: Any):
    versioned = new_bucket(s3)
    s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=versioned, Key="v", Body=b"1")["VersionId"]
    s3.put_object(Bucket=versioned, Key="v", Body=b"2")
    s3.delete_object(Bucket=versioned, Key="v")
    assert refusal(s3.get_object, Bucket=versioned, Key="v")[:2] == ("NoSuchKey", 404)
    assert s3.get_object(Bucket=versioned, Key="v", VersionId=first)["Body"].read() == b"1"
    assert len(s3.list_object_versions(Bucket=versioned)["Versions"]) == 2


def test_a_body_that_is_not_what_its_hash_promises_leaves_nothing(s3: Any, bucket: str):
    wrong = refusal(
        s3.put_object,
        Bucket=bucket,
        Key="promised",
        Body=b"y" * 300_000,
        ChecksumSHA256="A" * 43 + "=",
    )
    assert wrong[:2] == ("BadDigest", 400)
    assert refusal(s3.head_object, Bucket=bucket, Key="promised")[1] == 404


KEYS = [
    *(
        "a",
        "a/",
        "a//b",
        "a/b",
        "a b",
        "a.b",
        "a\\b",
        "a%2Fb",
        "a+b",
        "a?b#c&d=e",
        "/a",
        "./a",
        "..",
    ),
    *(
        "a/../b",
        "a.versions/x",
        ".uploads/x",
        "\x01\n\x7f",
        "ü/日本",
        "\U0001f600",
        "\uffff",
        '~[!"',
    ),
    *("x" * 255, "y" * 600 + "/z", "é" * 300, '<&>"'),
]


def test_every_key_is_one_of_its_own(s3: Any):
    bucket = new_bucket(s3)
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in KEYS:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    listed = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(KEYS, key=str.encode)
    for key in KEYS:
        copied = s3.copy_object(
            Bucket=bucket, Key=f"copy/{key}", CopySource={"Bucket": bucket, "Key": key}
        )
        assert copied["CopyObjectResult"]["ETag"]
        assert s3.head_object(Bucket=bucket, Key=f"copy/{key}")["ContentLength"] == len(
            key.encode()
        )
    # XML has no way to write these.
    unwritable = {key for key in KEYS if "\x01" in key or "\uffff" in key}
    for key in unwritable:
        s3.delete_object(Bucket=bucket, Key=key)
    written = [{"Key": key} for key in KEYS if key not in unwritable]
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": written})
    assert {one["Key"] for one in done["Deleted"]} == set(KEYS) - unwritable
    assert s3.list_objects_v2(Bucket=bucket, Prefix="copy/")["KeyCount"] == len(KEYS)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == len(KEYS)


def test_a_key_that_is_too_long_is_refused(s3: Any, bucket: str):
    too_long = refusal(s3.put_object, Bucket=bucket, Key="x" * 1025, Body=b"")
    assert too_long == ("KeyTooLongError", 400, "Your key is too long")


@pytest.mark.parametrize(
    "params",
    [
        {"ACL": "public-read"},
        {"StorageClass": "GLACIER"},
        {"WebsiteRedirectLocation": "/x"},
        {"GrantRead": "id=1"},
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
    ],
)
def test_what_is_not_done_is_refused_not_ignored(s3: Any, bucket: str, params: dict[str, str]):
    status = refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **params)[1]
    assert status in (400, 501)
    assert refusal(s3.head_object, Bucket=bucket, Key="k")[1] == 404


def test_a_large_file_passes_up_and_down_in_constant_memory(
    s3: Any, bucket: str, scripted_gateway: Gateway, tmp_path: Path
):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(BIG))
    # One request of the whole size each way, and a multipart upload by several threads.
    s3.put_object(Bucket=bucket, Key="warm", Body=b"x")
    before_kib = peak_kib(scripted_gateway.process.pid)
    with source.open("rb") as body:
        s3.put_object(Bucket=bucket, Key="whole", Body=body)
    s3.upload_file(str(source), bucket, "parts", Config=TransferConfig(multipart_threshold=8 << 20))
    for key in ("whole", "parts"):
        s3.download_file(bucket, key, str(target))
        assert _digest(target) == _digest(source)
    assert peak_kib(scripted_gateway.process.pid) - before_kib < 48 << 10


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def test_a_presigned_url_reads_an_object_without_a_client(s3: Any, bucket: str):
    s3.put_object(Bucket=bucket, Key="shared", Body=b"for you")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "shared"})
    # The URL of this very test's server.
    with urllib.request.urlopen(url) as answer:  # noqa: S310
        assert answer.read() == b"for you"


def test_the_aws_cli_makes_fills_syncs_and_removes_a_bucket(
    scripted_gateway: Gateway, tmp_path: Path, s3: Any
):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "one.txt").write_bytes(b"one")
    (folder / "deep" / "two.bin").write_bytes(os.urandom(9 << 20))
    name = f"cli-{os.getpid()}-bucket"

    def aws(*arguments: str) -> str:
        done = subprocess.run(
            ["aws", "s3", *arguments],
            env=scripted_gateway.environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    aws("mb", f"s3://{name}")
    aws("cp", str(folder / "one.txt"), f"s3://{name}/copied.txt")
    aws("sync", str(folder), f"s3://{name}/synced")
    assert "two.bin" in aws("ls", "--recursive", f"s3://{name}")
    aws("sync", f"s3://{name}/synced", str(tmp_path / "back"))
    back = (tmp_path / "back" / "deep" / "two.bin").read_bytes()
    assert back == (folder / "deep" / "two.bin").read_bytes()
    # Nothing has changed, so nothing is sent again.
    assert aws("sync", str(folder), f"s3://{name}/synced") == ""
    aws("rm", f"s3://{name}/copied.txt")
    aws("rb", "--force", f"s3://{name}")
    assert name not in {one["Name"] for one in s3.list_buckets()["Buckets"]}
