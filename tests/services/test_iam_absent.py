"""What IAM does not have here is told as AWS tells it of an account that has none."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from iam_people import refusal, user_of
from running_gateways import ACCOUNT

RECORDED = Path(__file__).resolve().parents[2] / "../shared/real-control-plane.jsonl"


EMPTY = {
    "list_instance_profiles": "InstanceProfiles",
    "list_open_id_connect_providers": "OpenIDConnectProviderList",
    "list_saml_providers": "SAMLProviderList",
    "list_server_certificates": "ServerCertificateMetadataList",
    "list_virtual_mfa_devices": "VirtualMFADevices",
}


@pytest.mark.parametrize("operation", EMPTY)
def test_there_are_none(operation: str, iam: Any) -> None:
    assert getattr(iam, operation)()[EMPTY[operation]] == []


def test_a_user_has_none_and_must_be_there(iam: Any) -> None:
    with user_of(iam) as user:
        assert iam.list_ssh_public_keys(UserName=user)["SSHPublicKeys"] == []
        assert iam.list_signing_certificates(UserName=user)["Certificates"] == []
    for operation in (iam.list_ssh_public_keys, iam.get_login_profile, iam.delete_login_profile):
        with pytest.raises(iam.exceptions.NoSuchEntityException) as caught:
            operation(UserName=user)
        assert f"The user with name {user} cannot be found." in str(caught.value)


MISSING: dict[str, tuple[str, dict[str, str]]] = {
    "GetLoginProfile": ("test-user-no-console-access", {}),
    "DeleteLoginProfile": ("alice", {}),
    "GetAccountPasswordPolicy": ("", {}),
    "DeleteInstanceProfile": ("", {"InstanceProfileName": "test"}),
    "GetSAMLProvider": (
        "",
        {"SAMLProviderArn": "arn:aws:iam::644160558196:saml-provider/testprovider"},
    ),
}


@pytest.mark.parametrize("operation", MISSING)
def test_what_is_missing_is_told_as_recorded(operation: str, iam: Any) -> None:
    rows = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    (recorded,) = [
        (row["status"], row["data"]["Error"]["Code"], row["data"]["Error"]["Message"])
        for row in rows
        if row["op"] == operation and row["service"] == "iam" and row["status"] != 200
    ]
    user, params = MISSING[operation]
    if user:
        iam.create_user(UserName=user)
        params = {"UserName": user}
    method = "".join(f"_{one.lower()}" if one.isupper() else one for one in operation).lstrip("_")
    with pytest.raises(ClientError) as caught:
        getattr(iam, method.replace("s_a_m_l", "saml"))(**params)
    if user:
        iam.delete_user(UserName=user)
    status, code, text = recorded
    # The account's number in the recording was taken out.
    assert refusal(caught.value) == (status, code, text.replace("name xyz", f"name {ACCOUNT}"))
