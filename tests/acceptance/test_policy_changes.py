"""What changes about a principal counts from its very next request on."""

from typing import Any

import pytest
from operator_commands import outcrop
from principals import CLAUDE, TITAN, Account, Person, assume, deny, of_session, unique
from statements import allow, document

INVOKE = "bedrock:InvokeModel"
MAY = document(allow(INVOKE))
MAY_NOT = document(deny(INVOKE))


@pytest.fixture
def person(account: Account) -> Person:
    """Somebody who has just been refused, so that the refusal could be remembered."""
    person = account.user()
    assert not person.invokes()
    return person


def test_an_inline_policy(account: Account, person: Person) -> None:
    granted = {"UserName": person.name, "PolicyName": "granted"}
    for _ in range(3):
        account.iam.put_user_policy(**granted, PolicyDocument=MAY)
        assert person.invokes()
        account.iam.put_user_policy(**granted, PolicyDocument=MAY_NOT)
        assert not person.invokes()
        account.iam.put_user_policy(**granted, PolicyDocument=MAY)
        assert person.invokes()
        account.iam.delete_user_policy(**granted)
        assert not person.invokes()


def test_an_attachment_and_a_new_version(account: Account, person: Person) -> None:
    arn = account.policy(MAY)
    attached = {"UserName": person.name, "PolicyArn": arn}
    account.iam.attach_user_policy(**attached)
    assert person.invokes()
    account.iam.detach_user_policy(**attached)
    assert not person.invokes()
    account.iam.attach_user_policy(**attached)
    made = account.iam.create_policy_version(PolicyArn=arn, PolicyDocument=MAY_NOT)
    assert made["PolicyVersion"]["VersionId"] == "v2"
    # A version counts when it is the default one.
    assert person.invokes()
    account.iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")
    assert not person.invokes()
    account.iam.create_policy_version(PolicyArn=arn, PolicyDocument=MAY, SetAsDefault=True)
    assert person.invokes()


def test_a_membership_and_what_the_group_holds(account: Account, person: Person) -> None:
    group = unique("group")
    account.iam.create_group(GroupName=group)
    account.iam.put_group_policy(GroupName=group, PolicyName="granted", PolicyDocument=MAY)
    account.iam.add_user_to_group(GroupName=group, UserName=person.name)
    assert person.invokes()
    account.iam.delete_group_policy(GroupName=group, PolicyName="granted")
    assert not person.invokes()
    arn = account.policy(MAY)
    account.iam.attach_group_policy(GroupName=group, PolicyArn=arn)
    assert person.invokes()
    account.iam.remove_user_from_group(GroupName=group, UserName=person.name)
    assert not person.invokes()


def test_a_boundary(account: Account, person: Person) -> None:
    account.iam.put_user_policy(
        UserName=person.name, PolicyName="granted", PolicyDocument=document(allow("*"))
    )
    assert person.invokes()
    boundary = account.policy(document(allow("s3:*")))
    account.iam.put_user_permissions_boundary(UserName=person.name, PermissionsBoundary=boundary)
    assert not person.invokes()
    account.iam.create_policy_version(PolicyArn=boundary, PolicyDocument=MAY, SetAsDefault=True)
    assert person.invokes()
    account.iam.create_policy_version(PolicyArn=boundary, PolicyDocument=MAY_NOT, SetAsDefault=True)
    assert not person.invokes()
    account.iam.delete_user_permissions_boundary(UserName=person.name)
    assert person.invokes()


def test_tags_of_the_caller(account: Account, person: Person) -> None:
    condition = {"StringEquals": {"aws:PrincipalTag/Team": "ml"}}
    policy = document(allow(INVOKE, Condition=condition))
    account.iam.put_user_policy(UserName=person.name, PolicyName="granted", PolicyDocument=policy)
    assert not person.invokes()
    account.iam.tag_user(UserName=person.name, Tags=[{"Key": "Team", "Value": "ml"}])
    assert person.invokes()
    account.iam.tag_user(UserName=person.name, Tags=[{"Key": "Team", "Value": "hr"}])
    assert not person.invokes()


def test_a_role_s_policies_count_for_the_sessions_that_it_has(account: Account) -> None:
    role = account.role()
    name = role.rpartition("/")[2]
    session = assume(account.admin, role)
    assert not session.invokes()
    account.iam.put_role_policy(RoleName=name, PolicyName="granted", PolicyDocument=MAY)
    assert session.invokes()
    account.iam.delete_role_policy(RoleName=name, PolicyName="granted")
    assert not session.invokes()


def test_a_trust_policy(account: Account) -> None:
    role = account.role()
    person = account.user(document(allow("sts:AssumeRole")))
    asked = {"RoleArn": role, "RoleSessionName": "me"}
    assert person.refusal("sts:assume_role", **asked) == ""
    account.iam.update_assume_role_policy(
        RoleName=role.rpartition("/")[2],
        PolicyDocument=account.trusting(account.admin.arn),
    )
    assert person.refusal("sts:assume_role", **asked) == "AccessDenied"


def test_a_disabled_key_and_one_that_is_enabled_again(account: Account) -> None:
    person = account.user(MAY)
    assert person.invokes()
    key = {"UserName": person.name, "AccessKeyId": person.key}
    account.iam.update_access_key(**key, Status="Inactive")
    assert _refusal(person) == "UnrecognizedClientException"
    account.iam.update_access_key(**key, Status="Active")
    assert person.invokes()
    account.iam.delete_access_key(**key)
    assert _refusal(person) == "UnrecognizedClientException"


def test_the_key_and_the_session_of_a_deleted_user(account: Account) -> None:
    person = account.user(MAY)
    answer = person.ask("sts:get_session_token")
    session = of_session(person.gateway, person.arn, answer)
    assert person.invokes()
    assert session.invokes()
    account.iam.delete_user_policy(UserName=person.name, PolicyName="granted-0")
    assert not session.invokes()
    account.iam.delete_access_key(UserName=person.name, AccessKeyId=person.key)
    account.iam.delete_user(UserName=person.name)
    for each in (person, session):
        assert _refusal(each) == "UnrecognizedClientException"
    # Another user of the same name is somebody else.
    account.user(MAY, name=person.name)
    for each in (person, session):
        assert _refusal(each) == "UnrecognizedClientException"


def test_the_session_of_a_deleted_role(account: Account) -> None:
    role = account.role(MAY)
    name = role.rpartition("/")[2]
    session = assume(account.admin, role)
    assert session.invokes()
    account.iam.delete_role_policy(RoleName=name, PolicyName="granted-0")
    account.iam.delete_role(RoleName=name)
    assert _refusal(session) == "UnrecognizedClientException"


def test_a_service_control_policy_by_the_command_line(other: Account, tmp_path: Any) -> None:
    root = other.admin
    file = tmp_path / "policy.json"
    titan = f"arn:aws:bedrock:*::foundation-model/{TITAN}"
    file.write_text(document(deny(INVOKE, titan)), encoding="utf-8")
    name = unique("scp")
    outcrop(root.gateway, "accounts", "scp", "create", name, str(file))
    assert root.invokes(TITAN)
    outcrop(root.gateway, "accounts", "scp", "attach", name, other.id)
    assert _becomes(root, TITAN, allowed=False)
    assert root.invokes(CLAUDE)
    outcrop(root.gateway, "accounts", "scp", "detach", name, other.id)
    assert _becomes(root, TITAN, allowed=True)
    outcrop(root.gateway, "accounts", "scp", "delete", name)


def _becomes(person: Person, model: str, *, allowed: bool) -> bool:
    """Within the second in which a server notices another process's change; each request asks."""
    return any(person.invokes(model) == allowed for _ in range(2000))


def _refusal(person: Person) -> str:
    return person.refusal("bedrock:list_foundation_models")
