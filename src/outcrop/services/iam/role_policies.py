"""What a role may: its inline policies and the managed ones attached to it."""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.iam.attachments import render_attached, with_attached, without_attached
from outcrop.services.iam.documents import ROLE_POLICIES_CHARACTERS, checked, encoded, size_of
from outcrop.services.iam.listing import listed
from outcrop.services.iam.roles import change_role, get_known_role
from outcrop.services.operation import operation
from outcrop.stores.iam_records import RoleRecord


@operation
async def put_role_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name, text = params["RoleName"], params["PolicyDocument"]
    get_known_role(call, name)
    checked(text, "identity")

    def put(role: RoleRecord) -> RoleRecord:
        inline = {**role.inline, params["PolicyName"]: text}
        if sum(map(size_of, inline.values())) > ROLE_POLICIES_CHARACTERS:
            raise ServiceError(
                "LimitExceeded",
                f"Maximum policy size of {ROLE_POLICIES_CHARACTERS} bytes exceeded for role {name}",
            )
        return structs.replace(role, inline=inline)

    await change_role(call, name, put)
    return {}


@operation
async def get_role_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    role = get_known_role(call, params["RoleName"])
    text = role.record.inline.get(params["PolicyName"])
    if text is None:
        raise _no_such_policy(params["PolicyName"])
    return {
        "RoleName": role.name,
        "PolicyName": params["PolicyName"],
        "PolicyDocument": encoded(text),
    }


@operation
async def delete_role_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    gone = params["PolicyName"]

    def delete(role: RoleRecord) -> RoleRecord:
        if gone not in role.inline:
            raise _no_such_policy(gone)
        inline = {name: text for name, text in role.inline.items() if name != gone}
        return structs.replace(role, inline=inline)

    await change_role(call, params["RoleName"], delete)
    return {}


@operation
async def list_role_policies(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    role = get_known_role(call, params["RoleName"])
    return listed(call, params, sorted(role.record.inline, key=str.lower))


@operation
async def attach_role_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def attach(role: RoleRecord) -> RoleRecord:
        attached = with_attached(call, role.attached, params["PolicyArn"], "PoliciesPerRole")
        return structs.replace(role, attached=attached)

    await change_role(call, params["RoleName"], attach)
    return {}


@operation
async def detach_role_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def detach(role: RoleRecord) -> RoleRecord:
        attached = without_attached(role.attached, params["PolicyArn"])
        return structs.replace(role, attached=attached)

    await change_role(call, params["RoleName"], detach)
    return {}


@operation
async def list_attached_role_policies(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    role = get_known_role(call, params["RoleName"])
    attached = render_attached(role.record.attached, params.get("PathPrefix", "/"))
    return listed(call, params, attached)


def _no_such_policy(name: str) -> ServiceError:
    return ServiceError("NoSuchEntity", f"The role policy with name {name} cannot be found.")
