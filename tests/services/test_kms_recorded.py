"""KMS and Secrets Manager against what AWS was recorded to answer: codes, statuses, texts, members.

A recording of something that is not kept here (asymmetric keys, imported material, replicas) has
no scene and is listed as such, so that a new recording must be given one or the other.
"""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import Client, Inside
from kms_requests import make_key
from statements import ACCOUNT, user_arn

SHARED = Path(__file__).resolve().parents[2] / "../shared"
UNKNOWN = "134f2428-cec1-4b25-a1ae-9048164dba47"
ABSENT = re.compile(
    r"RSA|ECC|sign_verify|replicate|import|derive_shared|verify_mac|hmac|MAC|mac\[|non_symmetric"
    r"|pending_key_material|imported|/sign-invalid|KMS_key"
)


def recorded(service: str) -> list[dict[str, Any]]:
    lines = (SHARED / "aws-errors.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [row for row in rows if row["service"] == service]


def names(row: dict[str, Any]) -> str:
    return row["test"].rpartition("::")[2] + row["key"]


Scene = Callable[[Client, str], Awaitable[object]]
"""A request that AWS refused, on a key of ours."""


async def decrypt_by_another(client: Client, key: str) -> object:
    sealed = await client.ask("kms", "Encrypt", KeyId=key, Plaintext=b"x")
    blob = sealed["CiphertextBlob"]
    return await client.ask("kms", "Decrypt", CiphertextBlob=blob, KeyId=await make_key(client))


async def decrypt_without_context(client: Client, key: str) -> object:
    sealed = await client.ask(
        "kms", "Encrypt", KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1"}
    )
    return await client.ask("kms", "Decrypt", CiphertextBlob=sealed["CiphertextBlob"])


async def rotate_disabled(client: Client, key: str) -> object:
    await client.ask("kms", "DisableKey", KeyId=key)
    return await client.ask("kms", "RotateKeyOnDemand", KeyId=key)


def elsewhere(client: Client) -> Client:
    return Client(client.app, client.keys, region="eu-west-1")


def tagged(*tags: tuple[str, str]) -> list[dict[str, str]]:
    return [{"TagKey": key, "TagValue": value} for key, value in tags]


MAC = {"Message": b"x", "MacAlgorithm": "HMAC_SHA_224"}
KMS_SCENES: dict[str, Scene] = {
    "/generate-random-exc": lambda client, _: client.ask("kms", "GenerateRandom"),
    "/describe-key-diff-region-with-id": lambda client, key: elsewhere(client).ask(
        "kms", "DescribeKey", KeyId=key.rpartition("/")[2]
    ),
    "/describe-key-diff-region-with-arn": lambda client, key: elsewhere(client).ask(
        "kms", "DescribeKey", KeyId=key
    ),
    "/describe-key-with-invalid-uuid-2": lambda client, _: client.ask(
        "kms", "DescribeKey", KeyId=UNKNOWN.replace("-", "")
    ),
    "HMAC_SHA_224]/generate-mac-invalid-key-id": lambda client, _: client.ask(
        "kms", "GenerateMac", KeyId="key_id", **MAC
    ),
    "invalid_keys/generate-mac-invalid-key-id": lambda client, key: client.ask(
        "kms", "GenerateMac", KeyId=key, **MAC
    ),
    "/decrypt-invalid-key-id": decrypt_by_another,
    "/decrypt_response_without_encryption_context": decrypt_without_context,
    "/response-invalid-key": lambda client, key: client.ask(
        "kms", "DeriveSharedSecret", KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=b"x"
    ),
    "/duplicate-tag-keys": lambda client, key: client.ask(
        "kms", "TagResource", KeyId=key, Tags=tagged(("a", "1"), ("a", "2"))
    ),
    "raises_error/invalid-tag-key": lambda client, _: client.ask(
        "kms", "CreateKey", Tags=tagged(*((str(each), "") for each in range(51)))
    ),
    "with_invalid_tag_key/invalid-tag-key": lambda client, key: client.ask(
        "kms", "TagResource", KeyId=key, Tags=tagged(("aws:key1", "value"))
    ),
    "given_key_is_disabled/error-response": rotate_disabled,
}


def comparable(text: str, key: str) -> str:
    """AWS's account, region and IDs, and the placeholders of the recordings, as ours."""
    key_id = key.rpartition("/")[2]
    region = "eu-west-1" if "<region>" in text else "us-east-1"
    for placeholder, value in (
        ("<key-arn>", key),
        ("<key-id:1>", key_id),
        ("<partition>", "aws"),
        ("<region>", region),
        ("<secondary-region>", "us-east-1"),
        ("111111111111", ACCOUNT),
    ):
        text = text.replace(placeholder, value)
    return text


def scene_of(row: dict[str, Any]) -> Scene | None:
    found = [scene for ending, scene in KMS_SCENES.items() if names(row).endswith(ending)]
    return found[0] if found and "RSA_" not in names(row) else None


STAGED = [row for row in recorded("kms") if scene_of(row)]


@pytest.mark.parametrize("row", STAGED, ids=names)
async def test_kms_refuses_as_recorded(admin: Client, row: dict[str, Any]) -> None:
    key = await make_key(admin)
    scene = scene_of(row)
    assert scene is not None
    with pytest.raises(ClientError) as caught:
        await scene(admin, key)
    answer: Any = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == row["status"]
    assert answer["Error"]["Code"] == row["code"]
    assert answer["Error"]["Message"] == comparable(row["message"], key)


def test_every_other_recording_is_of_something_that_is_not_kept_here() -> None:
    elsewhere = {
        names(row)
        for row in recorded("kms")
        if scene_of(row) is None and not ABSENT.search(names(row))
    }
    # These have their own tests: a dry run of GenerateDataKey, a tag value over its length, and key
    # pairs, which are not made here.
    assert elsewhere == {
        "test_generate_data_key_pair_dry_run/dryrun_exception",
        "test_key_with_long_tag_value_raises_error/too-long-tag-value",
    }


async def test_a_tag_value_over_its_length_is_refused_as_recorded(admin: Client) -> None:
    row = next(row for row in recorded("kms") if row["key"] == "/too-long-tag-value")
    value = re.findall("Value '(v+)'", row["message"])[0]
    with pytest.raises(ClientError) as caught:
        await admin.ask("kms", "CreateKey", Tags=tagged(("a", value)))
    answer: Any = caught.value.response
    assert answer["Error"]["Message"] == row["message"]


def answers(service: str, operation: str) -> list[dict[str, Any]]:
    lines = (SHARED / "real-control-plane.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        row["data"]
        for row in rows
        if (row["service"], row["op"], row["status"]) == (service, operation, 200)
    ]


async def test_answers_have_the_members_that_were_recorded(admin: Client) -> None:
    key = await make_key(admin)
    await admin.ask("kms", "CreateAlias", AliasName="alias/a", TargetKeyId=key)
    asked: dict[str, dict[str, Any]] = {
        "DescribeKey": {"KeyId": key},
        "ListAliases": {"KeyId": key},
        "ListKeys": {},
        "GetKeyPolicy": {"KeyId": key},
        "ListGrants": {"KeyId": key},
        "ListResourceTags": {"KeyId": key},
        "ScheduleKeyDeletion": {"KeyId": key},
    }
    for operation, params in asked.items():
        ours = await admin.ask("kms", operation, **params)
        for recorded_answer in answers("kms", operation):
            assert ours.keys() >= recorded_answer.keys() - {"NextMarker"}, operation
    metadata = (await admin.ask("kms", "DescribeKey", KeyId=key))["KeyMetadata"]
    for recorded_answer in answers("kms", "DescribeKey"):
        members = recorded_answer["KeyMetadata"].keys() - {"MultiRegionConfiguration", "ValidTo"}
        assert metadata.keys() >= members - {"ExpirationModel", "CloudHsmClusterId"}


async def test_an_unknown_alias_and_a_missing_leave_are_told_as_recorded(
    inside: Inside, admin: Client
) -> None:
    lines = (SHARED / "real-control-plane.jsonl").read_text(encoding="utf-8").splitlines()
    refused = {
        row["op"]: row
        for row in map(json.loads, lines)
        if row["service"] == "kms" and row["status"] == 400
    }
    with pytest.raises(ClientError) as caught:
        await admin.ask("kms", "DescribeKey", KeyId="alias/some-nonexistant-alias")
    answer: Any = caught.value.response
    told = refused["DescribeKey"]["data"]["Error"]
    assert answer["Error"]["Message"] == told["Message"].replace("644160558196", ACCOUNT)
    key = await make_key(admin)
    ann = inside.client(await inside.user(ACCOUNT, "ann"))
    nobody = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"AWS": user_arn("admin")},
                "Action": "kms:*",
                "Resource": "*",
            },
        }
    )
    await admin.ask("kms", "PutKeyPolicy", KeyId=key, Policy=nobody)
    with pytest.raises(ClientError) as caught:
        await ann.ask("kms", "ListKeyRotations", KeyId=key)
    answer = caught.value.response
    told = refused["ListKeyRotations"]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == told["status"]
    expected = re.sub(r"User: \S+", f"User: {user_arn('ann')}", told["data"]["Error"]["Message"])
    assert answer["Error"]["Message"] == re.sub(r"arn:aws:kms\S+", key, expected)
