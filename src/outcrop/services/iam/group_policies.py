"""What a group may: its inline policies and the managed ones attached to it."""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from outcrop.services.call import Call
from outcrop.services.iam.attachments import render_attached, with_attached, without_attached
from outcrop.services.iam.documents import checked
from outcrop.services.iam.groups import change_group, get_known_group
from outcrop.services.iam.inline_policies import render_policy, with_policy, without_policy
from outcrop.services.iam.listing import listed
from outcrop.services.operation import operation
from outcrop.stores.iam_records import GroupRecord


@operation
async def put_group_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name = params["GroupName"]
    get_known_group(call, name)
    checked(params["PolicyDocument"], "identity")

    def put(group: GroupRecord) -> GroupRecord:
        return structs.replace(group, inline=with_policy("group", group, params, name))

    await change_group(call, name, put)
    return {}


@operation
async def get_group_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    group = get_known_group(call, params["GroupName"])
    return render_policy("group", group, params["PolicyName"])


@operation
async def delete_group_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def delete(group: GroupRecord) -> GroupRecord:
        return structs.replace(group, inline=without_policy("group", group, params["PolicyName"]))

    await change_group(call, params["GroupName"], delete)
    return {}


@operation
async def list_group_policies(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    group = get_known_group(call, params["GroupName"])
    return listed(call, params, sorted(group.record.inline, key=str.lower))


@operation
async def attach_group_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def attach(group: GroupRecord) -> GroupRecord:
        attached = with_attached(call, group.attached, params["PolicyArn"], "PoliciesPerGroup")
        return structs.replace(group, attached=attached)

    await change_group(call, params["GroupName"], attach)
    return {}


@operation
async def detach_group_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def detach(group: GroupRecord) -> GroupRecord:
        attached = without_attached(group.attached, params["PolicyArn"])
        return structs.replace(group, attached=attached)

    await change_group(call, params["GroupName"], detach)
    return {}


@operation
async def list_attached_group_policies(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    group = get_known_group(call, params["GroupName"])
    attached = render_attached(group.record.attached, params.get("PathPrefix", "/"))
    return listed(call, params, attached)
