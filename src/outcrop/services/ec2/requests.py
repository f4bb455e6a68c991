"""What EC2's operations have in common: dry runs, IDs, and members that are not supported.

``network_operation`` names the members that a handler takes; any other that is set is refused.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, Final, TypeVar

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.stores.network_records import TYPES, Vpc, prefix_of
from outcrop.stores.networks import ensure_defaults
from outcrop.stores.resources import Item, Place, Record, View

Params = Mapping[str, Any]
Result = dict[str, Any]
NetworkHandler = Callable[[Call, Params], Awaitable[Result]]
R = TypeVar("R", bound=Record)

_PASSED: Final = 412
_NAMES: Final[Mapping[str, tuple[str, str, str]]] = {
    "dopt": ("InvalidDhcpOptionID", "InvalidDhcpOptionsId", "dhcpOption ID"),
    "eni": ("InvalidNetworkInterfaceID", "InvalidNetworkInterfaceID", "networkInterface ID"),
    "eni-perm": ("InvalidPermissionID", "InvalidPermissionID", "permission ID"),
    "fl": ("InvalidFlowLogId", "InvalidFlowLogId", "flow log ID"),
    "rtb": ("InvalidRouteTableID", "InvalidRouteTableId", "routeTable ID"),
    "sg": ("InvalidGroup", "InvalidGroupId", "security group"),
    "subnet": ("InvalidSubnetID", "InvalidSubnetID", "subnet ID"),
    "vpc": ("InvalidVpcID", "InvalidVpcID", "vpc ID"),
    "vpce": ("InvalidVpcEndpointId", "InvalidVpcEndpointId", "Vpc Endpoint Id"),
}
_PREFIXES: Final = {type: prefix for prefix, type in TYPES.items()}


def network_operation(
    *takes: str, looks_at_networks: bool = True
) -> Callable[[NetworkHandler], NetworkHandler]:
    """Registers a handler that takes the members named, and ``DryRun``. One that looks at networks
    finds the default one."""
    taken = frozenset(takes) | {"DryRun"}

    def register(handler: NetworkHandler) -> NetworkHandler:
        @operation
        @wraps(handler)
        async def checked(call: Call, params: Params) -> Result:
            for name, value in params.items():
                # What is off or empty asks for nothing.
                if name not in taken and value not in (None, False, 0, "", [], {}):
                    raise unsupported(f"The parameter {name}")
            if params.get("DryRun"):
                raise ServiceError(
                    "DryRunOperation",
                    "Request would have succeeded, but DryRun flag is set.",
                    status=_PASSED,
                )
            if looks_at_networks:
                await ensure_defaults(call.stores.resources, call.account, call.region, call.zones)
            return await handler(call, params)

        return checked

    return register


def unsupported(what: str) -> ServiceError:
    return ServiceError("UnsupportedOperation", f"{what} is not supported here.")


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValue", message)


def missing(name: str) -> ServiceError:
    return ServiceError("MissingParameter", f"The request must contain the parameter {name}")


def conflicting(message: str) -> ServiceError:
    return ServiceError("InvalidParameterCombination", message)


def dependency(message: str) -> ServiceError:
    return ServiceError("DependencyViolation", message)


def not_found(type: type[Record], resource_id: str) -> ServiceError:
    code, _, noun = _NAMES[_PREFIXES[type]]
    return ServiceError(f"{code}.NotFound", f"The {noun} '{resource_id}' does not exist")


def check_id(type: type[Record], resource_id: str) -> None:
    prefix = _PREFIXES[type]
    if prefix_of(resource_id) != prefix:
        message = f'Invalid id: "{resource_id}" (expecting "{prefix}-...")'
        raise ServiceError(f"{_NAMES[prefix][1]}.Malformed", message)


async def get(view: View, call: Call, type: type[R], resource_id: str) -> Item[R]:
    """A resource of the caller's account and region."""
    check_id(type, resource_id)
    item = await view.find(type, place_of(call, resource_id))
    if item is None:
        raise not_found(type, resource_id)
    return item


async def list_own(
    view: View, call: Call, type: type[R], parent: str | None = None
) -> list[Item[R]]:
    return await view.list(type, account=call.account, region=call.region, parent=parent)


async def find_default_vpc(view: View, call: Call) -> Item[Vpc] | None:
    return next((vpc for vpc in await list_own(view, call, Vpc) if vpc.record.is_default), None)


def place_of(call: Call, resource_id: str) -> Place:
    return Place(call.account, call.region, resource_id)
