"""Whose buckets are whose: names, regions, policies, and what one account sees of another."""

import json
from typing import Any

import pytest
from buckets_under_test import new_account, new_bucket, refusal
from running_gateways import ACCOUNT, Gateway


@pytest.fixture(scope="module")
def stranger(scripted_gateway: Gateway) -> tuple[str, Any]:
    """The number and the client of another account."""
    account, key, secret = new_account(scripted_gateway, "stranger")
    return account, scripted_gateway.client("s3", key=key, secret=secret)


def _open_bucket(s3: Any) -> str:
    """That may have a public policy."""
    bucket = new_bucket(s3)
    s3.delete_public_access_block(Bucket=bucket)
    return bucket


def test_two_accounts_see_and_touch_only_their_own_buckets(s3: Any, stranger: tuple[str, Any]):
    mine, theirs = new_bucket(s3), new_bucket(stranger[1])
    s3.put_object(Bucket=mine, Key="k", Body=b"mine")
    assert theirs not in {one["Name"] for one in s3.list_buckets()["Buckets"]}
    assert {one["Name"] for one in stranger[1].list_buckets()["Buckets"]} == {theirs}
    for action, params in (
        (stranger[1].get_object, {"Key": "k"}),
        (stranger[1].head_object, {"Key": "k"}),
        (stranger[1].put_object, {"Key": "k", "Body": b"theirs"}),
        (stranger[1].delete_object, {"Key": "k"}),
        (stranger[1].list_objects_v2, {}),
        (stranger[1].get_bucket_policy, {}),
        (stranger[1].delete_bucket, {}),
        (stranger[1].head_bucket, {}),
        (stranger[1].copy_object, {"Key": "c", "CopySource": {"Bucket": mine, "Key": "k"}}),
    ):
        assert refusal(action, Bucket=mine, **params)[1] == 403
    copying = {"Bucket": theirs, "Key": "c", "CopySource": {"Bucket": mine, "Key": "k"}}
    assert refusal(stranger[1].copy_object, **copying)[1] == 403
    assert s3.get_object(Bucket=mine, Key="k")["Body"].read() == b"mine"
    taken = refusal(stranger[1].create_bucket, Bucket=mine)
    assert taken[:2] == ("BucketAlreadyExists", 409)


def test_a_bucket_policy_lets_another_account_in_as_far_as_it_says(
    s3: Any, stranger: tuple[str, Any]
):
    bucket = new_bucket(s3)
    for key in ("shared/k", "own/k"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{stranger[0]}:root"},
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/shared/*",
            }
        ],
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy
    assert stranger[1].get_object(Bucket=bucket, Key="shared/k")["Body"].read() == b"x"
    assert refusal(stranger[1].get_object, Bucket=bucket, Key="own/k")[1] == 403
    # Who may not list does not learn what is missing.
    missing = refusal(stranger[1].get_object, Bucket=bucket, Key="shared/none")
    assert missing == ("AccessDenied", 403, "Access Denied")
    s3.delete_bucket_policy(Bucket=bucket)
    assert refusal(stranger[1].get_object, Bucket=bucket, Key="shared/k")[1] == 403


def test_a_deny_of_the_bucket_policy_binds_its_own_account(scripted_gateway: Gateway, s3: Any):
    bucket = _open_bucket(s3)
    denied = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [denied]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    code, status, text = refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x")
    assert (code, status) == ("AccessDenied", 403)
    assert "explicit deny in a resource-based policy" in text


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ("nonsense", "Policies must be valid JSON and the first byte must be '{'"),
        (
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",'
            '"Action":"s3:GetObject","Resource":"arn:aws:s3:::another-bucket/*"}]}',
            "Policy has invalid resource",
        ),
    ],
)
def test_a_policy_that_cannot_hold_is_refused(s3: Any, policy: str, text: str):
    bucket = new_bucket(s3)
    assert refusal(s3.put_bucket_policy, Bucket=bucket, Policy=policy) == (
        "MalformedPolicy",
        400,
        text,
    )


# Recorded of the real service.
@pytest.mark.parametrize(
    ("operation", "params", "expected"),
    [
        (
            "get_bucket_policy",
            {},
            ("NoSuchBucketPolicy", 404, "The bucket policy does not exist"),
        ),
        (
            "get_bucket_policy",
            {"ExpectedBucketOwner": "abcd"},
            (
                "InvalidBucketOwnerAWSAccountID",
                400,
                "The value of the expected bucket owner parameter must be an AWS Account ID... "
                "[abcd]",
            ),
        ),
        (
            "put_bucket_versioning",
            {"VersioningConfiguration": {}},
            (
                "IllegalVersioningConfigurationException",
                400,
                "The Versioning element must be specified",
            ),
        ),
        (
            "put_bucket_tagging",
            {"Tagging": {"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}},
            ("InvalidTag", 400, "Cannot provide multiple Tags with the same key"),
        ),
        (
            "put_bucket_tagging",
            {"Tagging": {"TagSet": [{"Key": "aws:x", "Value": "1"}]}},
            ("InvalidTag", 400, "Your TagKey cannot be prefixed with aws:"),
        ),
        (
            "get_object",
            {"Key": "k", "Range": "bytes=0-1", "PartNumber": 1},
            (
                "InvalidRequest",
                400,
                "Cannot specify both Range header and partNumber query parameter",
            ),
        ),
        (
            "list_parts",
            {"Key": "k", "UploadId": "0123456789abcdef"},
            (
                "NoSuchUpload",
                404,
                "The specified upload does not exist. The upload ID may be invalid, or the upload "
                "may have been aborted or completed.",
            ),
        ),
        (
            "put_object",
            {"Key": "k", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "fake-key-id"},
            ("KMS.NotFoundException", 400, "Invalid keyId 'fake-key-id'"),
        ),
    ],
)
def test_refusals_are_the_recorded_ones(
    s3: Any, operation: str, params: dict[str, Any], expected: tuple[str, int, str]
):
    assert refusal(getattr(s3, operation), Bucket=new_bucket(s3), **params) == expected


def test_a_bucket_that_is_not_there_is_said_to_be_missing(s3: Any):
    missing = ("NoSuchBucket", 404, "The specified bucket does not exist")
    for action, params in (
        (s3.get_object, {"Key": "k"}),
        (s3.put_object, {"Key": "k", "Body": b"x"}),
        (s3.list_objects_v2, {}),
        (s3.get_bucket_location, {}),
        (s3.delete_bucket, {}),
    ):
        assert refusal(action, Bucket="tests-not-there", **params) == missing


def test_a_bucket_with_objects_stays(s3: Any):
    bucket = new_bucket(s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert refusal(s3.delete_bucket, Bucket=bucket)[:2] == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    assert refusal(s3.head_bucket, Bucket=bucket)[1] == 404


@pytest.mark.parametrize("name", ["Capital", "a.b..c", "192.168.1.1", "xn--a-bucket", "dash-"])
def test_a_name_outside_the_rules_is_refused(scripted_gateway: Gateway, name: str):
    s3 = scripted_gateway.client("s3")
    assert refusal(s3.create_bucket, Bucket=name)[0] == "InvalidBucketName"


def test_regions_are_kept_apart(scripted_gateway: Gateway, s3: Any):
    ireland = scripted_gateway.client("s3", "eu-west-1")
    name = f"{new_bucket(s3)}-ireland"
    unspecified = refusal(ireland.create_bucket, Bucket=name)
    assert unspecified[0] == "IllegalLocationConstraintException"
    where = {"LocationConstraint": "eu-west-1"}
    ireland.create_bucket(Bucket=name, CreateBucketConfiguration=where)
    assert ireland.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-west-1"
    again = refusal(ireland.create_bucket, Bucket=name, CreateBucketConfiguration=where)
    assert again == (
        "BucketAlreadyOwnedByYou",
        409,
        "Your previous request to create the named bucket succeeded and you already own it.",
    )


def test_an_operation_that_is_not_there_says_so(s3: Any):
    bucket = new_bucket(s3)
    website = {"IndexDocument": {"Suffix": "index.html"}}
    unknown: tuple[tuple[Any, dict[str, Any]], ...] = (
        (s3.put_bucket_website, {"WebsiteConfiguration": website}),
        (s3.put_bucket_request_payment, {"RequestPaymentConfiguration": {"Payer": "Requester"}}),
        (s3.put_bucket_logging, {"BucketLoggingStatus": {}}),
    )
    for action, params in unknown:
        assert refusal(action, Bucket=bucket, **params)[:2] == ("NotImplemented", 501)


def test_the_account_of_a_bucket_is_the_one_that_made_it(s3: Any):
    bucket = new_bucket(s3)
    s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=ACCOUNT)
    other = refusal(s3.head_bucket, Bucket=bucket, ExpectedBucketOwner="999999999999")
    assert other[1] == 403


@pytest.mark.parametrize(
    ("principal", "condition", "public"),
    [
        ("*", None, True),
        ({"AWS": "*"}, {"Bool": {"aws:SecureTransport": "true"}}, True),
        ("*", {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}, True),
        ("*", {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
        ("*", {"StringEquals": {"aws:SourceAccount": "123456789012"}}, False),
        ("*", {"StringLike": {"aws:SourceVpce": "vpce-*"}}, True),
        ({"Service": "bedrock.amazonaws.com"}, None, False),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, None, False),
    ],
)
def test_a_policy_for_everybody_is_public(
    s3: Any, principal: Any, condition: dict[str, Any] | None, public: bool
):
    bucket = _open_bucket(s3)
    statement = {
        "Effect": "Allow",
        "Principal": principal,
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        **({"Condition": condition} if condition else {}),
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is public
