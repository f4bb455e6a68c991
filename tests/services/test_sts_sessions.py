"""Sessions of users, federated users and roles: who they are, what they may not call, their end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, Inside, Keys, running_inside, whole
from statements import ACCOUNT, OTHER, allow, document, user_arn
from sts_requests import (
    CHAINING,
    LIST,
    ROOT,
    assume,
    denied,
    refusal,
    root_keys,
    session_of_admin,
    trust,
)

from outcrop.stores.iam_records import RoleRecord, UserRecord

INVALID = "The security token included in the request is invalid"


async def test_who_calls_is_told_in_every_form(inside: Inside) -> None:
    amy = await inside.user(ACCOUNT, "amy", document(allow("sts:*")))
    role_arn = await inside.role(ACCOUNT, "Work", trust(ACCOUNT), path="/team/")
    directory = inside.deployment.state.stores.directory
    user, role = directory.find_user(ACCOUNT, "amy"), directory.find_role_arn(role_arn)
    assert user is not None
    assert role is not None
    session = Keys.answered(await inside.client(amy).ask("sts", "GetSessionToken"))
    federated = Keys.answered(await inside.client(amy).ask("sts", "GetFederationToken", Name="bo"))
    for keys, user_id, arn in (
        (amy, user.record.id, user_arn("amy")),
        (session, user.record.id, user_arn("amy")),
        (await root_keys(inside), ACCOUNT, ROOT),
        (federated, f"{ACCOUNT}:bo", f"arn:aws:sts::{ACCOUNT}:federated-user/bo"),
        (
            Keys.answered(await assume(inside, amy, role_arn)),
            f"{role.record.id}:me",
            f"arn:aws:sts::{ACCOUNT}:assumed-role/Work/me",
        ),
    ):
        answer = await inside.client(keys).ask("sts", "GetCallerIdentity")
        told = (answer["UserId"], answer["Account"], answer["Arn"])
        assert told == (user_id, ACCOUNT, arn)
    assert user.record.id.startswith("AIDA")
    assert role.record.id.startswith("AROA")


async def test_no_policy_keeps_anybody_from_asking_who_they_are(inside: Inside) -> None:
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    keys = await inside.user(ACCOUNT, "nobody", document(deny))
    client = inside.client(keys)
    assert (await client.ask("sts", "GetCallerIdentity"))["Arn"] == user_arn("nobody")
    assert (await client.ask("sts", "GetSessionToken"))["Credentials"]
    code, message = await refusal(inside, keys, "sts:GetAccessKeyInfo", AccessKeyId=keys.id)
    assert code == "AccessDenied"
    assert "with an explicit deny in an identity-based policy" in message


async def test_a_users_session_has_the_users_permissions_but_for_iam_and_sts(
    inside: Inside,
) -> None:
    keys = await inside.user(ACCOUNT, "amy", document(allow("*")))
    role_arn = await inside.role(ACCOUNT, "Work", trust(ROOT), CHAINING)
    session = Keys.answered(
        await inside.client(keys).ask("sts", "GetSessionToken", DurationSeconds=900)
    )
    client = inside.client(session)
    assert await client.ask("bedrock", "ListFoundationModels")
    assert await assume(inside, session, role_arn)
    assert await refusal(inside, session, "iam:ListRoles") == ("InvalidClientTokenId", INVALID)
    for name, params in (("GetSessionToken", {}), ("GetFederationToken", {"Name": "bo"})):
        told = await refusal(inside, session, f"sts:{name}", **params)
        assert told == ("AccessDenied", f"Cannot call {name} with session credentials")
    # A role's session may call IAM, as far as its policies go.
    assumed = Keys.answered(await assume(inside, keys, role_arn))
    assert (await refusal(inside, assumed, "iam:ListRoles"))[0] == "AccessDenied"
    assert (await refusal(inside, assumed, "sts:GetSessionToken"))[1] == (
        "Cannot call GetSessionToken with session credentials"
    )


async def test_a_root_users_session_lasts_an_hour_at_most(inside: Inside) -> None:
    root = await root_keys(inside)
    for params in ({}, {"DurationSeconds": 129_600}):
        answer = await inside.client(root).ask("sts", "GetSessionToken", **params)
        left = answer["Credentials"]["Expiration"] - datetime.now(UTC)
        assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert await inside.client(Keys.answered(answer)).ask("bedrock", "ListFoundationModels")
    answer = await inside.client(ADMIN).ask("sts", "GetSessionToken")
    left = answer["Credentials"]["Expiration"] - datetime.now(UTC)
    assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)


async def test_a_federated_user_has_what_both_policies_allow(inside: Inside) -> None:
    both = document(allow(["sts:*", "iam:*", LIST, "bedrock:GetFoundationModel"]))
    keys = await inside.user(ACCOUNT, "amy", both)
    client = inside.client(keys)
    answer = await client.ask(
        "sts",
        "GetFederationToken",
        Name="bo",
        Policy=document(allow([LIST, "iam:*", "sts:*", "bedrock:ListCustomModels"])),
    )
    assert answer["FederatedUser"] == {
        "FederatedUserId": f"{ACCOUNT}:bo",
        "Arn": f"arn:aws:sts::{ACCOUNT}:federated-user/bo",
    }
    federated = Keys.answered(answer)
    assert await inside.client(federated).ask("bedrock", "ListFoundationModels")
    model = {"modelIdentifier": "anthropic.claude-v2"}
    for operation, params in (
        ("bedrock:GetFoundationModel", model),
        ("bedrock:ListCustomModels", {}),
    ):
        code, message = await refusal(inside, federated, operation, **params)
        assert code in ("AccessDeniedException", "NotImplementedException")
        if code == "AccessDeniedException":
            assert message.startswith(f"User: arn:aws:sts::{ACCOUNT}:federated-user/bo is not")
    assert await refusal(inside, federated, "iam:ListRoles") == ("InvalidClientTokenId", INVALID)
    role_arn = await inside.role(ACCOUNT, "Work", trust(ROOT))
    assert "with session credentials" in await denied(inside, federated, role_arn)
    # Without a policy it has no permission at all.
    bare = Keys.answered(await client.ask("sts", "GetFederationToken", Name="bo"))
    assert (await refusal(inside, bare, "bedrock:ListFoundationModels"))[0] == (
        "AccessDeniedException"
    )
    assert await inside.client(bare).ask("sts", "GetCallerIdentity")


async def test_federation_needs_the_permission_to(inside: Inside) -> None:
    keys = await inside.user(ACCOUNT, "amy")
    assert (await refusal(inside, keys, "sts:GetFederationToken", Name="bo"))[1].startswith(
        f"User: {user_arn('amy')} is not authorized to perform: sts:GetFederationToken on "
        f"resource: arn:aws:sts::{ACCOUNT}:federated-user/bo"
    )


async def test_a_key_tells_its_account(inside: Inside) -> None:
    session = await session_of_admin(inside)
    far = await inside.user(OTHER, "far")
    for key_id, account in ((ADMIN.id, ACCOUNT), (session.id, ACCOUNT), (far.id, OTHER)):
        answer = await inside.client(ADMIN).ask("sts", "GetAccessKeyInfo", AccessKeyId=key_id)
        assert answer["Account"] == account
    unknown = "AKIA" + "A" * 16
    told = await refusal(inside, ADMIN, "sts:GetAccessKeyInfo", AccessKeyId=unknown)
    assert told[0] == "InvalidClientTokenId"


async def test_no_message_is_encoded_so_none_is_decoded(inside: Inside) -> None:
    told = await refusal(inside, ADMIN, "sts:DecodeAuthorizationMessage", EncodedMessage="abc")
    assert told == ("InvalidAuthorizationMessageException", "Message is not valid")


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("AssumeRoleWithWebIdentity", {"WebIdentityToken": "token", "RoleSessionName": "me"}),
        ("AssumeRoleWithSAML", {"PrincipalArn": ROOT, "SAMLAssertion": "assertion"}),
    ],
)
async def test_federation_that_is_not_there_says_so_without_a_signature(
    inside: Inside, operation: str, params: dict[str, Any]
) -> None:
    client = inside.client(ADMIN)
    role_arn = f"arn:aws:iam::{ACCOUNT}:role/Work"
    signed = client.request("sts", operation, RoleArn=role_arn, **params)
    headers = tuple(pair for pair in signed.headers if pair[0] != "authorization")
    for request in (signed, replace(signed, headers=headers)):
        answer = await client.app.handle(request)
        assert answer.status == 501
        assert b"Outcrop does not have the operation" in await whole(answer)


async def test_a_session_dies_with_what_it_was_issued_from(inside: Inside) -> None:
    amy = await inside.user(ACCOUNT, "amy", document(allow("*")))
    role_arn = await inside.role(ACCOUNT, "Work", trust(ROOT), CHAINING)
    of_role = Keys.answered(await assume(inside, amy, role_arn))
    of_user = Keys.answered(await inside.client(amy).ask("sts", "GetSessionToken"))
    federated = Keys.answered(await inside.client(amy).ask("sts", "GetFederationToken", Name="bo"))
    await inside.remove(UserRecord, ACCOUNT, "amy")
    for keys in (of_user, federated):
        assert (await refusal(inside, keys, "sts:GetCallerIdentity"))[0] == "InvalidClientTokenId"
    # Who assumed a role may go; the role stays.
    assert await inside.client(of_role).ask("bedrock", "ListFoundationModels")
    await inside.remove(RoleRecord, ACCOUNT, "Work")
    assert await refusal(inside, of_role, "bedrock:ListFoundationModels") == (
        "UnrecognizedClientException",
        f"{INVALID}.",
    )
    await inside.role(ACCOUNT, "Work", trust(ROOT), CHAINING)
    assert (await refusal(inside, of_role, "bedrock:ListFoundationModels"))[0] == (
        "UnrecognizedClientException"
    )


async def test_what_a_role_loses_its_sessions_lose_at_once(inside: Inside) -> None:
    role_arn = await inside.role(ACCOUNT, "Work", trust(ROOT), CHAINING)
    client = inside.client(Keys.answered(await assume(inside, ADMIN, role_arn)))
    assert await client.ask("bedrock", "ListFoundationModels")
    item = inside.deployment.state.stores.directory.find_role_arn(role_arn)
    assert item is not None
    await inside.change(replace(item, record=msgspec.structs.replace(item.record, inline={})))
    with pytest.raises(ClientError, match="no identity-based policy allows"):
        await client.ask("bedrock", "ListFoundationModels")


async def test_sessions_are_revoked_by_their_time_of_issue(inside: Inside) -> None:
    role_arn = await inside.role(ACCOUNT, "Work", trust(ROOT), CHAINING)
    client = inside.client(Keys.answered(await assume(inside, ADMIN, role_arn)))
    assert await client.ask("bedrock", "ListFoundationModels")
    item = inside.deployment.state.stores.directory.find_role_arn(role_arn)
    assert item is not None
    for hours, is_revoked in ((1, True), (-1, False)):
        before = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        revoking = document(
            {
                "Effect": "Deny",
                "Action": "*",
                "Resource": "*",
                "Condition": {"DateLessThan": {"aws:TokenIssueTime": before}},
            }
        )
        inline = {**item.record.inline, "AWSRevokeOlderSessions": revoking}
        record = msgspec.structs.replace(item.record, inline=inline)
        await inside.change(replace(item, record=record))
        if is_revoked:
            with pytest.raises(ClientError, match="with an explicit deny"):
                await client.ask("bedrock", "ListFoundationModels")
        else:
            assert await client.ask("bedrock", "ListFoundationModels")


async def test_sessions_live_through_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_inside(tmp_path, monkeypatch) as inside:
        role_arn = await inside.role(ACCOUNT, "Work", trust(ROOT), CHAINING)
        keys = Keys.answered(await assume(inside, ADMIN, role_arn))
    async with running_inside(tmp_path, monkeypatch) as inside:
        answer = await inside.client(keys).ask("sts", "GetCallerIdentity")
    assert answer["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/Work/me"
