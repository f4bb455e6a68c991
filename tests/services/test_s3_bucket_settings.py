"""What buckets tell of themselves: settings that are kept, and those that are never set."""

import json
from typing import Any

import pytest
from buckets_under_test import new_account, new_bucket, refusal
from running_gateways import Gateway


@pytest.fixture(scope="module")
def bucket(s3: Any) -> str:
    return new_bucket(s3)


# As AWS answers of a new bucket; Terraform asks for all of them.
@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("get_bucket_cors", "NoSuchCORSConfiguration"),
        ("get_bucket_website", "NoSuchWebsiteConfiguration"),
        ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
        ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
        ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"),
        ("get_bucket_tagging", "NoSuchTagSet"),
        ("get_bucket_policy", "NoSuchBucketPolicy"),
        ("get_bucket_logging", {}),
        ("get_bucket_accelerate_configuration", {}),
        ("get_bucket_notification_configuration", {}),
        ("get_bucket_versioning", {}),
        ("get_bucket_request_payment", {"Payer": "BucketOwner"}),
        ("list_bucket_metrics_configurations", {"IsTruncated": False}),
        ("list_bucket_analytics_configurations", {"IsTruncated": False}),
        ("list_bucket_inventory_configurations", {"IsTruncated": False}),
        ("list_bucket_intelligent_tiering_configurations", {"IsTruncated": False}),
        (
            "get_bucket_ownership_controls",
            {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
        ),
    ],
)
def test_a_new_bucket_says_that_nothing_is_set(
    s3: Any, bucket: str, operation: str, expected: str | dict[str, Any]
):
    if isinstance(expected, str):
        assert refusal(getattr(s3, operation), Bucket=bucket)[:2] == (expected, 404)
        return
    found = getattr(s3, operation)(Bucket=bucket)
    del found["ResponseMetadata"]
    assert found == expected


def test_acls_show_the_owner_and_cannot_be_set(s3: Any, bucket: str):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    me = s3.list_buckets()["Owner"]["ID"]
    for acl in (s3.get_bucket_acl(Bucket=bucket), s3.get_object_acl(Bucket=bucket, Key="k")):
        assert acl["Owner"]["ID"] == me
        assert acl["Grants"] == [
            {"Grantee": {"ID": me, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}
        ]
    assert refusal(s3.get_object_acl, Bucket=bucket, Key="none")[:2] == ("NoSuchKey", 404)
    denied = ("AccessControlListNotSupported", 400, "The bucket does not allow ACLs")
    assert refusal(s3.put_bucket_acl, Bucket=bucket, ACL="public-read") == denied
    assert refusal(s3.put_object_acl, Bucket=bucket, Key="k", ACL="public-read") == denied


def test_ownership_is_set_and_deleted_and_only_what_holds(s3: Any):
    bucket = new_bucket(s3)

    def put(ownership: str) -> Any:
        rules = [{"ObjectOwnership": ownership}]
        return {"Bucket": bucket, "OwnershipControls": {"Rules": rules}}

    refused = refusal(s3.put_bucket_ownership_controls, **put("ObjectWriter"))
    assert refused[:2] == ("NotImplemented", 501)
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    missing = refusal(s3.get_bucket_ownership_controls, Bucket=bucket)
    assert missing[:2] == ("OwnershipControlsNotFoundError", 404)
    s3.put_bucket_ownership_controls(**put("BucketOwnerEnforced"))
    s3.get_bucket_ownership_controls(Bucket=bucket)


def _public(bucket: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_the_public_access_block_is_on_and_can_be_changed_and_deleted(s3: Any):
    bucket = new_bucket(s3)

    def block() -> Any:
        return s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]

    assert set(block().values()) == {True}
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicPolicy": True}
    )
    assert [name for name, value in block().items() if value] == ["BlockPublicPolicy"]
    s3.delete_public_access_block(Bucket=bucket)
    assert refusal(s3.get_public_access_block, Bucket=bucket) == (
        "NoSuchPublicAccessBlockConfiguration",
        404,
        "The public access block configuration was not found",
    )


def test_a_public_policy_is_refused_where_it_is_blocked(s3: Any):
    bucket = new_bucket(s3)
    code, status, text = refusal(s3.put_bucket_policy, Bucket=bucket, Policy=_public(bucket))
    assert (code, status) == ("AccessDenied", 403)
    assert "BlockPublicPolicy" in text
    assert refusal(s3.get_bucket_policy, Bucket=bucket)[0] == "NoSuchBucketPolicy"


def test_a_public_policy_counts_for_its_own_account_alone_where_it_is_restricted(
    scripted_gateway: Gateway, s3: Any
):
    _, key, secret = new_account(scripted_gateway, "restricted")
    stranger = scripted_gateway.client("s3", key=key, secret=secret)
    bucket = new_bucket(s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=_public(bucket))
    assert stranger.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True}
    )
    assert refusal(stranger.get_object, Bucket=bucket, Key="k")[:2] == ("AccessDenied", 403)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
