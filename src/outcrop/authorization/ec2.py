"""EC2's network actions in the service authorization reference: the resources that each names.

What makes something asks for that type of resource, for those that it uses, and for ec2:CreateTags
where it tags. Condition keys follow from the request here, from what is there in ``find_facts``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from outcrop.authorization.access import Access, Asked, Facts, Rule
from outcrop.authorization.tags import request_tag_keys
from outcrop.stores.network_records import (
    TYPES,
    InterfacePermission,
    NetworkInterface,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
    VpcEndpoint,
    network_arn,
    noun_of,
    prefix_of,
)
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Place, View

Keys = dict[str, str | tuple[str, ...]]

_BY_NOUN = {noun_of(type): type for type in TYPES.values()}
_NEW = "*"


async def find_facts(stores: Stores, access: Access) -> Facts | None:
    parts = access.resource.split(":", 5)
    if len(parts) != 6:
        return None
    noun, _, name = parts[5].partition("/")
    type, place = _BY_NOUN.get(noun), Place(parts[4], parts[3], name)
    if type is None:
        return None
    async with stores.resources.reading() as view:
        if name == _NEW:
            return await _facts_of_new(view, access)
        item: Item[Any] | None = await view.find(type, place)
        if item is not None and type is InterfacePermission:
            # It is asked for as what is done to the interface.
            item = await view.find(NetworkInterface, Place(parts[4], parts[3], item.parent))
        return None if item is None else await _facts_of(view, item)


async def _facts_of_new(view: View, access: Access) -> Facts | None:
    """Of a network interface to be made, the VPC follows from its subnet."""
    subnet_arn = access.keys.get("ec2:subnet")
    if not isinstance(subnet_arn, str):
        return None
    subnet = await view.find_arn(Subnet, subnet_arn)
    if subnet is None:
        return None
    return Facts(
        account=subnet.place.account,
        keys={
            "ec2:vpc": _arn(subnet.place, "vpc", subnet.parent),
            "ec2:availabilityzone": f"{subnet.place.region}{subnet.record.zone}",
        },
    )


async def _facts_of(view: View, item: Item[Any]) -> Facts:
    keys: Keys = {f"ec2:resourcetag/{key.lower()}": value for key, value in item.tags.items()}
    keys |= _keys_of(item)
    return Facts(account=item.place.account, tags=item.tags, keys=keys, resource=item.arn)


def _keys_of(item: Item[Any]) -> Keys:
    place, record = item.place, item.record
    match record:
        case Vpc():
            return {"ec2:vpcid": item.name}
        case Subnet():
            return {
                "ec2:availabilityzone": f"{place.region}{record.zone}",
                "ec2:subnetid": item.name,
                "ec2:vpc": _arn(place, "vpc", item.parent),
            }
        case SecurityGroup():
            return {
                "ec2:securitygroupid": item.name,
                "ec2:vpc": _arn(place, "vpc", item.parent),
            }
        case RouteTable():
            return {"ec2:routetableid": item.name, "ec2:vpc": _arn(place, "vpc", item.parent)}
        case NetworkInterface():
            return {
                "ec2:availabilityzone": f"{place.region}{record.zone}",
                "ec2:networkinterfaceid": item.name,
                "ec2:subnet": _arn(place, "subnet", item.parent),
                "ec2:vpc": _arn(place, "vpc", record.vpc),
            }
        case VpcEndpoint():
            return {
                "ec2:vpceservicename": f"com.amazonaws.{place.region}.{record.service}",
                "ec2:vpceserviceowner": "amazon",
            }
        case _:
            return {}


def _arn(place: Place, noun: str, name: str) -> str:
    return network_arn(place.region, place.account, noun, name)


def _resource(asked: Asked, noun: str, name: str) -> str:
    return network_arn(asked.region, asked.account, noun, name)


def _plain(action: str) -> Rule:
    """Without a resource of its own."""

    def rule(asked: Asked) -> Sequence[Access]:
        return [Access(f"ec2:{action}", keys=_region(asked))]

    return rule


def _region(asked: Asked) -> Keys:
    return {"ec2:region": asked.region}


def _on(action: str, **members: str) -> Rule:
    """On the resources that members of the request name: one or a list; absent ones ask nothing.
    ``members`` are noun (with ``_``) and member."""

    def rule(asked: Asked) -> Sequence[Access]:
        found = list(_named(asked, action, members))
        # A group by its name, a rule by its ID: which resource it is, only the handler finds out.
        return found or [Access(f"ec2:{action}", keys=_region(asked))]

    return rule


def _named(
    asked: Asked, action: str, members: Mapping[str, str], more: Keys | None = None
) -> Iterable[Access]:
    for noun, member in members.items():
        for name in _names(asked.params, member):
            resource = _resource(asked, noun.replace("_", "-"), name)
            yield Access(f"ec2:{action}", resource, {**_region(asked), **(more or {})})


def _names(params: Mapping[str, Any], members: str) -> list[str]:
    """``members`` are one or several, with spaces between."""
    names: list[str] = []
    for member in members.split():
        value = params.get(member, ())
        names += [value] if isinstance(value, str) else cast("list[str]", value)
    return names


def _making(
    noun: str,
    keys: Callable[[Asked], Keys] | None = None,
    also: Sequence[Access] = (),
    **members: str,
) -> Callable[[str], Rule]:
    """For what makes a ``noun`` and uses what ``members`` name."""

    def of(action: str) -> Rule:
        def rule(asked: Asked) -> Sequence[Access]:
            tags = _specified(asked.params)
            new = _resource(asked, noun, _NEW)
            own = {**_region(asked), **(keys(asked) if keys else {}), **request_tag_keys(tags)}
            accesses = [Access(f"ec2:{action}", new, own)]
            accesses += _named(asked, action, members)
            if tags:
                accesses.append(Access("ec2:CreateTags", new, own | {"ec2:createaction": action}))
            return [*accesses, *also]

        return rule

    return of


def _specified(params: Mapping[str, Any]) -> list[Mapping[str, str]]:
    specifications = params.get("TagSpecifications", ())
    return [tag for each in specifications for tag in each.get("Tags", ())]


def _interface_keys(asked: Asked) -> Keys:
    return {"ec2:subnet": _resource(asked, "subnet", asked.params["SubnetId"])}


def _endpoint_keys(asked: Asked) -> Keys:
    name = asked.params.get("ServiceName")
    return {"ec2:vpceserviceowner": "amazon"} | ({"ec2:vpceservicename": name} if name else {})


def _tagging(action: str) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        keys = {**_region(asked), **request_tag_keys(_tags(asked))}
        accesses: list[Access] = []
        for name in asked.params["Resources"]:
            type = TYPES.get(prefix_of(name) or "")
            noun = noun_of(type) if type else _NEW
            accesses.append(Access(f"ec2:{action}", _resource(asked, noun, name), keys))
        return accesses

    return rule


def _tags(asked: Asked) -> list[Mapping[str, str]]:
    tags = asked.params.get("Tags", ())
    return [tag for tag in tags if "Key" in tag]


_FLOW_LOG_MEMBERS = {"NetworkInterface": "network-interface", "Subnet": "subnet", "VPC": "vpc"}
_DELIVERY = Access("logs:CreateLogDelivery")


def _flow_logs(asked: Asked) -> Sequence[Access]:
    made = _making("vpc-flow-log", also=(_DELIVERY,))("CreateFlowLogs")(asked)
    noun = _FLOW_LOG_MEMBERS.get(asked.params["ResourceType"], _NEW)
    return [*made, *_named(asked, "CreateFlowLogs", {noun: "ResourceIds"})]


def _end_flow_logs(asked: Asked) -> Sequence[Access]:
    ended = _on("DeleteFlowLogs", vpc_flow_log="FlowLogIds")(asked)
    return [*ended, Access("logs:DeleteLogDelivery")]


_DESCRIBING = (
    "DescribeAvailabilityZones",
    "DescribeDhcpOptions",
    "DescribeFlowLogs",
    "DescribeNetworkInterfacePermissions",
    "DescribeNetworkInterfaces",
    "DescribePrefixLists",
    "DescribeRegions",
    "DescribeRouteTables",
    "DescribeSecurityGroupRules",
    "DescribeSecurityGroups",
    "DescribeSubnets",
    "DescribeTags",
    "DescribeVpcEndpointServices",
    "DescribeVpcEndpoints",
    "DescribeVpcs",
)
_MAKING = {
    "CreateNetworkInterface": _making(
        "network-interface", _interface_keys, subnet="SubnetId", security_group="Groups"
    ),
    "CreateRouteTable": _making("route-table", vpc="VpcId"),
    "CreateSecurityGroup": _making("security-group", vpc="VpcId"),
    "CreateSubnet": _making("subnet", vpc="VpcId"),
    "CreateVpc": _making("vpc"),
    "CreateVpcEndpoint": _making(
        "vpc-endpoint",
        _endpoint_keys,
        vpc="VpcId",
        subnet="SubnetIds",
        security_group="SecurityGroupIds",
        route_table="RouteTableIds",
    ),
}
_USING: Mapping[str, Mapping[str, str]] = {
    "AssociateRouteTable": {"route_table": "RouteTableId", "subnet": "SubnetId"},
    "AuthorizeSecurityGroupEgress": {"security_group": "GroupId"},
    "AuthorizeSecurityGroupIngress": {"security_group": "GroupId"},
    "CreateNetworkInterfacePermission": {"network_interface": "NetworkInterfaceId"},
    "CreateRoute": {"route_table": "RouteTableId"},
    "DeleteNetworkInterface": {"network_interface": "NetworkInterfaceId"},
    "DeleteNetworkInterfacePermission": {
        "network_interface_permission": "NetworkInterfacePermissionId"
    },
    "DeleteRoute": {"route_table": "RouteTableId"},
    "DeleteRouteTable": {"route_table": "RouteTableId"},
    "DeleteSecurityGroup": {"security_group": "GroupId"},
    "DeleteSubnet": {"subnet": "SubnetId"},
    "DeleteVpc": {"vpc": "VpcId"},
    "DeleteVpcEndpoints": {"vpc_endpoint": "VpcEndpointIds"},
    "DescribeNetworkInterfaceAttribute": {"network_interface": "NetworkInterfaceId"},
    "DescribeVpcAttribute": {"vpc": "VpcId"},
    "ModifyNetworkInterfaceAttribute": {
        "network_interface": "NetworkInterfaceId",
        "security_group": "Groups",
    },
    "ModifySubnetAttribute": {"subnet": "SubnetId"},
    "ModifyVpcAttribute": {"vpc": "VpcId"},
    "ModifyVpcEndpoint": {
        "vpc_endpoint": "VpcEndpointId",
        "route_table": "AddRouteTableIds RemoveRouteTableIds",
        "security_group": "AddSecurityGroupIds RemoveSecurityGroupIds",
        "subnet": "AddSubnetIds RemoveSubnetIds",
    },
    "RevokeSecurityGroupEgress": {"security_group": "GroupId"},
    "RevokeSecurityGroupIngress": {"security_group": "GroupId"},
}

RULES: Mapping[str, Rule] = {
    **{action: _plain(action) for action in _DESCRIBING},
    **{action: made(action) for action, made in _MAKING.items()},
    **{action: _on(action, **members) for action, members in _USING.items()},
    "CreateFlowLogs": _flow_logs,
    "DeleteFlowLogs": _end_flow_logs,
    "CreateTags": _tagging("CreateTags"),
    "DeleteTags": _tagging("DeleteTags"),
}
