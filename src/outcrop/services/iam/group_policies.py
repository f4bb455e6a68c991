"""What a group may: its inline policies and the managed ones attached to it."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.iam.attachments import render_attached, with_attached, without_attached
from outcrop.services.iam.documents import checked, encoded, size_of
from outcrop.services.iam.groups import change_group, get_known_group
from outcrop.services.iam.listing import listed
from outcrop.services.operation import operation
from outcrop.stores.iam_records import GroupRecord

POLICIES_CHARACTERS: Final = 5120


@operation
async def put_group_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name, text = params["GroupName"], params["PolicyDocument"]
    get_known_group(call, name)
    checked(text, "identity")

    def put(group: GroupRecord) -> GroupRecord:
        inline = {**group.inline, params["PolicyName"]: text}
        if sum(map(size_of, inline.values())) > POLICIES_CHARACTERS:
            raise ServiceError(
                "LimitExceeded",
                f"Maximum policy size of {POLICIES_CHARACTERS} bytes exceeded for group {name}",
            )
        return structs.replace(group, inline=inline)

    await change_group(call, name, put)
    return {}


@operation
async def get_group_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    group = get_known_group(call, params["GroupName"])
    text = group.record.inline.get(params["PolicyName"])
    if text is None:
        raise _no_such_policy(params["PolicyName"])
    return {
        "GroupName": group.name,
        "PolicyName": params["PolicyName"],
        "PolicyDocument": encoded(text),
    }


@operation
async def delete_group_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    gone = params["PolicyName"]

    def delete(group: GroupRecord) -> GroupRecord:
        if gone not in group.inline:
            raise _no_such_policy(gone)
        inline = {name: text for name, text in group.inline.items() if name != gone}
        return structs.replace(group, inline=inline)

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


def _no_such_policy(name: str) -> ServiceError:
    return ServiceError("NoSuchEntity", f"The group policy with name {name} cannot be found.")
