"""Two accounts of one deployment: nothing of the one is the other's, unless a role is assumed. And
the AWS CLI's walk from a new user to a role."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from principals import CLAUDE, MODELS, Account, Person, assume, deny, may, unique
from statements import allow, document


def test_users_of_one_account_are_not_there_in_the_other(account: Account, other: Account) -> None:
    name = unique("ann")
    here = account.user(document(allow("*")), name=name)
    there = other.user(name=name)
    assert here.arn != there.arn
    assert here.invokes()
    assert not there.invokes()
    assert other.admin.arn == f"arn:aws:iam::{other.id}:root"
    only_here = account.user()
    found = {user["UserName"] for user in other.iam.list_users()["Users"]}
    assert name in found
    assert only_here.name not in found
    assert other.admin.refusal("iam:get_user", UserName=only_here.name) == "NoSuchEntity"


def test_no_policy_reaches_into_another_account(account: Account, other: Account) -> None:
    everything = other.user(document(allow("*")))
    key = account.admin.ask("kms:create_key")["KeyMetadata"]["Arn"]
    assert not may(everything.refusal("kms:describe_key", KeyId=key))
    secret = account.admin.ask(
        "secretsmanager:create_secret", Name=unique("apart"), SecretString="s"
    )["ARN"]
    assert everything.refusal("secretsmanager:get_secret_value", SecretId=secret) != ""
    bucket = unique("apart")
    account.admin.ask("s3:create_bucket", Bucket=bucket)
    account.admin.ask("s3:put_object", Bucket=bucket, Key="k", Body=b"x")
    for person in (everything, other.admin):
        assert not may(person.refusal("s3:get_object", Bucket=bucket, Key="k"))
        assert bucket not in {each["Name"] for each in person.ask("s3:list_buckets")["Buckets"]}
    role = account.role(document(allow("*")))
    asked = {"RoleArn": role, "RoleSessionName": "me"}
    assert everything.refusal("sts:assume_role", **asked) == "AccessDenied"
    policy = account.policy(document(allow("*")))
    attached = {"UserName": everything.name, "PolicyArn": policy}
    assert other.admin.refusal("iam:attach_user_policy", **attached) != ""


def test_outsiders_come_in_by_a_role_made_for_them(account: Account, other: Account) -> None:
    granted = document(allow("bedrock:InvokeModel"))
    role = account.role(granted, trust=account.trusting(f"arn:aws:iam::{other.id}:root"))
    asked = {"RoleArn": role, "RoleSessionName": "guest"}
    allowed = other.user(document(allow("sts:AssumeRole", role)))
    refused = other.user()
    assert refused.refusal("sts:assume_role", **asked) == "AccessDenied"
    guest = assume(allowed, role, RoleSessionName="guest")
    assert guest.ask("sts:get_caller_identity")["Account"] == account.id
    assert guest.invokes()
    assert not may(guest.refusal("iam:list_users"))
    assert not allowed.invokes()


def test_a_root_user_may_do_everything_but_assume_roles(other: Account) -> None:
    root = other.admin
    assert root.ask("sts:get_caller_identity")["Arn"] == f"arn:aws:iam::{other.id}:root"
    assert root.invokes()
    assert root.ask("iam:get_account_summary")["SummaryMap"]
    assert root.ask("kms:list_keys")["Keys"] is not None
    assert may(root.refusal("bedrock-agent:list_agents"))
    asked = {"RoleArn": other.role(), "RoleSessionName": "me"}
    assert root.refusal("sts:assume_role", **asked) == "AccessDenied"


def test_the_command_line_s_walk_from_a_new_user_to_a_role(
    account: Account, tmp_path: Path
) -> None:
    user, role, policy = unique("walker"), unique("walked"), unique("walking")
    (tmp_path / "models.json").write_text(
        document(allow("bedrock:InvokeModel", f"{MODELS}/{CLAUDE}")), encoding="utf-8"
    )
    (tmp_path / "trust.json").write_text(account.trusting(), encoding="utf-8")
    (tmp_path / "deny.json").write_text(document(deny("bedrock:*")), encoding="utf-8")
    admin = account.admin

    def aws(person: Person, *arguments: str) -> tuple[int, Any]:
        environment = person.gateway.environment | {
            "AWS_ACCESS_KEY_ID": person.key,
            "AWS_SECRET_ACCESS_KEY": person.secret,
            "AWS_PAGER": "",
            **({"AWS_SESSION_TOKEN": person.token} if person.token else {}),
        }
        done = subprocess.run(
            [str(Path(sys.executable).parent / "aws"), *arguments, "--output", "json"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            timeout=300,
            check=False,
        )
        answer = json.loads(done.stdout) if done.stdout else done.stderr.decode()
        return done.returncode, answer

    def done(*arguments: str) -> Any:
        code, answer = aws(admin, *arguments)
        assert code == 0, answer
        return answer

    done("iam", "create-user", "--user-name", user)
    key = done("iam", "create-access-key", "--user-name", user)["AccessKey"]
    person = Person(admin.gateway, user, "", key["AccessKeyId"], key["SecretAccessKey"])
    invoke = (
        "bedrock-runtime",
        "converse",
        "--model-id",
        CLAUDE,
        "--messages",
        '[{"role":"user","content":[{"text":"Hello"}]}]',
    )
    code, told = aws(person, *invoke)
    assert code != 0
    assert "AccessDeniedException" in told
    assert "because no identity-based policy allows the bedrock:InvokeModel action" in told
    made = done(
        "iam", "create-policy", "--policy-name", policy, "--policy-document", "file://models.json"
    )["Policy"]
    attach = ("--policy-arn", made["Arn"])
    done("iam", "attach-user-policy", "--user-name", user, *attach)
    assert aws(person, *invoke)[0] == 0
    done(
        "iam",
        "create-role",
        "--role-name",
        role,
        "--assume-role-policy-document",
        "file://trust.json",
    )
    done("iam", "attach-role-policy", "--role-name", role, *attach)
    arn = account.arn("role", role)
    session = assume(admin, arn)
    assert aws(session, *invoke)[0] == 0
    done(
        "iam",
        "put-role-policy",
        "--role-name",
        role,
        "--policy-name",
        "denied",
        "--policy-document",
        "file://deny.json",
    )
    code, told = aws(session, *invoke)
    assert code != 0
    assert "with an explicit deny in an identity-based policy" in told
