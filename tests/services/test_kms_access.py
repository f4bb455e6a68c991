"""Who may use a key: its policy, the policies of both accounts, grants, and the service between."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from in_process import Client, Inside
from kms_requests import make_key, may, owned, refusal, user
from statements import ACCOUNT, OTHER, allow, document, root_arn, to, user_arn

from outcrop.errors import AuthorizationDenied

SEED = Path(__file__).resolve().parents[2] / "../shared/seed-examples"
CONTEXT = {"dept": "ml"}


async def sealed(client: Client, key: str, context: dict[str, str] | None = None) -> bytes:
    answer = await client.ask(
        "kms", "Encrypt", KeyId=key, Plaintext=b"x", EncryptionContext=context or {}
    )
    return answer["CiphertextBlob"]


@pytest.mark.parametrize("by_key", [None, "account", "user", "denied"])
@pytest.mark.parametrize("by_user", [True, False])
@pytest.mark.parametrize("account", [ACCOUNT, OTHER])
async def test_the_key_s_policy_decides_and_abroad_the_user_s_must_agree(
    inside: Inside, admin: Client, by_key: str | None, by_user: bool, account: str
) -> None:
    ann = await user(inside, "ann", *([allow("kms:*")] if by_user else []), account=account)
    arn = user_arn("ann", account)
    statements: dict[str | None, list[dict[str, Any]]] = {
        None: [],
        "account": [to(root_arn(account), "kms:*")],
        "user": [to(arn, "kms:*")],
        "denied": [to(arn, "kms:*"), to(arn, "kms:Decrypt") | {"Effect": "Deny"}],
    }
    policy = document(to(user_arn("admin"), "kms:*"), *statements[by_key])
    key = await make_key(admin, Policy=policy)
    blob = await sealed(admin, key)
    at_home = account == ACCOUNT
    expected = (by_key == "user" and (at_home or by_user)) or (by_key == "account" and by_user)
    assert await may(ann, "kms", "Decrypt", CiphertextBlob=blob) == expected
    assert await may(ann, "kms", "Decrypt", CiphertextBlob=blob, KeyId=key) == expected


async def test_keys_of_others_are_used_by_arn_and_managed_by_nobody_else(
    inside: Inside, admin: Client
) -> None:
    ann = await user(inside, "ann", allow("kms:*"), account=OTHER)
    key = await make_key(admin, Policy=owned(to(root_arn(OTHER), "kms:*")))
    assert await sealed(ann, key)
    described = await ann.ask("kms", "DescribeKey", KeyId=key)
    assert described["KeyMetadata"]["AWSAccountId"] == ACCOUNT
    for operation in ("DisableKey", "GetKeyPolicy", "ScheduleKeyDeletion", "ListResourceTags"):
        assert (await refusal(ann, "kms", operation, KeyId=key))[0] == "AccessDeniedException"
    code, _ = await refusal(ann, "kms", "DescribeKey", KeyId=key.rpartition("/")[2])
    assert code == "NotFoundException"
    listed = await ann.ask("kms", "ListKeys")
    assert listed["Keys"] == []


async def test_what_another_account_has_is_not_told(inside: Inside, admin: Client) -> None:
    ann = await user(inside, "ann", allow("kms:*"), account=OTHER)
    hidden = await make_key(admin)
    missing = hidden[:-4] + ("0000" if not hidden.endswith("0000") else "1111")
    answers = [await refusal(ann, "kms", "DescribeKey", KeyId=arn) for arn in (hidden, missing)]
    assert answers[0][0] == "AccessDeniedException"
    assert answers[0][1].replace(hidden, "") == answers[1][1].replace(missing, "")


async def test_conditions_on_the_encryption_context_decide(inside: Inside, admin: Client) -> None:
    key = await make_key(admin)
    equals = {"StringEquals": {"kms:EncryptionContext:dept": "ml"}}
    only = {"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["dept"]}}
    ann = await user(inside, "ann", allow("kms:*", key, Condition=equals | only))
    used = {"KeyId": key, "Plaintext": b"x"}
    assert await may(ann, "kms", "Encrypt", **used, EncryptionContext=CONTEXT)
    for context in ({}, {"dept": "hr"}, {**CONTEXT, "more": "1"}):
        assert not await may(ann, "kms", "Encrypt", **used, EncryptionContext=context)


async def test_an_alias_stands_for_its_key_in_policies(inside: Inside, admin: Client) -> None:
    key = await make_key(admin)
    await admin.ask("kms", "CreateAlias", AliasName="alias/a", TargetKeyId=key)
    ann = await user(inside, "ann", allow("kms:Encrypt", key))
    assert await may(ann, "kms", "Encrypt", KeyId="alias/a", Plaintext=b"x")
    by_alias = {"StringEquals": {"kms:RequestAlias": "alias/a"}}
    bob = await user(inside, "bob", allow("kms:Encrypt", Condition=by_alias))
    assert await may(bob, "kms", "Encrypt", KeyId="alias/a", Plaintext=b"x")
    assert not await may(bob, "kms", "Encrypt", KeyId=key, Plaintext=b"x")
    has_alias = {"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/*"}}
    eve = await user(inside, "eve", allow("kms:Encrypt", Condition=has_alias))
    assert await may(eve, "kms", "Encrypt", KeyId=key, Plaintext=b"x")
    assert not await may(eve, "kms", "Encrypt", KeyId=await make_key(admin), Plaintext=b"x")


@pytest.mark.parametrize("operation", ["DescribeKey", "Encrypt"])
async def test_a_refusal_tells_another_account_nothing_of_aliases(
    inside: Inside, admin: Client, operation: str
) -> None:
    key = await make_key(admin)
    await admin.ask("kms", "CreateAlias", AliasName="alias/a", TargetKeyId=key)
    spy = await user(inside, "spy", allow("kms:*"), account=OTHER)
    more = {"Plaintext": b"x"} if operation == "Encrypt" else {}
    told: set[str] = set()
    for name in ("alias/a", "alias/b"):
        named = f"{key.rpartition(':')[0]}:{name}"
        answer = await refusal(spy, "kms", operation, KeyId=named, **more)
        told.add(str(answer).replace(name, "alias/…"))
    assert len(told) == 1
    assert key.rpartition("/")[2] not in told.pop()


async def test_an_alias_needs_leave_for_both_ends(inside: Inside, admin: Client) -> None:
    first, second = await make_key(admin), await make_key(admin)
    alias = f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/a"
    ann = await user(inside, "ann", allow("kms:*", [alias, first]))
    assert await may(ann, "kms", "CreateAlias", AliasName="alias/a", TargetKeyId=first)
    assert not await may(ann, "kms", "UpdateAlias", AliasName="alias/a", TargetKeyId=second)
    await admin.ask("kms", "UpdateAlias", AliasName="alias/a", TargetKeyId=second)
    assert not await may(ann, "kms", "DeleteAlias", AliasName="alias/a")
    assert not await may(ann, "kms", "UpdateAlias", AliasName="alias/a", TargetKeyId=first)


async def test_tags_of_keys_and_of_requests_are_conditions(inside: Inside, admin: Client) -> None:
    tags = [{"TagKey": "team", "TagValue": "ml"}]
    tagged, plain = await make_key(admin, Tags=tags), await make_key(admin)
    resource = {"StringEquals": {"aws:ResourceTag/team": "ml"}}
    request = {"StringEquals": {"aws:RequestTag/team": "ml"}}
    ann = await user(
        inside,
        "ann",
        allow("kms:Encrypt", Condition=resource),
        allow(["kms:CreateKey", "kms:TagResource"], Condition=request),
        allow("kms:PutKeyPolicy"),
    )
    assert await may(ann, "kms", "Encrypt", KeyId=tagged, Plaintext=b"x")
    assert not await may(ann, "kms", "Encrypt", KeyId=plain, Plaintext=b"x")
    assert await may(ann, "kms", "CreateKey", Tags=tags)
    assert not await may(ann, "kms", "CreateKey")


async def test_re_encryption_needs_leave_for_both_keys(inside: Inside, admin: Client) -> None:
    first, second = await make_key(admin), await make_key(admin)
    blob = await sealed(admin, first)
    both = [allow("kms:ReEncryptFrom", first), allow("kms:ReEncryptTo", second)]
    for name, statements, expected in (("a", both, True), ("b", both[:1], False)):
        client = await user(inside, name, *statements)
        asked = {"CiphertextBlob": blob, "DestinationKeyId": second}
        assert await may(client, "kms", "ReEncrypt", **asked) == expected
    same = {"Bool": {"kms:ReEncryptOnSameKey": "true"}}
    eve = await user(inside, "eve", allow("kms:ReEncrypt*", Condition=same))
    assert await may(eve, "kms", "ReEncrypt", CiphertextBlob=blob, DestinationKeyId=first)
    assert not await may(eve, "kms", "ReEncrypt", CiphertextBlob=blob, DestinationKeyId=second)


async def test_a_key_can_be_for_the_use_through_one_service(inside: Inside, admin: Client) -> None:
    through = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    key = await make_key(admin)
    ann = await user(inside, "ann", allow("kms:*", Condition=through))
    assert not await may(ann, "kms", "Encrypt", KeyId=key, Plaintext=b"x")
    call = inside.call(inside.caller(ann.keys))
    asked = {"KeyId": key, "Plaintext": b"x"}
    assert await call.perform("kms", "Encrypt", asked, via="s3.us-east-1.amazonaws.com")
    with pytest.raises(AuthorizationDenied):
        await call.perform("kms", "Encrypt", asked, via="secretsmanager.us-east-1.amazonaws.com")


def repaired(name: str) -> str:
    """The document's JSON as it was meant: a missing comma, a missing bracket."""
    text = (SEED / name).read_text(encoding="utf-8").rstrip()
    text = text.replace('"kms:GenerateDataKey"\n', '"kms:GenerateDataKey",\n')
    if text.count("[") > text.count("]"):
        text = f"{text[:-1]}]}}"
    return json.dumps(json.loads(text)).replace("111122223333", ACCOUNT)


USES: dict[str, dict[str, Any]] = {
    "GenerateDataKey": {"KeySpec": "AES_256"},
    "DescribeKey": {},
    "CreateGrant": {"GranteePrincipal": root_arn(), "Operations": ["Decrypt"]},
}


async def test_the_documents_key_policy_separates_users_and_builders_of_models(
    inside: Inside, admin: Client
) -> None:
    """SE-11, SE-16: RUN-177 as a key's policy."""
    caller, builder = (
        await user(inside, "CustomModelCaller"),
        await user(inside, "CustomModelBuilder"),
    )
    key = await make_key(admin)
    blob = await sealed(admin, key)
    await admin.ask(
        "kms",
        "PutKeyPolicy",
        KeyId=key,
        Policy=repaired("RUN-177.json"),
        BypassPolicyLockoutSafetyCheck=True,
    )
    for client in (caller, builder):
        assert await may(client, "kms", "Decrypt", CiphertextBlob=blob)
    for operation, params in USES.items():
        assert await may(builder, "kms", operation, KeyId=key, **params)
        assert not await may(caller, "kms", operation, KeyId=key, **params)
    assert not await may(builder, "kms", "Encrypt", KeyId=key, Plaintext=b"x")


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("RUN-178.json", {"Decrypt", "DescribeKey", "GenerateDataKey", "CreateGrant"}),
        ("RUN-179.json", {"Decrypt"}),
        ("RUN-149.json", {"Decrypt"}),
        ("RUN-150.json", {"Decrypt", "GenerateDataKey"}),
    ],
)
async def test_the_documents_policies_give_what_their_sections_say(
    inside: Inside, admin: Client, name: str, allowed: set[str]
) -> None:
    """SE-17, SE-18, KB-15, KB-16: on the key that they name, and on no other."""
    key, other = await make_key(admin), await make_key(admin)
    policy = json.loads(repaired(name))
    statement = policy["Statement"][0]
    statement["Resource"] = key
    ann = await user(inside, "ann", statement)
    for arn, expected in ((key, allowed), (other, set[str]())):
        blob = await sealed(admin, arn)
        passed = {
            operation
            for operation, params in (USES | {"Decrypt": {"CiphertextBlob": blob}}).items()
            if await may(ann, "kms", operation, KeyId=arn, **params)
        }
        assert passed == expected


async def grant(client: Client, key: str, **params: Any) -> dict[str, Any]:
    asked = {"GranteePrincipal": user_arn("ann"), "Operations": ["Encrypt", "Decrypt"]}
    return await client.ask("kms", "CreateGrant", KeyId=key, **(asked | params))


async def test_a_grant_allows_its_grantee_its_operations_until_it_is_revoked(
    inside: Inside, admin: Client
) -> None:
    ann, bob = await user(inside, "ann"), await user(inside, "bob")
    key = await make_key(admin)
    given = await grant(admin, key)
    assert await may(ann, "kms", "Encrypt", KeyId=key, Plaintext=b"x")
    assert not await may(bob, "kms", "Encrypt", KeyId=key, Plaintext=b"x")
    assert not await may(ann, "kms", "DescribeKey", KeyId=key)
    await admin.ask("kms", "RevokeGrant", KeyId=key, GrantId=given["GrantId"])
    assert not await may(ann, "kms", "Encrypt", KeyId=key, Plaintext=b"x")
    code, _ = await refusal(admin, "kms", "RevokeGrant", KeyId=key, GrantId=given["GrantId"])
    assert code == "NotFoundException"


@pytest.mark.parametrize(
    ("constraint", "context", "allowed"),
    [
        ("EncryptionContextEquals", {"dept": "ml"}, True),
        ("EncryptionContextEquals", {"dept": "ml", "more": "1"}, False),
        ("EncryptionContextSubset", {"dept": "ml", "more": "1"}, True),
        ("EncryptionContextSubset", {"more": "1"}, False),
        ("EncryptionContextSubset", {"DEPT": "ml"}, False),
        ("EncryptionContextSubset", {"dept": "ML"}, False),
        ("EncryptionContextSubset", {}, False),
    ],
)
async def test_a_grant_s_constraint_fits_the_encryption_context(
    inside: Inside, admin: Client, constraint: str, context: dict[str, str], allowed: bool
) -> None:
    ann = await user(inside, "ann")
    key = await make_key(admin)
    await grant(admin, key, Constraints={constraint: CONTEXT})
    asked = {"KeyId": key, "Plaintext": b"x", "EncryptionContext": context}
    assert await may(ann, "kms", "Encrypt", **asked) == allowed


async def test_a_denial_outweighs_a_grant(inside: Inside, admin: Client) -> None:
    ann = await user(inside, "ann", allow("kms:Encrypt") | {"Effect": "Deny"})
    key = await make_key(admin)
    await grant(admin, key)
    assert not await may(ann, "kms", "Encrypt", KeyId=key, Plaintext=b"x")


async def test_abroad_a_grant_counts_where_the_grantee_s_account_agrees(
    inside: Inside, admin: Client
) -> None:
    key = await make_key(admin)
    for name, statements, allowed in (("ann", [allow("kms:*")], True), ("bob", [], False)):
        client = await user(inside, name, *statements, account=OTHER)
        await grant(admin, key, GranteePrincipal=user_arn(name, OTHER))
        assert await may(client, "kms", "Encrypt", KeyId=key, Plaintext=b"x") == allowed


async def test_a_grant_is_passed_on_no_wider_than_it_is(inside: Inside, admin: Client) -> None:
    ann, bob = await user(inside, "ann"), await user(inside, "bob")
    key = await make_key(admin)
    operations = ["Encrypt", "CreateGrant"]
    exact = {"EncryptionContextEquals": CONTEXT}
    await grant(admin, key, Operations=operations, Constraints=exact)
    to_bob = {"KeyId": key, "GranteePrincipal": user_arn("bob")}
    wider: list[dict[str, Any]] = [
        {"Operations": ["Decrypt"], "Constraints": exact},
        {"Operations": ["Encrypt"]},
        {"Operations": ["Encrypt"], "Constraints": {"EncryptionContextSubset": CONTEXT}},
    ]
    for params in wider:
        assert not await may(ann, "kms", "CreateGrant", **to_bob, **params)
    await ann.ask("kms", "CreateGrant", **to_bob, Operations=["Encrypt"], Constraints=exact)
    asked = {"KeyId": key, "Plaintext": b"x"}
    assert await may(bob, "kms", "Encrypt", **asked, EncryptionContext=CONTEXT)
    assert not await may(bob, "kms", "Encrypt", **asked)


async def test_a_grant_is_retired_by_those_it_names(inside: Inside, admin: Client) -> None:
    ann, bob = await user(inside, "ann"), await user(inside, "bob")
    key = await make_key(admin)
    given = await grant(admin, key, RetiringPrincipal=user_arn("bob"))
    listed = await admin.ask("kms", "ListRetirableGrants", RetiringPrincipal=user_arn("bob"))
    assert [each["GrantId"] for each in listed["Grants"]] == [given["GrantId"]]
    assert not await may(ann, "kms", "RetireGrant", GrantToken=given["GrantToken"])
    await bob.ask("kms", "RetireGrant", GrantToken=given["GrantToken"])
    code, _ = await refusal(admin, "kms", "RetireGrant", GrantToken=given["GrantToken"])
    assert code == "InvalidGrantTokenException"
    own = await grant(admin, key, Operations=["Encrypt", "RetireGrant"])
    await ann.ask("kms", "RetireGrant", KeyId=key, GrantId=own["GrantId"])
    assert (await admin.ask("kms", "ListGrants", KeyId=key))["Grants"] == []


async def test_a_named_grant_is_made_once(admin: Client) -> None:
    key = await make_key(admin)
    first, again = await grant(admin, key, Name="one"), await grant(admin, key, Name="one")
    other = await grant(admin, key)
    assert first["GrantId"] == again["GrantId"] != other["GrantId"]
    listed = (await admin.ask("kms", "ListGrants", KeyId=key))["Grants"]
    assert {each["GrantId"] for each in listed} == {first["GrantId"], other["GrantId"]}
    named = next(each for each in listed if each.get("Name") == "one")
    assert named["Operations"] == ["Encrypt", "Decrypt"]
    assert named["KeyId"] == key


async def test_grant_tokens_are_real_ones(admin: Client) -> None:
    key = await make_key(admin)
    given = await grant(admin, key)
    asked = {"KeyId": key, "Plaintext": b"x"}
    await admin.ask("kms", "Encrypt", **asked, GrantTokens=[given["GrantToken"]])
    code, _ = await refusal(admin, "kms", "Encrypt", **asked, GrantTokens=["bm9uZQ=="])
    assert code == "InvalidGrantTokenException"


@pytest.mark.parametrize(
    "params",
    [
        {"GranteePrincipal": "ann"},
        {"Operations": ["Sign"]},
        {"RetiringPrincipal": "arn:aws:s3:::bucket"},
        {"Constraints": {"EncryptionContextEquals": {}, "EncryptionContextSubset": {}}},
        {"GranteeServicePrincipal": "bedrock.amazonaws.com"},
    ],
)
async def test_grants_that_cannot_be_kept_are_refused(
    admin: Client, params: dict[str, Any]
) -> None:
    key = await make_key(admin)
    asked = {"GranteePrincipal": user_arn("ann"), "Operations": ["Encrypt"]} | params
    code, _ = await refusal(admin, "kms", "CreateGrant", KeyId=key, **asked)
    assert code in ("InvalidArnException", "ValidationException")


async def test_a_grant_to_a_role_is_one_to_its_sessions(inside: Inside, admin: Client) -> None:
    trust = document(
        {"Effect": "Allow", "Principal": {"AWS": root_arn()}, "Action": "sts:AssumeRole"}
    )
    role = await inside.role(ACCOUNT, "worker", trust)
    key = await make_key(admin)
    await grant(admin, key, GranteePrincipal=role)
    answer = await admin.ask("sts", "AssumeRole", RoleArn=role, RoleSessionName="me")
    credentials = answer["Credentials"]
    keys = replace(
        admin.keys,
        id=credentials["AccessKeyId"],
        secret=credentials["SecretAccessKey"],
        token=credentials["SessionToken"],
    )
    assert await may(inside.client(keys), "kms", "Encrypt", KeyId=key, Plaintext=b"x")
