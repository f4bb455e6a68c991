"""What a user may: its inline policies and the managed ones attached to it."""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from outcrop.services.call import Call
from outcrop.services.iam.attachments import render_attached, with_attached, without_attached
from outcrop.services.iam.documents import checked
from outcrop.services.iam.inline_policies import render_policy, with_policy, without_policy
from outcrop.services.iam.listing import listed
from outcrop.services.iam.users import change_user, get_known_user
from outcrop.services.operation import operation
from outcrop.stores.iam_records import UserRecord


@operation
async def put_user_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name = params["UserName"]
    get_known_user(call, name)
    checked(params["PolicyDocument"], "identity")

    def put(user: UserRecord) -> UserRecord:
        return structs.replace(user, inline=with_policy("user", user, params, name))

    await change_user(call, name, put)
    return {}


@operation
async def get_user_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    user = get_known_user(call, params["UserName"])
    return render_policy("user", user, params["PolicyName"])


@operation
async def delete_user_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def delete(user: UserRecord) -> UserRecord:
        return structs.replace(user, inline=without_policy("user", user, params["PolicyName"]))

    await change_user(call, params["UserName"], delete)
    return {}


@operation
async def list_user_policies(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    user = get_known_user(call, params["UserName"])
    return listed(call, params, sorted(user.record.inline, key=str.lower))


@operation
async def attach_user_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def attach(user: UserRecord) -> UserRecord:
        attached = with_attached(call, user.attached, params["PolicyArn"], "PoliciesPerUser")
        return structs.replace(user, attached=attached)

    await change_user(call, params["UserName"], attach)
    return {}


@operation
async def detach_user_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    def detach(user: UserRecord) -> UserRecord:
        attached = without_attached(user.attached, params["PolicyArn"])
        return structs.replace(user, attached=attached)

    await change_user(call, params["UserName"], detach)
    return {}


@operation
async def list_attached_user_policies(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    user = get_known_user(call, params["UserName"])
    attached = render_attached(user.record.attached, params.get("PathPrefix", "/"))
    return listed(call, params, attached)
