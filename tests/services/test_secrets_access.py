"""Who may read a secret: policies of both sides, and leave for the key that encrypts it."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import Client, Inside
from kms_requests import make_key, may, owned, refusal, user
from statements import ACCOUNT, OTHER, allow, document, root_arn, to, user_arn

SERVICE = "secretsmanager"
SEED = Path(__file__).resolve().parents[2] / "../shared/seed-examples"
READ = "secretsmanager:GetSecretValue"
VALUE = b"a value that must not be found on disk"


async def make(client: Client, name: str = "db", **params: Any) -> str:
    made = await client.ask(SERVICE, "CreateSecret", Name=name, SecretString="one", **params)
    return made["ARN"]


async def test_the_documents_policy_lets_its_reader_have_that_secret(
    inside: Inside, admin: Client
) -> None:
    """KB-14: RUN-148, by the whole ARN and by its beginning with a star."""
    arn, other = await make(admin), await make(admin, "other")
    policy = json.loads((SEED / "RUN-148.json").read_text(encoding="utf-8"))
    statement = policy["Statement"][0]
    for name, resource in (("ann", arn), ("bob", arn[:-6] + "*")):
        client = await user(inside, name, statement | {"Resource": [resource]})
        assert await may(client, SERVICE, "GetSecretValue", SecretId="db")
        assert await may(client, SERVICE, "GetSecretValue", SecretId=arn)
        assert not await may(client, SERVICE, "GetSecretValue", SecretId=other)
        assert not await may(client, SERVICE, "DescribeSecret", SecretId="db")


async def test_a_customer_s_key_needs_leave_of_its_own(inside: Inside, admin: Client) -> None:
    """KB-15: RUN-149 beside RUN-148."""
    key = await make_key(admin)
    arn = await make(admin, KmsKeyId=key)
    decrypt = json.loads((SEED / "RUN-149.json").read_text(encoding="utf-8"))["Statement"][0]
    ann = await user(inside, "ann", allow(READ, arn))
    bob = await user(inside, "bob", allow(READ, arn), decrypt | {"Resource": [key]})
    assert await refusal(ann, SERVICE, "GetSecretValue", SecretId=arn) == (
        "AccessDeniedException",
        "Access to KMS is not allowed",
    )
    assert await may(bob, SERVICE, "GetSecretValue", SecretId=arn)
    assert not await may(bob, SERVICE, "PutSecretValue", SecretId=arn, SecretString="two")


async def test_the_key_may_be_for_secrets_only(inside: Inside, admin: Client) -> None:
    through = {"StringEquals": {"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}}
    key = await make_key(admin)
    arn = await make(admin, KmsKeyId=key)
    bound = {"StringEquals": {"kms:EncryptionContext:SecretARN": arn}}
    ann = await user(
        inside, "ann", allow(READ), allow("kms:Decrypt", key, Condition=through | bound)
    )
    assert await may(ann, SERVICE, "GetSecretValue", SecretId=arn)
    other = await make(admin, "other", KmsKeyId=key)
    assert not await may(ann, SERVICE, "GetSecretValue", SecretId=other)
    eve = await user(
        inside,
        "eve",
        allow(READ),
        allow(
            "kms:Decrypt",
            key,
            Condition={"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}},
        ),
    )
    assert not await may(eve, SERVICE, "GetSecretValue", SecretId=arn)


@pytest.mark.parametrize("by_secret", [True, False])
@pytest.mark.parametrize("by_user", [True, False])
@pytest.mark.parametrize("account", [ACCOUNT, OTHER])
async def test_abroad_both_sides_must_agree_and_at_home_one(
    inside: Inside, admin: Client, by_secret: bool, by_user: bool, account: str
) -> None:
    key = await make_key(admin, Policy=owned(to(root_arn(OTHER), "kms:*")))
    arn = await make(admin, KmsKeyId=key)
    statements = [allow("kms:Decrypt"), *([allow(READ)] if by_user else [])]
    ann = await user(inside, "ann", *statements, account=account)
    if by_secret:
        policy = document(to(user_arn("ann", account), READ))
        await admin.ask(SERVICE, "PutResourcePolicy", SecretId=arn, ResourcePolicy=policy)
    at_home = account == ACCOUNT
    expected = (by_secret or by_user) if at_home else (by_secret and by_user)
    assert await may(ann, SERVICE, "GetSecretValue", SecretId=arn) == expected


async def test_the_default_key_is_for_its_own_account_only(inside: Inside, admin: Client) -> None:
    arn = await make(admin)
    policy = document(to(root_arn(OTHER), "secretsmanager:*"))
    await admin.ask(SERVICE, "PutResourcePolicy", SecretId=arn, ResourcePolicy=policy)
    ann = await user(inside, "ann", allow("*"), account=OTHER)
    for operation, params in (("GetSecretValue", {}), ("PutSecretValue", {"SecretString": "x"})):
        answer = await refusal(ann, SERVICE, operation, SecretId=arn, **params)
        assert answer == ("AccessDeniedException", "Access to KMS is not allowed")
    code, _ = await refusal(ann, SERVICE, "GetSecretValue", SecretId="db")
    assert code == "ResourceNotFoundException"


async def test_a_policy_s_denial_holds_for_the_owner_too(inside: Inside, admin: Client) -> None:
    arn = await make(admin)
    policy = document(to(user_arn("admin"), READ) | {"Effect": "Deny"})
    await admin.ask(SERVICE, "PutResourcePolicy", SecretId=arn, ResourcePolicy=policy)
    assert not await may(admin, SERVICE, "GetSecretValue", SecretId=arn)
    shown = await admin.ask(SERVICE, "GetResourcePolicy", SecretId=arn)
    assert shown["ResourcePolicy"] == policy
    await admin.ask(SERVICE, "DeleteResourcePolicy", SecretId=arn)
    assert await may(admin, SERVICE, "GetSecretValue", SecretId=arn)
    assert "ResourcePolicy" not in await admin.ask(SERVICE, "GetResourcePolicy", SecretId=arn)


async def test_conditions_on_the_request_decide(inside: Inside, admin: Client) -> None:
    await make(admin, Tags=[{"Key": "team", "Value": "ml"}])
    await make(admin, "other")

    def when(operator: str, key: str, value: str) -> dict[str, Any]:
        return {"Condition": {operator: {f"secretsmanager:{key}": value}}}

    ann = await user(
        inside,
        "ann",
        allow(READ, **when("StringEquals", "VersionStage", "AWSCURRENT")),
        allow("secretsmanager:DescribeSecret", **when("StringEquals", "ResourceTag/team", "ml")),
        allow("secretsmanager:CreateSecret", **when("StringLike", "Name", "ann/*")),
        allow(
            "secretsmanager:DeleteSecret",
            **when("NumericGreaterThan", "RecoveryWindowInDays", "10"),
        ),
    )
    assert await may(ann, SERVICE, "GetSecretValue", SecretId="db")
    assert await may(ann, SERVICE, "DescribeSecret", SecretId="db")
    assert not await may(ann, SERVICE, "DescribeSecret", SecretId="other")
    assert await may(ann, SERVICE, "CreateSecret", Name="ann/one")
    assert not await may(ann, SERVICE, "CreateSecret", Name="bob/one")
    delete: dict[str, Any] = {"SecretId": "other"}
    assert not await may(ann, SERVICE, "DeleteSecret", **delete, RecoveryWindowInDays=7)
    assert not await may(ann, SERVICE, "DeleteSecret", **delete, ForceDeleteWithoutRecovery=True)
    assert await may(ann, SERVICE, "DeleteSecret", **delete, RecoveryWindowInDays=20)


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ("{", "MalformedPolicyDocumentException"),
        (document(allow("secretsmanager:*")), "MalformedPolicyDocumentException"),
        (document(to("*", "secretsmanager:*")), "PublicPolicyException"),
    ],
)
async def test_policies_that_cannot_stand_are_refused(
    admin: Client, policy: str, code: str
) -> None:
    arn = await make(admin)
    asked: dict[str, Any] = {"SecretId": arn, "ResourcePolicy": policy}
    answer = await refusal(admin, SERVICE, "PutResourcePolicy", **asked, BlockPublicPolicy=True)
    assert answer[0] == code
    checked = await admin.ask(SERVICE, "ValidateResourcePolicy", **asked)
    assert checked["PolicyValidationPassed"] is False
    assert len(checked["ValidationErrors"]) == 1


async def test_a_batch_gives_what_its_caller_may_read(inside: Inside, admin: Client) -> None:
    arn, other = await make(admin), await make(admin, "other")
    ann = await user(inside, "ann", allow("secretsmanager:BatchGetSecretValue"), allow(READ, arn))
    answer = await ann.ask(SERVICE, "BatchGetSecretValue", SecretIdList=[arn, other])
    assert [value["ARN"] for value in answer["SecretValues"]] == [arn]
    assert [each["ErrorCode"] for each in answer["Errors"]] == ["AccessDeniedException"]


async def test_values_are_nowhere_in_the_data_directory(
    tmp_path: Path, inside: Inside, admin: Client
) -> None:
    await admin.ask(SERVICE, "CreateSecret", Name="db", SecretBinary=VALUE)
    held = b"".join(file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file())
    assert b"secretsmanager:secret" in held
    assert VALUE not in held


async def test_a_denial_has_the_status_of_this_service(inside: Inside, admin: Client) -> None:
    await make(admin)
    ann = await user(inside, "ann")
    with pytest.raises(ClientError) as caught:
        await ann.ask(SERVICE, "GetSecretValue", SecretId="db")
    answer: Any = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert answer["Error"]["Code"] == "AccessDeniedException"
    assert (
        "is not authorized to perform: secretsmanager:GetSecretValue on resource: db because"
        in (answer["Error"]["Message"])
    )
