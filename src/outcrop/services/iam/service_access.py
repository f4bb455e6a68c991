"""Which policies of somebody have a say in a service: those that allow any action of it."""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from outcrop.authorization.simulation import Attached, policies_of
from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.iam.simulation_inputs import get_holder
from outcrop.services.operation import operation


@operation
async def list_policies_granting_service_access(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    holder = get_holder(call, params["Arn"])
    if "Marker" in params:
        # Everything is told at once, so no answer ever had a marker.
        raise ServiceError("InvalidInput", "The Marker is of no answer of this operation.")
    policies = policies_of(call.stores.directory, holder)
    return {
        "PoliciesGrantingServiceAccess": [
            {
                "ServiceNamespace": service,
                "Policies": [_render(each) for each in policies if grants(each.text, service)],
            }
            for service in params["ServiceNamespaces"]
        ],
        "IsTruncated": False,
    }


def grants(text: str, service: str) -> bool:
    """Whether any statement of a policy allows any action of the service."""
    statements = msgspec.json.decode(text)["Statement"]
    return any(
        each["Effect"] == "Allow" and _names(each, service.lower()) for each in _several(statements)
    )


def _names(statement: Mapping[str, Any], service: str) -> bool:
    if "NotAction" in statement:
        left_out = {action.lower() for action in _several(statement["NotAction"])}
        return not left_out & {"*", "*:*", f"{service}:*"}
    actions = (action.lower() for action in _several(statement["Action"]))
    return any(action in ("*", "*:*") or action.startswith(f"{service}:") for action in actions)


def _several(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else [value]


def _render(policy: Attached) -> dict[str, str]:
    if policy.is_inline:
        return {
            "PolicyName": policy.name,
            "PolicyType": "INLINE",
            "EntityType": policy.holder_kind.upper(),
            "EntityName": policy.holder,
        }
    return {"PolicyName": policy.source, "PolicyType": "MANAGED", "PolicyArn": policy.name}
