"""KMS keys through their life, as clients see it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from in_process import ADMIN, Client, Inside
from kms_requests import make_key, owned, refusal
from statements import ACCOUNT, to, user_arn

from outcrop.errors import AWSError
from outcrop.stores.kms_records import KmsAlias, KmsGrant, KmsKey

UNKNOWN = "134f2428-cec1-4b25-a1ae-9048164dba47"


async def at(inside: Inside, days: float, operation: str, **params: Any) -> Any:
    """The operation as the administrator, that many days from now."""
    call = inside.call(inside.caller(ADMIN), datetime.now(UTC) + timedelta(days=days))
    return await call.perform("kms", operation, params)


async def refused_at(inside: Inside, days: float, operation: str, **params: Any) -> AWSError:
    with pytest.raises(AWSError) as caught:
        await at(inside, days, operation, **params)
    return caught.value


async def test_a_new_key_is_symmetric_and_left_to_its_account(admin: Client) -> None:
    made = await admin.ask("kms", "CreateKey", Description="mine")
    metadata = made["KeyMetadata"]
    key_id = metadata["KeyId"]
    assert metadata["Arn"] == f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{key_id}"
    assert metadata["KeySpec"] == "SYMMETRIC_DEFAULT"
    assert (metadata["KeyState"], metadata["KeyManager"]) == ("Enabled", "CUSTOMER")
    assert metadata["MultiRegion"] is False
    described = await admin.ask("kms", "DescribeKey", KeyId=key_id)
    assert described["KeyMetadata"] == metadata
    policy = await admin.ask("kms", "GetKeyPolicy", KeyId=key_id)
    assert f"arn:aws:iam::{ACCOUNT}:root" in policy["Policy"]


@pytest.mark.parametrize(
    "kind",
    [
        {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"},
        {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
        {"CustomerMasterKeySpec": "ECC_NIST_P256"},
        {"Origin": "EXTERNAL"},
        {"MultiRegion": True},
        {"CustomKeyStoreId": "cks-1"},
    ],
)
async def test_kinds_of_keys_that_are_not_kept_are_refused(
    admin: Client, kind: dict[str, Any]
) -> None:
    """SE-15: every key here is a symmetric one, so no other can be given to a job."""
    code, _ = await refusal(admin, "kms", "CreateKey", **kind)
    assert code == "UnsupportedOperationException"


async def test_a_key_is_found_by_every_form_of_its_name(admin: Client) -> None:
    arn = await make_key(admin)
    key_id = arn.rpartition("/")[2]
    await admin.ask("kms", "CreateAlias", AliasName="alias/mine", TargetKeyId=key_id)
    alias_arn = f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/mine"
    for name in (key_id, arn, "alias/mine", alias_arn):
        described = await admin.ask("kms", "DescribeKey", KeyId=name)
        assert described["KeyMetadata"]["Arn"] == arn


async def test_a_key_is_of_its_region(inside: Inside, admin: Client) -> None:
    arn = await make_key(admin)
    elsewhere = Client(inside.app, ADMIN, region="eu-west-1")
    message = (await refusal(elsewhere, "kms", "DescribeKey", KeyId=arn.rpartition("/")[2]))[1]
    assert message == f"Key '{arn.replace('us-east-1', 'eu-west-1')}' does not exist"
    assert await refusal(elsewhere, "kms", "DescribeKey", KeyId=arn) == (
        "NotFoundException",
        "Invalid arn us-east-1",
    )
    sealed = await admin.ask("kms", "Encrypt", KeyId=arn, Plaintext=b"x")
    blob = sealed["CiphertextBlob"]
    code, message = await refusal(elsewhere, "kms", "Decrypt", CiphertextBlob=blob)
    assert code == "AccessDeniedException"
    assert message.startswith("The ciphertext refers to a customer master key that does not exist")


async def test_operations_on_keys_take_no_alias(admin: Client) -> None:
    await admin.ask("kms", "CreateAlias", AliasName="alias/a", TargetKeyId=await make_key(admin))
    answer = await refusal(admin, "kms", "DisableKey", KeyId="alias/a")
    assert answer == ("NotFoundException", "Invalid keyId 'alias/a'")


async def test_keys_and_aliases_are_listed_page_by_page(admin: Client) -> None:
    arns = {await make_key(admin) for _ in range(5)}
    seen: set[str] = set()
    page = await admin.ask("kms", "ListKeys", Limit=2)
    while True:
        seen |= {key["KeyArn"] for key in page["Keys"]}
        if not page["Truncated"]:
            break
        page = await admin.ask("kms", "ListKeys", Limit=2, Marker=page["NextMarker"])
    assert seen == arns
    code, _ = await refusal(admin, "kms", "ListKeys", Marker="bm9uZQ==")
    assert code == "InvalidMarkerException"


async def test_an_alias_moves_and_goes(admin: Client) -> None:
    first, second = await make_key(admin), await make_key(admin)
    await admin.ask("kms", "CreateAlias", AliasName="alias/a", TargetKeyId=first)
    code, _ = await refusal(admin, "kms", "CreateAlias", AliasName="alias/a", TargetKeyId=second)
    assert code == "AlreadyExistsException"
    await admin.ask("kms", "UpdateAlias", AliasName="alias/a", TargetKeyId=second)
    described = await admin.ask("kms", "DescribeKey", KeyId="alias/a")
    assert described["KeyMetadata"]["Arn"] == second
    listed = await admin.ask("kms", "ListAliases", KeyId=second)
    assert [alias["AliasName"] for alias in listed["Aliases"]] == ["alias/a"]
    await admin.ask("kms", "DeleteAlias", AliasName="alias/a")
    code, message = await refusal(admin, "kms", "DescribeKey", KeyId="alias/a")
    expected = f"Alias arn:aws:kms:us-east-1:{ACCOUNT}:alias/a is not found."
    assert (code, message) == ("NotFoundException", expected)
    for name in ("alias/aws/mine", "alias/ä"):
        code, _ = await refusal(admin, "kms", "CreateAlias", AliasName=name, TargetKeyId=first)
        assert code in ("InvalidAliasNameException", "ValidationException")


async def test_a_service_s_key_is_made_when_first_asked_for_and_cannot_be_changed(
    admin: Client,
) -> None:
    described = (await admin.ask("kms", "DescribeKey", KeyId="alias/aws/s3"))["KeyMetadata"]
    again = (await admin.ask("kms", "DescribeKey", KeyId="alias/aws/s3"))["KeyMetadata"]
    assert described == again
    assert described["KeyManager"] == "AWS"
    key = described["KeyId"]
    for operation in ("DisableKey", "ScheduleKeyDeletion", "DisableKeyRotation"):
        assert (await refusal(admin, "kms", operation, KeyId=key))[0] == "AccessDeniedException"
    # Its policy lets it be used through the service only.
    code, _ = await refusal(admin, "kms", "Encrypt", KeyId=key, Plaintext=b"x")
    assert code == "AccessDeniedException"


async def test_a_disabled_key_does_nothing_until_it_is_enabled(admin: Client) -> None:
    arn = await make_key(admin)
    blob = (await admin.ask("kms", "Encrypt", KeyId=arn, Plaintext=b"x"))["CiphertextBlob"]
    await admin.ask("kms", "DisableKey", KeyId=arn)
    disabled = ("DisabledException", f"{arn} is disabled.")
    assert await refusal(admin, "kms", "Decrypt", CiphertextBlob=blob) == disabled
    assert await refusal(admin, "kms", "Encrypt", KeyId=arn, Plaintext=b"x") == disabled
    assert await refusal(admin, "kms", "RotateKeyOnDemand", KeyId=arn) == disabled
    await admin.ask("kms", "EnableKey", KeyId=arn)
    assert (await admin.ask("kms", "Decrypt", CiphertextBlob=blob))["Plaintext"] == b"x"


async def test_a_key_to_be_deleted_is_there_until_the_day_and_gone_after_it(
    inside: Inside, admin: Client
) -> None:
    arn = await make_key(admin)
    await admin.ask("kms", "CreateAlias", AliasName="alias/a", TargetKeyId=arn)
    grantee = user_arn("ann")
    await admin.ask(
        "kms", "CreateGrant", KeyId=arn, GranteePrincipal=grantee, Operations=["Decrypt"]
    )
    blob = (await admin.ask("kms", "Encrypt", KeyId=arn, Plaintext=b"x"))["CiphertextBlob"]
    pending = await admin.ask("kms", "ScheduleKeyDeletion", KeyId=arn, PendingWindowInDays=7)
    assert (pending["KeyId"], pending["KeyState"]) == (arn, "PendingDeletion")
    assert await refusal(admin, "kms", "Decrypt", CiphertextBlob=blob) == (
        "KMSInvalidStateException",
        f"{arn} is pending deletion.",
    )
    described = await at(inside, 6.9, "DescribeKey", KeyId=arn)
    assert described["KeyMetadata"]["KeyState"] == "PendingDeletion"
    gone = await refused_at(inside, 7.1, "DescribeKey", KeyId=arn)
    assert (gone.code, gone.message) == ("NotFoundException", f"Key '{arn}' does not exist")
    async with inside.deployment.state.stores.resources.reading() as view:
        for kind in (KmsKey, KmsAlias, KmsGrant):
            assert await view.list(kind) == []


async def test_a_cancelled_deletion_leaves_the_key_disabled(inside: Inside, admin: Client) -> None:
    arn = await make_key(admin)
    code, _ = await refusal(admin, "kms", "CancelKeyDeletion", KeyId=arn)
    assert code == "KMSInvalidStateException"
    await admin.ask("kms", "ScheduleKeyDeletion", KeyId=arn, PendingWindowInDays=7)
    assert (await admin.ask("kms", "CancelKeyDeletion", KeyId=arn))["KeyId"] == arn
    described = await at(inside, 40, "DescribeKey", KeyId=arn)
    assert described["KeyMetadata"]["KeyState"] == "Disabled"


@pytest.mark.parametrize("days", [1, 6, 31, 365])
async def test_the_window_of_a_deletion_is_7_to_30_days(admin: Client, days: int) -> None:
    arn = await make_key(admin)
    code, _ = await refusal(
        admin, "kms", "ScheduleKeyDeletion", KeyId=arn, PendingWindowInDays=days
    )
    assert code == "ValidationException"


async def test_old_material_decrypts_after_every_kind_of_rotation(
    inside: Inside, admin: Client
) -> None:
    arn = await make_key(admin)
    first = await admin.ask("kms", "Encrypt", KeyId=arn, Plaintext=b"one")
    await admin.ask("kms", "RotateKeyOnDemand", KeyId=arn)
    second = await admin.ask("kms", "Encrypt", KeyId=arn, Plaintext=b"two")
    await admin.ask("kms", "EnableKeyRotation", KeyId=arn, RotationPeriodInDays=90)
    opened = [
        await at(inside, 91, "Decrypt", CiphertextBlob=each["CiphertextBlob"])
        for each in (first, second)
    ]
    assert [each["Plaintext"] for each in opened] == [b"one", b"two"]
    used = {each["KeyMaterialId"] for each in opened}
    listed = await at(inside, 91, "ListKeyRotations", KeyId=arn)
    assert [each["RotationType"] for each in listed["Rotations"]] == ["ON_DEMAND", "AUTOMATIC"]
    third = await at(inside, 91, "GenerateDataKey", KeyId=arn, KeySpec="AES_256")
    assert third["KeyMaterialId"] not in used
    assert len(used) == 2
    every = await admin.ask(
        "kms", "ListKeyRotations", KeyId=arn, IncludeKeyMaterial="ALL_KEY_MATERIAL"
    )
    states = [each["KeyMaterialState"] for each in every["Rotations"]]
    assert states == ["NON_CURRENT", "NON_CURRENT", "CURRENT"]


async def test_rotation_is_told_switched_on_and_off(inside: Inside, admin: Client) -> None:
    arn = await make_key(admin)
    status = await admin.ask("kms", "GetKeyRotationStatus", KeyId=arn)
    assert status["KeyRotationEnabled"] is False
    await admin.ask("kms", "EnableKeyRotation", KeyId=arn)
    status = await admin.ask("kms", "GetKeyRotationStatus", KeyId=arn)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 365)
    await admin.ask("kms", "DisableKeyRotation", KeyId=arn)
    listed = await at(inside, 400, "ListKeyRotations", KeyId=arn)
    assert listed["Rotations"] == []


async def test_a_policy_that_locks_its_author_out_is_refused(admin: Client) -> None:
    arn = await make_key(admin)
    await admin.ask("iam", "CreateUser", UserName="bob")
    locked = owned().replace(":root", ":user/bob")
    answer = await refusal(admin, "kms", "PutKeyPolicy", KeyId=arn, Policy=locked)
    assert answer == (
        "MalformedPolicyDocumentException",
        "The new key policy will not allow you to update the key policy in the future.",
    )
    assert (await refusal(admin, "kms", "CreateKey", Policy=locked))[0] == answer[0]
    await admin.ask(
        "kms", "PutKeyPolicy", KeyId=arn, Policy=locked, BypassPolicyLockoutSafetyCheck=True
    )
    code, message = await refusal(admin, "kms", "DescribeKey", KeyId=arn)
    assert code == "AccessDeniedException"
    assert message == (
        f"User: arn:aws:iam::{ACCOUNT}:user/admin is not authorized to perform: kms:DescribeKey on "
        f"resource: {arn} because no resource-based policy allows the kms:DescribeKey action"
    )


async def test_a_key_policy_names_nobody_who_is_not_there(admin: Client) -> None:
    """Else whoever gets the name later has the key."""
    arn = await make_key(admin)
    refused = (
        "MalformedPolicyDocumentException",
        "Policy contains a statement with one or more invalid principals.",
    )
    for principal in (user_arn("nobody"), f"arn:aws:iam::{ACCOUNT}:role/none", "999999999999"):
        policy = owned(to(principal, "kms:Decrypt"))
        assert await refusal(admin, "kms", "PutKeyPolicy", KeyId=arn, Policy=policy) == refused
        assert await refusal(admin, "kms", "CreateKey", Policy=policy) == refused
    await admin.ask("kms", "PutKeyPolicy", KeyId=arn, Policy=owned(to("*", "kms:Decrypt")))


async def test_a_policy_names_its_own_author(admin: Client) -> None:
    policy = owned(to(user_arn("admin"), "kms:PutKeyPolicy"))
    arn = await make_key(admin, Policy=policy)
    assert (await admin.ask("kms", "GetKeyPolicy", KeyId=arn))["Policy"] == policy
    listed = await admin.ask("kms", "ListKeyPolicies", KeyId=arn)
    assert listed["PolicyNames"] == ["default"]


async def test_tags_come_and_go(admin: Client) -> None:
    arn = await make_key(admin, Tags=[{"TagKey": "a", "TagValue": "1"}])
    await admin.ask("kms", "TagResource", KeyId=arn, Tags=[{"TagKey": "b", "TagValue": "2"}])
    await admin.ask("kms", "UntagResource", KeyId=arn, TagKeys=["a"])
    listed = await admin.ask("kms", "ListResourceTags", KeyId=arn)
    assert listed["Tags"] == [{"TagKey": "b", "TagValue": "2"}]


async def test_a_description_is_replaced(admin: Client) -> None:
    arn = await make_key(admin)
    await admin.ask("kms", "UpdateKeyDescription", KeyId=arn, Description="new")
    described = await admin.ask("kms", "DescribeKey", KeyId=arn)
    assert described["KeyMetadata"]["Description"] == "new"
