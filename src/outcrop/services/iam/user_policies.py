"""What a user may: its inline policies and the managed ones attached to it."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.iam.attachments import render_attached, with_attached, without_attached
from outcrop.services.iam.documents import checked, encoded, size_of
from outcrop.services.iam.listing import listed
from outcrop.services.iam.users import change_user, get_known_user
from outcrop.services.operation import operation
from outcrop.stores.iam_records import UserRecord

POLICIES_CHARACTERS: Final = 2048


@operation
async def put_user_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    name, text = params["UserName"], params["PolicyDocument"]
    get_known_user(call, name)
    checked(text, "identity")

    def put(user: UserRecord) -> UserRecord:
        inline = {**user.inline, params["PolicyName"]: text}
        if sum(map(size_of, inline.values())) > POLICIES_CHARACTERS:
            raise ServiceError(
                "LimitExceeded",
                f"Maximum policy size of {POLICIES_CHARACTERS} bytes exceeded for user {name}",
            )
        return structs.replace(user, inline=inline)

    await change_user(call, name, put)
    return {}


@operation
async def get_user_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    user = get_known_user(call, params["UserName"])
    text = user.record.inline.get(params["PolicyName"])
    if text is None:
        raise _no_such_policy(params["PolicyName"])
    return {
        "UserName": user.name,
        "PolicyName": params["PolicyName"],
        "PolicyDocument": encoded(text),
    }


@operation
async def delete_user_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    gone = params["PolicyName"]

    def delete(user: UserRecord) -> UserRecord:
        if gone not in user.inline:
            raise _no_such_policy(gone)
        inline = {name: text for name, text in user.inline.items() if name != gone}
        return structs.replace(user, inline=inline)

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


def _no_such_policy(name: str) -> ServiceError:
    return ServiceError("NoSuchEntity", f"The user policy with name {name} cannot be found.")
