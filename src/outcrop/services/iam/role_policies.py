"""What a role may: its inline policies and the managed ones attached to it."""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from outcrop.services.call import Call
from outcrop.services.iam.attachments import render_attached, with_attached, without_attached
from outcrop.services.iam.documents import checked
from outcrop.services.iam.inline_policies import render_policy, with_policy, without_policy
from outcrop.services.iam.listing import listed
from outcrop.services.iam.roles import change_role, get_known_role
from outcrop.services.operation import operation
from outcrop.stores.iam_records import RoleRecord


@operation
async def put_role_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name = params["RoleName"]
    get_known_role(call, name)
    checked(params["PolicyDocument"], "identity")

    def put(role: RoleRecord) -> RoleRecord:
        return structs.replace(role, inline=with_policy("role", role, params, name))

    await change_role(call, name, put)
    return {}


@operation
async def get_role_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    role = get_known_role(call, params["RoleName"])
    return render_policy("role", role, params["PolicyName"])


@operation
async def delete_role_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def delete(role: RoleRecord) -> RoleRecord:
        return structs.replace(role, inline=without_policy("role", role, params["PolicyName"]))

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
