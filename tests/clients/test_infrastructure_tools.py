"""What infrastructure tools ask, in their order: the reads of Terraform's AWS provider after making
something and before deleting it; the waiters, paginators and resources of the SDKs."""

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError
from running_gateways import ACCOUNT, Gateway

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "bedrock.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
    }
)
TAGS = [{"Key": "Name", "Value": "tf"}]


@pytest.fixture
def iam(scripted_gateway: Gateway) -> Any:
    return scripted_gateway.client("iam")


def test_a_role_with_its_policy_is_made_read_and_destroyed(iam: Any) -> None:
    role: dict[str, Any] = {"RoleName": "tf-role"}
    iam.create_role(**role, AssumeRolePolicyDocument=TRUST, MaxSessionDuration=3600, Tags=TAGS)
    iam.get_waiter("role_exists").wait(**role)
    shown = iam.get_role(**role)["Role"]
    assert shown["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert shown["Tags"] == TAGS
    assert iam.list_role_policies(**role)["PolicyNames"] == []
    assert iam.list_attached_role_policies(**role)["AttachedPolicies"] == []
    arn = iam.create_policy(PolicyName="tf-policy", PolicyDocument=POLICY)["Policy"]["Arn"]
    iam.get_waiter("policy_exists").wait(PolicyArn=arn)
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    version = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])
    assert version["PolicyVersion"]["Document"] == json.loads(POLICY)
    iam.attach_role_policy(**role, PolicyArn=arn)
    attached = iam.list_attached_role_policies(**role)["AttachedPolicies"]
    assert attached == [{"PolicyName": "tf-policy", "PolicyArn": arn}]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=POLICY, SetAsDefault=True)
    iam.detach_role_policy(**role, PolicyArn=arn)
    for each in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not each["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=each["VersionId"])
    iam.delete_policy(PolicyArn=arn)
    assert iam.list_instance_profiles_for_role(**role)["InstanceProfiles"] == []
    iam.delete_role(**role)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(**role)


def test_a_user_is_destroyed_by_force(iam: Any) -> None:
    user = {"UserName": "tf-user"}
    iam.create_user(**user, Path="/tf/", Tags=TAGS)
    iam.get_waiter("user_exists").wait(**user)
    key = iam.create_access_key(**user)["AccessKey"]["AccessKeyId"]
    assert iam.list_groups_for_user(**user)["Groups"] == []
    iam.delete_access_key(**user, AccessKeyId=key)
    assert iam.list_ssh_public_keys(**user)["SSHPublicKeys"] == []
    assert iam.list_virtual_mfa_devices(AssignmentStatus="Any")["VirtualMFADevices"] == []
    assert iam.list_mfa_devices(**user)["MFADevices"] == []
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.delete_login_profile(**user)
    assert iam.list_signing_certificates(**user)["Certificates"] == []
    assert iam.list_service_specific_credentials(**user)["ServiceSpecificCredentials"] == []
    iam.delete_user(**user)


def test_a_key_with_its_alias_is_made_read_and_destroyed(scripted_gateway: Gateway) -> None:
    kms = scripted_gateway.client("kms")
    made = kms.create_key(
        Description="tf",
        KeyUsage="ENCRYPT_DECRYPT",
        CustomerMasterKeySpec="SYMMETRIC_DEFAULT",
        BypassPolicyLockoutSafetyCheck=False,
        MultiRegion=False,
        Tags=[{"TagKey": "Name", "TagValue": "tf"}],
    )
    key = {"KeyId": made["KeyMetadata"]["KeyId"]}
    assert kms.describe_key(**key)["KeyMetadata"]["KeyState"] == "Enabled"
    assert json.loads(kms.get_key_policy(**key, PolicyName="default")["Policy"])["Statement"]
    assert kms.get_key_rotation_status(**key)["KeyRotationEnabled"] is False
    assert kms.list_resource_tags(**key)["Tags"] == [{"TagKey": "Name", "TagValue": "tf"}]
    kms.enable_key_rotation(**key, RotationPeriodInDays=365)
    assert kms.get_key_rotation_status(**key)["RotationPeriodInDays"] == 365
    kms.create_alias(AliasName="alias/tf", TargetKeyId=key["KeyId"])
    pages = kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": 1})
    found = [each for page in pages for each in page["Aliases"] if each["AliasName"] == "alias/tf"]
    assert [each["TargetKeyId"] for each in found] == [key["KeyId"]]
    kms.delete_alias(AliasName="alias/tf")
    kms.schedule_key_deletion(**key, PendingWindowInDays=30)
    assert kms.describe_key(**key)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_a_secret_with_a_version_is_made_read_and_destroyed(scripted_gateway: Gateway) -> None:
    secrets = scripted_gateway.client("secretsmanager")
    made = secrets.create_secret(
        Name="tf/secret", Description="", ForceOverwriteReplicaSecret=False, Tags=TAGS
    )
    secret = {"SecretId": made["ARN"]}
    assert secrets.describe_secret(**secret)["Tags"] == TAGS
    assert "ResourcePolicy" not in secrets.get_resource_policy(**secret)
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.get_secret_value(**secret)
    version = secrets.put_secret_value(**secret, SecretString="one")["VersionId"]
    read = secrets.get_secret_value(**secret, VersionId=version)
    assert (read["SecretString"], read["VersionStages"]) == ("one", ["AWSCURRENT"])
    assert secrets.describe_secret(**secret)["VersionIdsToStages"] == {version: ["AWSCURRENT"]}
    secrets.delete_secret(**secret, RecoveryWindowInDays=7)
    assert secrets.describe_secret(**secret)["DeletedDate"]
    secrets.delete_secret(**secret, ForceDeleteWithoutRecovery=True)
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.describe_secret(**secret)


# What a list needs to be asked for at all.
NEEDED: dict[str, Any] = {
    "UserName": "admin",
    "RoleName": "paged",
    "GroupName": "paged",
    "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess",
    "PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:user/admin",
    "ActionNames": ["s3:GetObject", "s3:PutObject"],
    "PolicyInputList": [POLICY],
    "RetiringPrincipal": f"arn:aws:iam::{ACCOUNT}:user/admin",
    "SecretId": "paged",
}


def test_every_paginator_of_an_operation_that_is_here_comes_to_its_end(
    scripted_gateway: Gateway, iam: Any
) -> None:
    iam.create_role(RoleName="paged", AssumeRolePolicyDocument=TRUST)
    iam.create_group(GroupName="paged")
    made = scripted_gateway.client("kms").create_key()["KeyMetadata"]["KeyId"]
    scripted_gateway.client("secretsmanager").create_secret(Name="paged", SecretString="x")
    paged: set[str] = set()
    needed = NEEDED | {"KeyId": made}
    for service in ("iam", "kms", "secretsmanager"):
        client = scripted_gateway.client(service, parameter_validation=False)
        for operation, name in client.meta.method_to_api_mapping.items():
            if not client.can_paginate(operation):
                continue
            shape = client.meta.service_model.operation_model(name).input_shape
            params = {each: needed.get(each, "not-here") for each in shape.required_members}
            if name == "ListRetirableGrants":
                # Its model leaves out that it needs one.
                params["RetiringPrincipal"] = NEEDED["RetiringPrincipal"]
            pages = client.get_paginator(operation).paginate(
                **params, PaginationConfig={"PageSize": 1, "MaxItems": 5}
            )
            try:
                pages.build_full_result()
            except ClientError as error:
                answer: Any = error.response
                # Not here, and said so.
                assert answer["ResponseMetadata"]["HTTPStatusCode"] == 501, (name, answer)
            else:
                paged.add(name)
    iam.delete_role(RoleName="paged")
    iam.delete_group(GroupName="paged")
    assert {"ListUsers", "ListRoles", "ListKeys", "ListSecrets", "ListGrants"} <= paged
    assert len(paged) > 35


def test_boto3_s_resources_of_iam_work(scripted_gateway: Gateway) -> None:
    make_resource = cast(Any, boto3).resource
    iam = make_resource(
        "iam",
        endpoint_url=scripted_gateway.url,
        region_name="us-east-1",
        aws_access_key_id=scripted_gateway.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=scripted_gateway.environment["AWS_SECRET_ACCESS_KEY"],
    )
    user = iam.create_user(UserName="resourceful")
    user.create_policy(PolicyName="own", PolicyDocument=POLICY)
    assert [policy.name for policy in user.policies.all()] == ["own"]
    assert user.arn in [each.arn for each in iam.users.filter(PathPrefix="/")]
    pair = user.create_access_key_pair()
    assert [key.id for key in user.access_keys.all()] == [pair.id]
    pair.delete()
    user.Policy("own").delete()
    user.delete()
    assert iam.AccountSummary().summary_map["UsersQuota"] > 0


def test_the_javascript_sdk_lives_with_users_roles_keys_and_secrets(
    scripted_gateway: Gateway, run_node: Callable[[str, Mapping[str, str]], dict[str, Any]]
) -> None:
    result = run_node("identity.mjs", scripted_gateway.environment)
    assert sorted(name for page in result["users"] for name in page) == [
        *("js-one", "js-three", "js-two"),
    ]
    assert [len(page) for page in result["users"]] == [1, 1, 1]
    assert result["gone"] == [True, 404]
    assert result["session"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/js-role/js"
    assert (result["opened"], result["dataKeyBytes"]) == ("hello", 32)
    assert result["keyListed"] is True
    assert result["noKey"] == [True, 400]
    assert (result["binary"], result["previous"]) == ([1, 2, 255], "1")
    assert (result["versions"], result["deleted"]) == (2, True)
    assert result["lastUsed"] == [True, "us-east-1"]
