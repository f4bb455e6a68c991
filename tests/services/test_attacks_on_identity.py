"""Attempts to get further than policies allow: by other names, by names taken over, by tags in
another case. Each was possible once."""

from dataclasses import replace
from typing import Any, cast

import pytest
from botocore.auth import SigV4Auth
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from in_process import (
    ADMIN,
    Client,
    Inside,
    Keys,
    as_received,
    unsigned_request,
    whole,
)
from kms_requests import make_key, owned
from statements import ACCOUNT, allow, document, root_arn, to, user_arn
from sts_requests import trust

ROLE = f"arn:aws:iam::{ACCOUNT}:role"


async def code_of(client: Client, service: str, operation: str, **params: Any) -> str:
    """``ok``, or the code of the refusal."""
    try:
        await client.ask(service, operation, **params)
    except ClientError as error:
        answer: Any = error.response
        return answer["Error"]["Code"]
    return "ok"


async def user(inside: Inside, name: str, *statements: Any) -> Client:
    return inside.client(await inside.user(ACCOUNT, name, document(*statements)))


@pytest.mark.parametrize(("noun", "make"), [("User", "CreateUser"), ("Group", "CreateGroup")])
async def test_moving_out_of_a_path_needs_leave_for_the_new_path(
    inside: Inside, admin: Client, noun: str, make: str
) -> None:
    update, name, new_name = f"Update{noun}", f"{noun}Name", f"New{noun}Name"
    await admin.ask("iam", make, **{name: "x", "Path": "/dev/"})
    below = f"arn:aws:iam::{ACCOUNT}:{noun.lower()}/dev/*"
    mover = await user(inside, "mover", allow(f"iam:{update}", below))
    moved = await code_of(mover, "iam", update, **{name: "x", "NewPath": "/admin/"})
    assert moved == "AccessDenied"
    assert await code_of(mover, "iam", update, **{name: "x", "NewPath": "/dev/deep/"}) == "ok"
    assert await code_of(mover, "iam", update, **{name: "x", new_name: "y"}) == "ok"
    protected = f"arn:aws:iam::{ACCOUNT}:{noun.lower()}/dev/deep/protected"
    deny = {"Effect": "Deny", "Action": "iam:*", "Resource": protected}
    renamer = await user(inside, "renamer", allow("iam:*"), deny)
    taken = await code_of(renamer, "iam", update, **{name: "y", new_name: "protected"})
    assert taken == "AccessDenied"


async def test_a_session_tag_counts_more_than_the_role_s_in_whatever_case(
    inside: Inside, admin: Client
) -> None:
    red = {"StringEquals": {"aws:PrincipalTag/team": "red"}}
    blue = {"StringEquals": {"aws:PrincipalTag/team": "blue"}}
    policy = document(
        allow("iam:ListUsers", Condition=red), allow("iam:ListGroups", Condition=blue)
    )
    trusted = trust(root_arn(), ["sts:AssumeRole", "sts:TagSession"])
    await admin.ask(
        "iam",
        "CreateRole",
        RoleName="tagged",
        AssumeRolePolicyDocument=trusted,
        Tags=[{"Key": "team", "Value": "blue"}],
    )
    await admin.ask(
        "iam", "PutRolePolicy", RoleName="tagged", PolicyName="p", PolicyDocument=policy
    )
    answer = await admin.ask(
        "sts",
        "AssumeRole",
        RoleArn=f"{ROLE}/tagged",
        RoleSessionName="me",
        Tags=[{"Key": "Team", "Value": "red"}],
    )
    session = inside.client(Keys.answered(answer))
    assert await code_of(session, "iam", "ListUsers") == "ok"
    assert await code_of(session, "iam", "ListGroups") == "AccessDenied"


async def remake(admin: Client, inside: Inside, name: str, key: Keys) -> Client:
    """A user of the same name and policy, who is somebody else."""
    await admin.ask("iam", "DeleteAccessKey", UserName=name, AccessKeyId=key.id)
    await admin.ask("iam", "DeleteUserPolicy", UserName=name, PolicyName="granted")
    await admin.ask("iam", "DeleteUser", UserName=name)
    return inside.client(await inside.user(ACCOUNT, name, document(allow("sts:*"))))


async def test_who_takes_the_name_of_a_deleted_user_takes_nothing_else(
    inside: Inside, admin: Client
) -> None:
    key = await inside.user(ACCOUNT, "eve", document(allow("sts:*")))
    eve = inside.client(key)
    await admin.ask(
        "iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=trust(user_arn("eve"))
    )
    named = await make_key(admin, Policy=owned(to(user_arn("eve"), "kms:Encrypt")))
    granted = await make_key(admin)
    await admin.ask(
        "kms",
        "CreateGrant",
        KeyId=granted,
        GranteePrincipal=user_arn("eve"),
        Operations=["Encrypt"],
    )
    secret = await admin.ask("secretsmanager", "CreateSecret", Name="s")
    await admin.ask(
        "secretsmanager",
        "PutResourcePolicy",
        SecretId="s",
        ResourcePolicy=document(to(user_arn("eve"), "secretsmanager:DescribeSecret")),
    )
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("sts", "AssumeRole", {"RoleArn": f"{ROLE}/r", "RoleSessionName": "me"}),
        ("kms", "Encrypt", {"KeyId": named, "Plaintext": b"x"}),
        ("kms", "Encrypt", {"KeyId": granted, "Plaintext": b"x"}),
        ("secretsmanager", "DescribeSecret", {"SecretId": secret["ARN"]}),
    ]
    for service, operation, params in asked:
        assert await code_of(eve, service, operation, **params) == "ok"
    other = await remake(admin, inside, "eve", key)
    for service, operation, params in asked:
        assert (await code_of(other, service, operation, **params)).startswith("AccessDenied")
    shown = await admin.ask("kms", "GetKeyPolicy", KeyId=named)
    assert user_arn("eve") not in shown["Policy"]
    assert '"AIDA' in shown["Policy"]


async def test_a_renamed_user_keeps_what_policies_gave_it(inside: Inside, admin: Client) -> None:
    eve = inside.client(await inside.user(ACCOUNT, "eve", document(allow("sts:*"))))
    await admin.ask(
        "iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=trust(user_arn("eve"))
    )
    await admin.ask("iam", "UpdateUser", UserName="eve", NewUserName="eva", NewPath="/p/")
    params = {"RoleArn": f"{ROLE}/r", "RoleSessionName": "me"}
    assert await code_of(eve, "sts", "AssumeRole", **params) == "ok"


async def test_a_deleted_role_s_name_opens_nothing_for_the_next_one(
    inside: Inside, admin: Client
) -> None:
    async def session() -> Client:
        answer = await admin.ask(
            "sts", "AssumeRole", RoleArn=f"{ROLE}/middle", RoleSessionName="me"
        )
        return inside.client(Keys.answered(answer))

    middle = {"RoleName": "middle", "AssumeRolePolicyDocument": trust(root_arn())}
    await admin.ask("iam", "CreateRole", **middle)
    await admin.ask(
        "iam", "CreateRole", RoleName="end", AssumeRolePolicyDocument=trust(f"{ROLE}/middle")
    )
    policy = document(allow("sts:*"))
    put = {"RoleName": "middle", "PolicyName": "p", "PolicyDocument": policy}
    await admin.ask("iam", "PutRolePolicy", **put)
    end = {"RoleArn": f"{ROLE}/end", "RoleSessionName": "me"}
    assert await code_of(await session(), "sts", "AssumeRole", **end) == "ok"
    await admin.ask("iam", "DeleteRolePolicy", RoleName="middle", PolicyName="p")
    await admin.ask("iam", "DeleteRole", RoleName="middle")
    await admin.ask("iam", "CreateRole", **middle)
    await admin.ask("iam", "PutRolePolicy", **put)
    assert await code_of(await session(), "sts", "AssumeRole", **end) == "AccessDenied"


async def test_a_secret_named_like_another_one_s_arn_is_not_opened_by_it(
    inside: Inside, admin: Client
) -> None:
    own = await admin.ask("secretsmanager", "CreateSecret", Name="db", SecretString="own")
    name = own["ARN"].rpartition(":")[2]
    await admin.ask("secretsmanager", "CreateSecret", Name=name, SecretString="another's")
    bob = await user(inside, "bob", allow("secretsmanager:GetSecretValue", own["ARN"]))
    code = await code_of(bob, "secretsmanager", "GetSecretValue", SecretId=name)
    assert code == "AccessDeniedException"
    assert await code_of(bob, "secretsmanager", "GetSecretValue", SecretId=own["ARN"]) == "ok"


async def test_grants_without_a_retiring_principal_are_nobodys_to_list(admin: Client) -> None:
    key = await make_key(admin)
    await admin.ask(
        "kms", "CreateGrant", KeyId=key, GranteePrincipal=root_arn(), Operations=["Encrypt"]
    )
    assert await code_of(admin, "kms", "ListRetirableGrants") == "ValidationException"


async def test_a_tag_without_a_key_is_refused(admin: Client) -> None:
    await admin.ask("secretsmanager", "CreateSecret", Name="s")
    for operation, params in (("CreateSecret", {"Name": "t"}), ("TagResource", {"SecretId": "s"})):
        code = await code_of(admin, "secretsmanager", operation, **params, Tags=[{"Value": "v"}])
        assert code == "InvalidParameterException"


async def converse_at(inside: Inside, keys: Keys, host: str, region: str = "us-east-1") -> Any:
    """Signed with this host, as the holder of a key can choose it."""
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    asked = unsigned_request(
        "bedrock-runtime", "Converse", {"modelId": model, "messages": messages}
    )
    asked.headers["Host"] = host
    cast(Any, SigV4Auth)(Credentials(keys.id, keys.secret), "bedrock", region).add_auth(asked)
    return await inside.app.handle(replace(as_received(asked), host=host))


async def test_a_host_name_writes_no_part_of_an_arn(inside: Inside) -> None:
    profiles = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/*"
    policy = document(allow("bedrock:InvokeModel", profiles))
    keys = await inside.user(ACCOUNT, "profiles-only", policy)
    host = f"bedrock-runtime.us-east-1:{ACCOUNT}:inference-profile/x.amazonaws.com"
    response = await converse_at(inside, keys, host)
    assert response.status == 403
    body = await whole(response)
    assert b"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku" in body


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", 200),
        ("bedrock-runtime.amazonaws.com", 200),
        ("bedrock-runtime.eu-west-1.amazonaws.com", 403),
    ],
)
async def test_the_region_of_a_request_is_the_one_it_is_signed_for(
    inside: Inside, host: str, status: int
) -> None:
    response = await converse_at(inside, ADMIN, host)
    assert response.status == status
    if status == 403:
        assert response.headers["x-amzn-ErrorType"].startswith("InvalidSignatureException")


async def test_what_a_caller_names_writes_no_lines_of_the_log(
    inside: Inside, caplog: pytest.LogCaptureFixture
) -> None:
    low = await user(inside, "low", allow("iam:ListUsers"))
    for hostile in ("a\nforged: admin may everything", "a\x1b[2Jforged", "a\u2028forged"):
        caplog.clear()
        await code_of(low, "secretsmanager", "GetSecretValue", SecretId=hostile)
        (record,) = caplog.records
        assert "forged" in record.getMessage()
        assert record.getMessage().isprintable()


async def test_the_root_user_s_federated_users_have_what_their_policy_names(
    inside: Inside,
) -> None:
    stores = inside.deployment.state.stores
    root = await stores.identities.get_user(ACCOUNT, "root")
    client = inside.client(Keys.of(await stores.keys.create_access_key(root)))
    policy = document(allow("kms:ListKeys"))
    answer = await client.ask("sts", "GetFederationToken", Name="fed", Policy=policy)
    federated = inside.client(Keys.answered(answer))
    assert await code_of(federated, "kms", "ListKeys") == "ok"
    assert await code_of(federated, "kms", "ListAliases") == "AccessDeniedException"
    bare = await client.ask("sts", "GetFederationToken", Name="bare")
    code = await code_of(inside.client(Keys.answered(bare)), "kms", "ListKeys")
    assert code == "AccessDeniedException"
