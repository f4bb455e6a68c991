"""The services that private endpoints can be made for, as a region offers them.

``com.amazonaws.REGION.bedrock`` was one of them once; it is discontinued, and so is its name.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.ec2.listing import Values, filtered, truth
from outcrop.services.ec2.requests import Params, Result, network_operation
from outcrop.services.ec2.zones import zone_id, zone_name
from outcrop.stores.network_records import EndpointKind, prefix_list_id
from outcrop.wire.paging import page
from outcrop.wire.spec import Operation, Pagination

SERVICES: Final[Mapping[str, EndpointKind]] = {
    "bedrock-agent": "Interface",
    "bedrock-agent-runtime": "Interface",
    "bedrock-runtime": "Interface",
    "s3": "Gateway",
}
_DISCONTINUED: Final = "bedrock"
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class EndpointService:
    """``short`` is the part of its name behind the region."""

    short: str
    type: EndpointKind
    region: str

    @property
    def name(self) -> str:
        return f"com.amazonaws.{self.region}.{self.short}"

    @property
    def private_dns_name(self) -> str:
        return f"{self.short}.{self.region}.amazonaws.com"


def get_service(call: Call, name: str) -> EndpointService:
    service = _offered(call.region).get(name)
    if service is not None:
        return service
    if name == f"com.amazonaws.{call.region}.{_DISCONTINUED}":
        raise ServiceError(
            "InvalidServiceName",
            f"The Vpc Endpoint Service '{name}' is discontinued. Use '{name}-runtime'.",
        )
    raise ServiceError("InvalidServiceName", f"The Vpc Endpoint Service '{name}' does not exist")


def service_of(short: str, region: str) -> EndpointService:
    return EndpointService(short, SERVICES[short], region)


@network_operation(
    "ServiceNames", "Filters", "ServiceRegions", "MaxResults", "NextToken", looks_at_networks=False
)
async def describe_vpc_endpoint_services(call: Call, params: Params) -> Result:
    names = params.get("ServiceNames") or sorted(_offered(call.region))
    services = [get_service(call, name) for name in dict.fromkeys(names)]
    regions = params.get("ServiceRegions") or [call.region]
    kept = filtered(
        params,
        [service for service in services if service.region in regions],
        _FILTERS,
        tags_of=lambda _: {},
    )
    found = page(_pages(call.operation), params, [_render(call, each) for each in kept], _PAGE)
    return {**found, "ServiceNames": [each["ServiceName"] for each in found["ServiceDetails"]]}


@network_operation("PrefixListIds", "Filters", "MaxResults", "NextToken", looks_at_networks=False)
async def describe_prefix_lists(call: Call, params: Params) -> Result:
    """The lists that routes to gateway endpoints name. Their endpoint is a listener of its own and
    no range of addresses, so they hold none."""
    lists: list[dict[str, Any]] = [
        {
            "PrefixListId": prefix_list_id(service.short, call.region),
            "PrefixListName": service.name,
            "Cidrs": [],
        }
        for service in _offered(call.region).values()
        if service.type == "Gateway"
    ]
    asked = params.get("PrefixListIds")
    if asked:
        known = {each["PrefixListId"]: each for each in lists}
        for each in asked:
            if each not in known:
                raise ServiceError(
                    "InvalidPrefixListId.NotFound", f"The prefix list ID '{each}' does not exist"
                )
        lists = [known[each] for each in dict.fromkeys(asked)]
    kept = filtered(
        params,
        lists,
        {
            "prefix-list-id": lambda one: [str(one["PrefixListId"])],
            "prefix-list-name": lambda one: [str(one["PrefixListName"])],
        },
    )
    return page(call.operation, params, kept, _PAGE)


def _offered(region: str) -> dict[str, EndpointService]:
    services = (EndpointService(short, type, region) for short, type in SERVICES.items())
    return {service.name: service for service in services}


def _pages(operation: Operation) -> Operation:
    """The model's paginator has two lists at once; the details are the one that is paged."""
    as_one = Pagination("NextToken", "NextToken", "MaxResults", "ServiceDetails")
    return replace(operation, pagination=as_one)


def _render(call: Call, service: EndpointService) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "ServiceName": service.name,
        "ServiceId": _service_id(service),
        "ServiceType": [{"ServiceType": service.type}],
        "ServiceRegion": service.region,
        "AvailabilityZones": [zone_name(call.region, letter) for letter in call.zones],
        "AvailabilityZoneIds": [zone_id(call.region, letter) for letter in call.zones],
        "Owner": "amazon",
        "VpcEndpointPolicySupported": True,
        "AcceptanceRequired": False,
        "ManagesVpcEndpoints": False,
        "SupportedIpAddressTypes": ["ipv4"],
        "Tags": [],
    }
    if service.type == "Interface":
        shown |= {
            "PrivateDnsName": service.private_dns_name,
            "PrivateDnsNames": [{"PrivateDnsName": service.private_dns_name}],
            "PrivateDnsNameVerificationState": "verified",
        }
    return shown


def _service_id(service: EndpointService) -> str:
    digest = hashlib.blake2b(service.name.encode(), digest_size=9).hexdigest()
    return f"vpce-svc-{digest[:17]}"


_FILTERS: Final[Mapping[str, Values[EndpointService]]] = {
    "owner": lambda _: ["amazon"],
    "service-name": lambda service: [service.name],
    "service-region": lambda service: [service.region],
    "service-type": lambda service: [service.type],
    "supported-ip-address-types": lambda _: ["ipv4"],
    "acceptance-required": lambda _: truth(False),
}
