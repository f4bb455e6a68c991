"""What each S3 operation asks leave for, as AWS's documents list it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from outcrop.authorization.access import Access, Asked
from outcrop.authorization.s3 import RULES, listing, read_copy_source
from outcrop.catalog.load import load_catalog
from outcrop.config import Config
from outcrop.errors import ServiceError
from outcrop.identity import Caller, Principal
from outcrop.wire.http import Request
from outcrop.wire.spec import load_service

ACCOUNT = "123456789012"
CALLER = Caller(
    Principal(ACCOUNT, "ann", f"arn:aws:iam::{ACCOUNT}:user/ann", "user"),
    "AKIAOUTCROPTESTS0001",
    "us-east-1",
    "header",
)
CATALOG = load_catalog(Config())
B = "arn:aws:s3:::b"
K = "arn:aws:s3:::b/dir/k"
OBJECT = {"Bucket": "b", "Key": "dir/k"}
OLD = {**OBJECT, "VersionId": "v1"}

# Of directory buckets, object lambdas and annotations: nothing here answers them.
ELSEWHERE = {
    "CreateSession",
    "DeleteObjectAnnotation",
    "GetObjectAnnotation",
    "ListDirectoryBuckets",
    "ListObjectAnnotations",
    "PutObjectAnnotation",
    "RenameObject",
    "UpdateBucketMetadataAnnotationTableConfiguration",
    "UpdateBucketMetadataInventoryTableConfiguration",
    "UpdateBucketMetadataJournalTableConfiguration",
    "WriteGetObjectResponse",
}


def request(*headers: tuple[str, str], query: str = "") -> Request:
    return Request("GET", "/", query, headers, b"", "127.0.0.1:4510")


def asked_for(
    params: dict[str, Any], caller: Caller = CALLER, sent: Request | None = None
) -> Asked:
    # Rows of S3 ask for no models.
    nothing = cast(Any, None)
    return Asked(params, caller, "us-east-1", CATALOG, sent or request(), nothing)


def asked(operation: str, params: dict[str, Any], **more: Any) -> list[Access]:
    return list(RULES[operation](asked_for(params, **more)))


def keys(operation: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    return dict(asked(operation, params, **more)[0].keys)


def test_every_operation_has_its_row() -> None:
    assert RULES.keys() == load_service("s3").operations.keys() - ELSEWHERE


PLACES: dict[str, tuple[str, dict[str, Any], list[tuple[str, str]]]] = {
    "GetObject": ("GetObject", OBJECT, [("s3:GetObject", K)]),
    "GetObject of a version": ("GetObject", OLD, [("s3:GetObjectVersion", K)]),
    "HeadObject": ("HeadObject", OBJECT, [("s3:GetObject", K)]),
    "HeadBucket": ("HeadBucket", {"Bucket": "b"}, [("s3:ListBucket", B)]),
    "ListObjectsV2": ("ListObjectsV2", {"Bucket": "b"}, [("s3:ListBucket", B)]),
    "ListObjectVersions": ("ListObjectVersions", {"Bucket": "b"}, [("s3:ListBucketVersions", B)]),
    "ListBuckets": ("ListBuckets", {}, [("s3:ListAllMyBuckets", "*")]),
    "PutObject": ("PutObject", OBJECT, [("s3:PutObject", K)]),
    "PutObject with all there is": (
        "PutObject",
        {
            **OBJECT,
            "ACL": "private",
            "Tagging": "a=b",
            "ObjectLockMode": "GOVERNANCE",
            "ObjectLockLegalHoldStatus": "ON",
        },
        [
            ("s3:PutObject", K),
            ("s3:PutObjectAcl", K),
            ("s3:PutObjectTagging", K),
            ("s3:PutObjectRetention", K),
            ("s3:PutObjectLegalHold", K),
        ],
    ),
    "CreateMultipartUpload": ("CreateMultipartUpload", OBJECT, [("s3:PutObject", K)]),
    "UploadPart": ("UploadPart", OBJECT, [("s3:PutObject", K)]),
    "CompleteMultipartUpload": ("CompleteMultipartUpload", OBJECT, [("s3:PutObject", K)]),
    "AbortMultipartUpload": ("AbortMultipartUpload", OBJECT, [("s3:AbortMultipartUpload", K)]),
    "ListParts": ("ListParts", OBJECT, [("s3:ListMultipartUploadParts", K)]),
    "ListMultipartUploads": (
        "ListMultipartUploads",
        {"Bucket": "b"},
        [("s3:ListBucketMultipartUploads", B)],
    ),
    "CopyObject": (
        "CopyObject",
        {**OBJECT, "CopySource": "from/a%20b"},
        [("s3:GetObject", "arn:aws:s3:::from/a b"), ("s3:PutObject", K)],
    ),
    "CopyObject of a version": (
        "CopyObject",
        {**OBJECT, "CopySource": "/from/a?versionId=x", "Tagging": "a=b"},
        [
            ("s3:GetObjectVersion", "arn:aws:s3:::from/a"),
            ("s3:PutObject", K),
            ("s3:PutObjectTagging", K),
        ],
    ),
    "UploadPartCopy": (
        "UploadPartCopy",
        {**OBJECT, "CopySource": "from/a"},
        [("s3:GetObject", "arn:aws:s3:::from/a"), ("s3:PutObject", K)],
    ),
    "DeleteObject": ("DeleteObject", OBJECT, [("s3:DeleteObject", K)]),
    "DeleteObject of a version under a lock": (
        "DeleteObject",
        {**OLD, "BypassGovernanceRetention": True},
        [("s3:DeleteObjectVersion", K), ("s3:BypassGovernanceRetention", K)],
    ),
    "DeleteObjects": (
        "DeleteObjects",
        {"Bucket": "b", "Delete": {"Objects": [{"Key": "x"}, {"Key": "y", "VersionId": "1"}]}},
        # Its handler decides key by key.
        [],
    ),
    "GetObjectAttributes": (
        "GetObjectAttributes",
        OLD,
        [("s3:GetObjectVersion", K), ("s3:GetObjectVersionAttributes", K)],
    ),
    "PutObjectTagging": (
        "PutObjectTagging",
        {**OLD, "Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}},
        [("s3:PutObjectVersionTagging", K)],
    ),
    "PutObjectRetention": (
        "PutObjectRetention",
        {**OBJECT, "Retention": {"Mode": "GOVERNANCE"}, "BypassGovernanceRetention": True},
        [("s3:PutObjectRetention", K), ("s3:BypassGovernanceRetention", K)],
    ),
    "CreateBucket": ("CreateBucket", {"Bucket": "b"}, [("s3:CreateBucket", B)]),
    "CreateBucket with all there is": (
        "CreateBucket",
        {
            "Bucket": "b",
            "ACL": "private",
            "ObjectLockEnabledForBucket": True,
            "ObjectOwnership": "BucketOwnerEnforced",
            "CreateBucketConfiguration": {"Tags": [{"Key": "a", "Value": "b"}]},
        },
        [
            ("s3:CreateBucket", B),
            ("s3:PutBucketAcl", B),
            ("s3:PutBucketObjectLockConfiguration", B),
            ("s3:PutBucketVersioning", B),
            ("s3:PutBucketOwnershipControls", B),
            ("s3:TagResource", B),
        ],
    ),
    "DeleteBucketCors": ("DeleteBucketCors", {"Bucket": "b"}, [("s3:PutBucketCORS", B)]),
    "GetBucketEncryption": (
        "GetBucketEncryption",
        {"Bucket": "b"},
        [("s3:GetEncryptionConfiguration", B)],
    ),
    "PutPublicAccessBlock": (
        "PutPublicAccessBlock",
        {"Bucket": "b"},
        [("s3:PutBucketPublicAccessBlock", B)],
    ),
}


@pytest.mark.parametrize(("operation", "params", "places"), PLACES.values(), ids=PLACES)
def test_an_operation_asks_for_its_actions(
    operation: str, params: dict[str, Any], places: list[tuple[str, str]]
) -> None:
    assert [(access.action, access.resource) for access in asked(operation, params)] == places


def test_parameters_are_condition_keys() -> None:
    found = keys("ListObjectsV2", {"Bucket": "b", "Prefix": "p/", "Delimiter": "/", "MaxKeys": 7})
    assert (found["s3:prefix"], found["s3:delimiter"], found["s3:max-keys"]) == ("p/", "/", "7")
    # A prefix that was not sent is absent, an empty one is there.
    assert "s3:prefix" not in keys("ListObjectsV2", {"Bucket": "b"})
    assert keys("ListObjectsV2", {"Bucket": "b", "Prefix": ""})["s3:prefix"] == ""
    encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k1", "ACL": "public-read"}
    found = keys("PutObject", {**OBJECT, **encrypted})
    assert found["s3:x-amz-server-side-encryption"] == "aws:kms"
    assert found["s3:x-amz-server-side-encryption-aws-kms-key-id"] == "k1"
    assert found["s3:x-amz-acl"] == "public-read"
    place = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    assert keys("CreateBucket", {"Bucket": "b", **place})["s3:locationconstraint"] == "eu-west-1"
    assert keys("GetObject", OLD)["s3:versionid"] == "v1"


@pytest.mark.parametrize(
    "tagging",
    ["Team=a%20b&x=", {"TagSet": [{"Key": "Team", "Value": "a b"}, {"Key": "x", "Value": ""}]}],
)
def test_tags_of_an_object_are_condition_keys(tagging: Any) -> None:
    found = keys("PutObjectTagging", {**OBJECT, "Tagging": tagging})
    assert found["s3:requestobjecttag/team"] == "a b"
    assert found["s3:requestobjecttagkeys"] == ("Team", "x")


def test_tags_of_a_bucket_are_global_condition_keys() -> None:
    tagging = {"TagSet": [{"Key": "Team", "Value": "a"}]}
    found = keys("PutBucketTagging", {"Bucket": "b", "Tagging": tagging})
    assert (found["aws:requesttag/team"], found["aws:tagkeys"]) == ("a", ("Team",))


def test_a_lock_is_a_condition_key_in_days_too() -> None:
    until = datetime.now(UTC) + timedelta(days=10, hours=1)
    found = keys("PutObject", {**OBJECT, "ObjectLockRetainUntilDate": until})
    assert found["s3:object-lock-remaining-retention-days"] == "10"
    assert found["s3:object-lock-retain-until-date"] == until.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_how_a_request_is_signed_is_a_condition_key() -> None:
    signed_at = (datetime.now(UTC) - timedelta(seconds=100)).strftime("%Y%m%dT%H%M%SZ")
    sent = request(("x-amz-date", signed_at), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"))
    found = keys("GetObject", OBJECT, sent=sent)
    assert found["s3:authtype"] == "REST-HEADER"
    assert found["s3:signatureversion"] == "AWS4-HMAC-SHA256"
    assert found["s3:x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert 100_000 <= int(found["s3:signatureage"]) < 200_000


def test_a_presigned_url_is_one_too() -> None:
    caller = replace(CALLER, proof="query")
    found = keys(
        "GetObject", OBJECT, caller=caller, sent=request(query="X-Amz-Date=20200101T000000Z")
    )
    assert found["s3:authtype"] == "REST-QUERY-STRING"
    assert found["s3:x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert int(found["s3:signatureage"]) > 10**11
    old = request(query="AWSAccessKeyId=a&Expires=1&Signature=s")
    assert keys("GetObject", OBJECT, caller=caller, sent=old)["s3:signatureversion"] == "AWS"


def test_a_service_that_calls_for_somebody_signs_nothing() -> None:
    caller = replace(CALLER, via=("bedrock.us-east-1.amazonaws.com",))
    assert keys("GetObject", OBJECT, caller=caller) == {}


def test_whether_a_missing_object_is_told_depends_on_the_bucket() -> None:
    access = listing(asked_for(OBJECT))
    assert (access.action, access.resource) == ("s3:ListBucket", B)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("b/k", ("b", "k", None)),
        ("/b/a/k", ("b", "a/k", None)),
        ("b%2Fk%3Fx", ("b", "k?x", None)),
        ("b/k?versionId=a%2Fb", ("b", "k", "a/b")),
        ("b/k+1", ("b", "k+1", None)),
    ],
)
def test_a_source_is_read(text: str, read: tuple[str, str, str | None]) -> None:
    assert read_copy_source(text) == read


@pytest.mark.parametrize("text", ["", "b", "b/", "/b", "//k", "b/k?versionId=", "b/k?acl"])
def test_a_source_without_bucket_or_key_is_refused(text: str) -> None:
    with pytest.raises(ServiceError) as caught:
        read_copy_source(text)
    assert caught.value.code == "InvalidArgument"
