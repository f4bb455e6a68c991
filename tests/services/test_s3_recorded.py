"""The errors recorded of the real S3, asked for again: code, status and text.

``SCENES`` makes each of them happen; ``ELSEWHERE`` says of every other row why it does not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from buckets_under_test import new_bucket, refusal
from running_gateways import Gateway

FILE = Path(__file__).resolve().parents[2] / "../shared/aws-errors.jsonl"
ROWS = {
    (row["test"].split("::")[-1], row["key"]): row
    for row in map(json.loads, FILE.read_text(encoding="utf-8").splitlines())
    if row["service"] == "s3"
}
PART = 5 << 20

Scene = Callable[[Any, str], tuple[str, int, str]]


def _simply(operation: str, **params: Any) -> Scene:
    """One request about the bucket is refused."""
    return lambda s3, bucket: refusal(getattr(s3, operation), Bucket=bucket, **params)


def _on_object(operation: str, **params: Any) -> Scene:
    def scene(s3: Any, bucket: str) -> tuple[str, int, str]:
        s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
        return refusal(getattr(s3, operation), Bucket=bucket, Key="k", **params)

    return scene


def _upload(s3: Any, bucket: str, *bodies: bytes, **params: Any) -> tuple[Any, list[Any]]:
    """An open upload, and its parts as they are told to complete it."""
    made = s3.create_multipart_upload(Bucket=bucket, Key="m", **params)
    upload = {"Bucket": bucket, "Key": "m", "UploadId": made["UploadId"]}
    wanted = {k: v for k, v in params.items() if k == "ChecksumAlgorithm"}
    parts: list[Any] = []
    for number, body in enumerate(bodies, 1):
        put = s3.upload_part(**upload, PartNumber=number, Body=body, **wanted)
        sums = {k: v for k, v in put.items() if k.startswith(("ETag", "Checksum"))}
        parts.append({"PartNumber": number, **sums})
    return upload, parts


def _completed(
    change: Callable[[list[Any]], list[Any]],
    *bodies: bytes,
    told: dict[str, Any] | None = None,
    **params: Any,
) -> Scene:
    def scene(s3: Any, bucket: str) -> tuple[str, int, str]:
        upload, parts = _upload(s3, bucket, *bodies, **params)
        parts = change(parts)
        complete = s3.complete_multipart_upload
        return refusal(complete, **upload, MultipartUpload={"Parts": parts}, **(told or {}))

    return scene


def _same(parts: list[Any]) -> list[Any]:
    return parts


def _tags_only(parts: list[Any]) -> list[Any]:
    return [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]


def _parts_after_completion(s3: Any, bucket: str) -> tuple[str, int, str]:
    upload, parts = _upload(s3, bucket, b"x")
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    return refusal(s3.list_parts, **upload)


def _part_of_another_sum(created: str, **params: Any) -> Scene:
    def scene(s3: Any, bucket: str) -> tuple[str, int, str]:
        upload, _ = _upload(s3, bucket, ChecksumAlgorithm=created, **params)
        return refusal(s3.upload_part, **upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="CRC32")

    return scene


def _versions_left(s3: Any, bucket: str) -> tuple[str, int, str]:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="k")
    return refusal(s3.delete_bucket, Bucket=bucket)


def _without(operation: str, delete: str) -> Scene:
    def scene(s3: Any, bucket: str) -> tuple[str, int, str]:
        getattr(s3, delete)(Bucket=bucket)
        return refusal(getattr(s3, operation), Bucket=bucket)

    return scene


_WRONG = {"ChecksumSHA1": "A" * 27 + "=", "ChecksumSHA256": "A" * 43 + "="}
_TWICE = {"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}
_AWS_TAG = {"TagSet": [{"Key": "aws:prefixed", "Value": "1"}]}
_SHORT = "test_multipart_parts_checksum_exceptions_"

SCENES: dict[tuple[str, str], Scene] = {
    ("test_get_object_no_such_bucket", "/expected_error"): lambda s3, _: refusal(
        s3.get_object, Bucket="no-bucket-of-tests", Key="k"
    ),
    ("test_invalid_range_error", "/exc"): _on_object("get_object", Range="bytes=1024-4096"),
    ("test_range_key_not_exists", "/exc"): _simply("get_object", Key="x", Range="bytes=1024-4096"),
    ("test_put_object_checksum[CRC32C]", "/put-wrong-checksum-value"): _simply(
        "put_object", Key="k", Body=b"x", ChecksumCRC32C="AAAAAA=="
    ),
    ("test_put_object_checksum[CRC64NVME]", "/put-wrong-checksum-value"): _simply(
        "put_object", Key="k", Body=b"x", ChecksumCRC64NVME="AAAAAAAAAAA="
    ),
    ("test_put_object_checksum[SHA1]", "/put-wrong-checksum-no-b64"): _simply(
        "put_object", Key="k", Body=b"x", ChecksumSHA1="test"
    ),
    ("test_put_object_checksum[SHA1]", "/put-wrong-checksum-value"): _simply(
        "put_object", Key="k", Body=b"x", ChecksumSHA1=_WRONG["ChecksumSHA1"]
    ),
    ("test_put_object_checksum[SHA256]", "/put-wrong-checksum-no-b64"): _simply(
        "put_object", Key="k", Body=b"x", ChecksumSHA256="test"
    ),
    ("test_multipart_and_list_parts", "/list-part-after-complete-exc"): _parts_after_completion,
    ("test_complete_multipart_parts_order", "/upload-part-negative-part-number"): _simply(
        "upload_part", Key="k", UploadId="x", PartNumber=-1, Body=b"x"
    ),
    ("test_complete_multipart_parts_order", "/complete-multipart-unordered"): _completed(
        lambda parts: parts[::-1], b"a" * PART, b"b"
    ),
    (f"{_SHORT}composite", "/complete-part-with-checksum"): _completed(
        lambda parts: [{**parts[0], "ChecksumSHA256": _WRONG["ChecksumSHA256"]}],
        b"x",
        ChecksumAlgorithm="SHA256",
    ),
    (f"{_SHORT}composite", "/upload-part-different-checksum-exc"): _part_of_another_sum("SHA256"),
    (f"{_SHORT}full_object", "/complete-part-bad-checksum-type"): _completed(
        _same,
        b"x",
        told={"ChecksumType": "COMPOSITE"},
        ChecksumAlgorithm="CRC32",
        ChecksumType="FULL_OBJECT",
    ),
    (f"{_SHORT}full_object", "/upload-part-different-checksum-exc"): _part_of_another_sum(
        "CRC32C", ChecksumType="FULL_OBJECT"
    ),
    (
        "test_complete_multipart_parts_checksum_default",
        "/complete-multipart-full-object-type",
    ): _completed(_tags_only, b"x", told={"ChecksumType": "FULL_OBJECT"}),
    (
        "test_complete_multipart_parts_checksum_composite[CRC32]",
        "/complete-multipart-no-checksum",
    ): _completed(_tags_only, b"x", ChecksumAlgorithm="CRC32"),
    (
        "test_complete_multipart_parts_checksum_composite[SHA256]",
        "/complete-multipart-no-checksum",
    ): _completed(_tags_only, b"x", ChecksumAlgorithm="SHA256"),
    (
        "test_multipart_checksum_type_compatibility[COMPOSITE-CRC64NVME]",
        "/create-mpu-checksum-exc",
    ): _simply(
        "create_multipart_upload", Key="k", ChecksumAlgorithm="CRC64NVME", ChecksumType="COMPOSITE"
    ),
    ("test_multipart_size_validation", "/complete-multipart-wrong-size"): _completed(
        _same, b"test", told={"MpuObjectSize": 5}
    ),
    ("test_multipart_complete_multipart_too_small", "/complete-exc-too-small"): _completed(
        _same, b"a", b"b"
    ),
    (
        "test_multipart_complete_multipart_wrong_part",
        "/complete-exc-wrong-part-number",
    ): _completed(lambda parts: [{**parts[0], "PartNumber": 2}], b"a"),
    ("test_s3_get_object_preconditions[get_object]", "/precondition-if-none-match"): _on_object(
        "get_object", IfNoneMatch="781e5e245d69b566979b86e28d23f2c7"
    ),
    ("test_s3_get_object_preconditions[head_object]", "/precondition-if-match"): _on_object(
        "head_object", IfMatch="wrong"
    ),
    ("test_get_object_part", "/part-with-range"): _on_object(
        "get_object", Range="bytes=0-8", PartNumber=1
    ),
    ("test_get_bucket_policy", "/get-bucket-policy-no-such-bucket-policy"): _simply(
        "get_bucket_policy"
    ),
    (
        "test_delete_bucket_policy_expected_bucket_owner",
        "/delete-bucket-policy-invalid-bucket-owner",
    ): _simply("delete_bucket_policy", ExpectedBucketOwner="invalid"),
    **{
        (
            f"test_get_bucket_policy_invalid_account_id[{owner}]",
            "/get-bucket-policy-invalid-bucket-owner",
        ): _simply("get_bucket_policy", ExpectedBucketOwner=owner)
        for owner in ("0000", "abcd", "aa000000000$")
    },
    ("test_different_location_constraint", "/create-bucket-us-east-2-no-constraint-exc"): (
        lambda s3, _: refusal(s3.in_region("us-east-2").create_bucket, Bucket="tests-nowhere")
    ),
    ("test_create_bucket_with_eu_location_constraint_raises", "/eu-location-constraint-error"): (
        lambda s3, _: refusal(
            s3.create_bucket,
            Bucket="tests-nowhere",
            CreateBucketConfiguration={"LocationConstraint": "EU"},
        )
    ),
    ("test_delete_versioned_bucket_with_objects", "/delete-with-obj-and-delete-marker"): (
        _versions_left
    ),
    ("test_bucket_versioning_crud", "/put-versioning-empty"): _simply(
        "put_bucket_versioning", VersioningConfiguration={}
    ),
    ("test_tagging_validation", "/put-bucket-tags-duplicate-keys"): _simply(
        "put_bucket_tagging", Tagging=_TWICE
    ),
    ("test_tagging_validation", "/put-object-tags-aws-prefixed"): _on_object(
        "put_object_tagging", Tagging=_AWS_TAG
    ),
    (
        "test_put_object_lock_configuration_on_existing_bucket",
        "/get-object-lock-existing-bucket-no-config",
    ): _simply("get_object_lock_configuration"),
    ("test_crud_bucket_ownership_controls", "/get-ownership-after-delete"): _without(
        "get_bucket_ownership_controls", "delete_bucket_ownership_controls"
    ),
    ("test_crud_public_access_block", "/get-public-access-block-after-delete"): _without(
        "get_public_access_block", "delete_public_access_block"
    ),
    ("test_put_object_if_none_match_validation", "/put-obj-if-none-match-bad-value"): _simply(
        "put_object", Key="k", Body=b"x", IfNoneMatch="abc"
    ),
    ("test_list_objects_versions_markers", "/list-objects-next-version-only"): _simply(
        "list_object_versions", VersionIdMarker="x"
    ),
    ("test_crud_website_configuration", "/get-no-such-website-config"): _simply(
        "get_bucket_website"
    ),
    ("test_replication_config", "/expected_error_no_replication_set"): _simply(
        "get_bucket_replication"
    ),
    ("test_s3_analytics_configurations", "/get_config_with_storage_analysis_err"): _simply(
        "get_bucket_analytics_configuration", Id="x"
    ),
    ("test_s3_sse_validate_kms_key", "/put-obj-wrong-kms-key"): _simply(
        "put_object",
        Key="k",
        Body=b"x",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId="fake-key-id",
    ),
}
OTHER_TESTS = "under test elsewhere"
_UNDONE = {
    "not implemented: ACLs": ("test_s3_bucket_acl_exceptions",),
    "not implemented: storage classes": ("test_s3_get_deep_archive_object_restore",),
    "not implemented: websites": ("test_validate_website_configuration",),
    "not implemented: forms that upload": (
        "test_post_request_expires",
        "test_post_request_missing_signature[s3]",
        "test_post_request_missing_signature[s3v4]",
        "test_post_request_missing_fields[s3]",
        "test_post_request_missing_fields[s3v4]",
        "test_post_object_policy_validation_size",
        "test_post_object_policy_conditions_validation_eq",
    ),
    "not implemented: replication, lifecycles, logging, notifications, acceleration, CORS": (
        "test_replication_config",
        "test_replication_config_without_filter",
        "test_put_bucket_lifecycle_conf_exc",
        "test_s3_transition_default_minimum_object_size",
        "test_put_bucket_logging_wrong_target",
        "test_invalid_lambda_arn",
        "test_bucket_acceleration_configuration_exc",
        "test_cors_http_options_no_config",
        "test_cors_match_origins",
        "test_put_cors_invalid_rules",
    ),
    "not implemented: Object Lock": (
        "test_s3_object_retention_exc",
        "test_object_lock_delete_markers",
        "test_put_object_lock_configuration_on_existing_bucket",
        "test_disable_versioning_on_locked_bucket",
        "test_delete_object_with_no_locking",
    ),
    "not implemented: keys of customers": (
        "test_put_object_validation_sse_c",
        "test_object_retrieval_sse_c",
        "test_multipart_upload_sse_c_validation",
    ),
    OTHER_TESTS: (
        "test_create_bucket_with_existing_name",
        "test_s3_presigned_url_expired[s3]",
        "test_s3_put_presigned_url_missing_sig_param[s3v4]",
        "test_s3_sse_validate_kms_key",
        "test_s3_sse_validate_kms_key_state",
    ),
    "boto3 needs another package to make this checksum": (
        "test_complete_multipart_parts_checksum_composite[CRC32C]",
    ),
    "the error says that S3 itself failed": ("test_create_bucket_with_tags_exc",),
    "its code and status, in the words of every value that no list has": (
        "test_bucket_ownership_controls_exc",
        "test_list_ops_encoding_type_validation[list_objects_v2]",
    ),
    "the store does not tell a delete marker from what is not there": (
        "test_s3_copy_object_src_not_exists",
    ),
    "an empty body is refused as a parameter that is missing": ("test_bucket_policy_exc",),
    "a region that only a client's settings name": ("test_create_bucket_aws_global",),
    "two uploads that race: the store decides by what is there at the end": (
        "test_multipart_if_none_match_with_delete",
    ),
}
ELSEWHERE = {test: reason for reason, tests in _UNDONE.items() for test in tests}


@pytest.fixture(scope="module")
def s3(scripted_gateway: Gateway) -> Any:
    client = scripted_gateway.client("s3")

    def in_region(region: str) -> Any:
        return scripted_gateway.client("s3", region)

    client.in_region = in_region
    return client


def test_every_row_is_asked_for_or_has_its_reason() -> None:
    assert SCENES.keys() <= ROWS.keys()
    assert {test for test, _ in ROWS.keys() - SCENES.keys()} == ELSEWHERE.keys()


@pytest.mark.parametrize("name", SCENES, ids=lambda name: "".join(name))
def test_a_refusal_is_the_recorded_one(s3: Any, name: tuple[str, str]) -> None:
    row = ROWS[name]
    told = SCENES[name](s3, new_bucket(s3))
    assert told == (row["code"], row["status"], row["message"])
