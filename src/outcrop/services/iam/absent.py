"""What accounts do not have here: passwords, SSH keys, certificates, devices, providers, profiles.

Nothing makes any, so every list is empty and whatever is named is missing.

Tools ask for them all the same: Terraform and clean-up scripts before they delete a user or role.
"""

from collections.abc import Mapping
from typing import Any

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.iam.listing import listed
from outcrop.services.iam.users import get_known_user
from outcrop.services.operation import operation


@operation
async def list_ssh_public_keys(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return _none_of_user(call, params)


@operation
async def list_signing_certificates(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return _none_of_user(call, params)


@operation
async def list_virtual_mfa_devices(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return listed(call, params, [])


@operation
async def list_server_certificates(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return listed(call, params, [])


@operation
async def list_instance_profiles(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return listed(call, params, [])


@operation
async def list_open_id_connect_providers(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"OpenIDConnectProviderList": []}


@operation
async def list_saml_providers(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"SAMLProviderList": []}


@operation
async def get_login_profile(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name = params.get("UserName", call.caller.principal.name)
    get_known_user(call, name)
    raise _missing(f"Login Profile for User {name} cannot be found.")


@operation
async def delete_login_profile(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name = params.get("UserName", call.caller.principal.name)
    get_known_user(call, name)
    raise _missing(f"Cannot find Login Profile for User {name}")


@operation
async def get_account_password_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    raise _missing(f"The Password Policy with domain name {call.account} cannot be found.")


@operation
async def get_instance_profile(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    raise _missing(f"Instance Profile {params['InstanceProfileName']} cannot be found.")


@operation
async def delete_instance_profile(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    raise _missing(f"Instance Profile {params['InstanceProfileName']} cannot be found.")


@operation
async def get_saml_provider(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    arn = params.get("SAMLProviderArn") or params.get("SAMLProviderUUID")
    raise _missing(f"Manifest not found for arn {arn}")


def _none_of_user(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    if "UserName" in params:
        get_known_user(call, params["UserName"])
    return listed(call, params, [])


def _missing(message: str) -> ServiceError:
    return ServiceError("NoSuchEntity", message)
