"""When a role was last used, as GetRole tells it; what IAM tells of time is whole seconds."""

from pathlib import Path
from typing import Any

import pytest
from in_process import ADMIN, Client, Keys, running_inside
from statements import ACCOUNT, allow, document, root_arn

from outcrop.services.service_roles import ServiceRole, act, assume

TRUST = document(
    {
        "Effect": "Allow",
        "Principal": {"AWS": root_arn(), "Service": "bedrock.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
)
JOB = f"arn:aws:bedrock:eu-west-1:{ACCOUNT}:model-customization-job/x"


async def _last_used(admin: Client) -> dict[str, Any]:
    return (await admin.ask("iam", "GetRole", RoleName="tried"))["Role"]["RoleLastUsed"]


async def test_a_role_is_last_used_when_its_session_asks_for_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_inside(tmp_path, monkeypatch) as inside:
        admin = inside.client(ADMIN)
        made = await admin.ask(
            "iam", "CreateRole", RoleName="tried", AssumeRolePolicyDocument=TRUST
        )
        assert await _last_used(admin) == {}
        arn = made["Role"]["Arn"]
        user = inside.client(await inside.user(ACCOUNT, "ann", document(allow("sts:AssumeRole"))))
        answer = await user.ask("sts", "AssumeRole", RoleArn=arn, RoleSessionName="one")
        assert await _last_used(admin) == {}
        session = Client(inside.app, Keys.answered(answer), region="eu-central-1")
        await session.ask("sts", "GetCallerIdentity")
        used = await _last_used(admin)
        assert used["Region"] == "eu-central-1"
        assert used["LastUsedDate"].microsecond == 0
        details = await admin.ask("iam", "GetAccountAuthorizationDetails", Filter=["Role"])
        assert details["RoleDetailList"][0]["RoleLastUsed"] == used


async def test_a_service_that_acts_with_a_role_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_inside(tmp_path, monkeypatch) as inside:
        admin = inside.client(ADMIN)
        arn = await inside.role(ACCOUNT, "tried", TRUST, document(allow("kms:*")))
        stores = inside.deployment.state.stores
        call = inside.call(inside.caller(ADMIN))
        caller = await assume(stores, ServiceRole(arn, JOB), call.now)
        assert await _last_used(admin) == {}
        await act(call, caller).perform("kms", "ListKeys", {})
        assert (await _last_used(admin))["Region"] == "eu-west-1"


async def test_a_role_made_anew_was_never_used_and_uses_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_inside(tmp_path, monkeypatch) as inside:
        admin = inside.client(ADMIN)
        arn = await inside.role(ACCOUNT, "tried", TRUST)
        user = inside.client(await inside.user(ACCOUNT, "ann", document(allow("sts:AssumeRole"))))
        answer = await user.ask("sts", "AssumeRole", RoleArn=arn, RoleSessionName="one")
        await inside.client(Keys.answered(answer)).ask("sts", "GetCallerIdentity")
        assert await _last_used(admin)
    async with running_inside(tmp_path, monkeypatch) as inside:
        admin = inside.client(ADMIN)
        assert await _last_used(admin)
        await admin.ask("iam", "DeleteRole", RoleName="tried")
        await inside.role(ACCOUNT, "tried", TRUST)
        await inside.client(Keys.answered(answer)).app.handle(
            inside.client(Keys.answered(answer)).request("sts", "GetCallerIdentity")
        )
        assert await _last_used(admin) == {}


async def test_iam_tells_whole_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_inside(tmp_path, monkeypatch) as inside:
        admin = inside.client(ADMIN)
        user = await admin.ask("iam", "CreateUser", UserName="ann")
        group = await admin.ask("iam", "CreateGroup", GroupName="all")
        key = await admin.ask("iam", "CreateAccessKey", UserName="ann")
        credential = await admin.ask(
            "iam",
            "CreateServiceSpecificCredential",
            UserName="ann",
            ServiceName="bedrock.amazonaws.com",
        )
        told = [
            user["User"],
            group["Group"],
            key["AccessKey"],
            credential["ServiceSpecificCredential"],
        ]
        assert [each["CreateDate"].microsecond for each in told] == [0, 0, 0, 0]
