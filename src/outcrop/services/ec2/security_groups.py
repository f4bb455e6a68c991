"""Security groups. A new one lets everything out and nothing in."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.ec2.listing import Listing, Values, describe_items
from outcrop.services.ec2.requests import (
    Params,
    Result,
    dependency,
    find_default_vpc,
    get,
    invalid,
    list_own,
    missing,
    network_operation,
)
from outcrop.services.ec2.tagging import render_tags, specified_tags
from outcrop.stores.network_records import (
    GroupRule,
    NetworkInterface,
    SecurityGroup,
    Vpc,
    VpcEndpoint,
    new_id,
)
from outcrop.stores.networks import DEFAULT_GROUP, add, outward_rule
from outcrop.stores.resources import Item, View

_NAME: Final = re.compile(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")


@network_operation("GroupName", "Description", "VpcId", "TagSpecifications")
async def create_security_group(call: Call, params: Params) -> Result:
    name, description = params["GroupName"], params["Description"]
    _check_name(name, description)
    tags = specified_tags(params, SecurityGroup)
    async with call.stores.resources.writing() as transaction:
        vpc = await _vpc(transaction, call, params.get("VpcId"))
        others = await list_own(transaction, call, SecurityGroup, vpc.name)
        if any(other.record.label == name for other in others):
            raise ServiceError(
                "InvalidGroup.Duplicate",
                f"The security group '{name}' already exists for VPC '{vpc.name}'",
            )
        record = SecurityGroup(label=name, description=description, rules=(outward_rule(),))
        group = await add(
            transaction,
            call.account,
            call.region,
            new_id("sg"),
            record,
            parent=vpc.name,
            tags=tags,
        )
    return {
        "GroupId": group.name,
        "SecurityGroupArn": group.arn,
        "Tags": render_tags(group.tags),
    }


@network_operation("Filters", "GroupIds", "GroupNames", "MaxResults", "NextToken")
async def describe_security_groups(call: Call, params: Params) -> Result:
    async with call.stores.resources.reading() as view:
        groups = await list_own(view, call, SecurityGroup)
        default = await find_default_vpc(view, call)
    names = params.get("GroupNames")
    if names:
        # By name only groups of the default VPC are found.
        home = default.name if default else None
        known = {group.record.label: group for group in groups if group.parent == home}
        for name in names:
            if name not in known:
                raise ServiceError(
                    "InvalidGroup.NotFound", f"The security group '{name}' does not exist"
                )
        groups = [known[name] for name in dict.fromkeys(names)]
    return describe_items(call, params, _GROUPS, groups)


@network_operation("GroupId", "GroupName")
async def delete_security_group(call: Call, params: Params) -> Result:
    async with call.stores.resources.writing() as transaction:
        group = await named_group(transaction, call, params)
        if group.record.label == DEFAULT_GROUP:
            raise ServiceError(
                "CannotDelete",
                f'the specified group: "{group.name}" name: "default" cannot be deleted by a user',
            )
        if await _is_used(transaction, call, group):
            raise dependency(f"resource {group.name} has a dependent object")
        await transaction.remove(SecurityGroup, group.place)
    return {"Return": True, "GroupId": group.name}


async def named_group(view: View, call: Call, params: Params) -> Item[SecurityGroup]:
    """By its ID, or by its name in the default VPC."""
    if "GroupId" in params:
        return await get(view, call, SecurityGroup, params["GroupId"])
    if "GroupName" not in params:
        raise missing("groupName or groupId")
    default = await find_default_vpc(view, call)
    for group in await list_own(view, call, SecurityGroup, default.name if default else "-"):
        if group.record.label == params["GroupName"]:
            return group
    raise ServiceError(
        "InvalidGroup.NotFound", f"The security group '{params['GroupName']}' does not exist"
    )


async def _is_used(view: View, call: Call, group: Item[SecurityGroup]) -> bool:
    for interface in await list_own(view, call, NetworkInterface):
        if group.name in interface.record.groups:
            return True
    for endpoint in await list_own(view, call, VpcEndpoint, group.parent):
        if group.name in endpoint.record.groups:
            return True
    return any(
        rule.peer == group.name
        for other in await list_own(view, call, SecurityGroup)
        for rule in other.record.rules
        if other.name != group.name
    )


async def _vpc(view: View, call: Call, vpc_id: str | None) -> Item[Vpc]:
    if vpc_id is not None:
        return await get(view, call, Vpc, vpc_id)
    default = await find_default_vpc(view, call)
    if default is None:
        raise ServiceError("VPCIdNotSpecified", "No default VPC for this user")
    return default


def _check_name(name: str, description: str) -> None:
    if name.lower() == DEFAULT_GROUP:
        raise ServiceError(
            "InvalidParameterValue", "Cannot use reserved security group name: default"
        )
    if name.startswith("sg-"):
        raise invalid(
            f"Value ({name}) for parameter GroupName is invalid. Group names may not be in the "
            "format sg-*."
        )
    for member, text in (("GroupName", name), ("GroupDescription", description)):
        if not _NAME.fullmatch(text):
            raise invalid(
                f"Value ({text}) for parameter {member} is invalid. Character sets beyond ASCII "
                "are not supported."
                if not text.isascii()
                else f"Invalid security group {'name' if member == 'GroupName' else 'description'}."
                " Valid descriptions are strings less than 256 characters from the following set:"
                "  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
            )


def render_permissions(
    rules: Iterable[GroupRule], account: str, *, egress: bool
) -> list[dict[str, Any]]:
    """Rules of one protocol and range together, as EC2 shows them."""
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for rule in rules:
        if rule.is_egress != egress:
            continue
        key = (rule.protocol, rule.from_port, rule.to_port)
        if key not in merged:
            merged[key] = _permission(rule)
        member, value = _peer(rule, account)
        merged[key][member].append(value)
    return list(merged.values())


def _permission(rule: GroupRule) -> dict[str, Any]:
    permission: dict[str, Any] = {
        "IpProtocol": rule.protocol,
        "IpRanges": [],
        "Ipv6Ranges": [],
        "PrefixListIds": [],
        "UserIdGroupPairs": [],
    }
    if rule.from_port is not None:
        permission |= {"FromPort": rule.from_port, "ToPort": rule.to_port}
    return permission


def _peer(rule: GroupRule, account: str) -> tuple[str, dict[str, Any]]:
    note: dict[str, Any] = {} if rule.description is None else {"Description": rule.description}
    if rule.peer.startswith("sg-"):
        return "UserIdGroupPairs", {"GroupId": rule.peer, "UserId": account, **note}
    if ":" in rule.peer:
        return "Ipv6Ranges", {"CidrIpv6": rule.peer, **note}
    return "IpRanges", {"CidrIp": rule.peer, **note}


def _render(group: Item[SecurityGroup]) -> dict[str, Any]:
    record, account = group.record, group.place.account
    return {
        "GroupId": group.name,
        "GroupName": record.label,
        "Description": record.description,
        "VpcId": group.parent,
        "OwnerId": account,
        "SecurityGroupArn": group.arn,
        "IpPermissions": render_permissions(record.rules, account, egress=False),
        "IpPermissionsEgress": render_permissions(record.rules, account, egress=True),
        "Tags": render_tags(group.tags),
    }


ReadRule = Callable[[GroupRule], str | int | None]


def _of_rules(read: ReadRule, *, egress: bool) -> Values[Item[SecurityGroup]]:
    def values(group: Item[SecurityGroup]) -> list[str]:
        found = (read(rule) for rule in group.record.rules if rule.is_egress == egress)
        return [str(value) for value in found if value is not None]

    return values


_RULE_FILTERS: Final[Mapping[str, ReadRule]] = {
    "cidr": lambda rule: rule.peer if "." in rule.peer else None,
    "from-port": lambda rule: rule.from_port,
    "group-id": lambda rule: rule.peer if rule.peer.startswith("sg-") else None,
    "ipv6-cidr": lambda rule: rule.peer if ":" in rule.peer else None,
    "protocol": lambda rule: rule.protocol,
    "to-port": lambda rule: rule.to_port,
}

_GROUPS: Final = Listing(
    SecurityGroup,
    "GroupIds",
    {
        "description": lambda group: [group.record.description],
        "group-id": lambda group: [group.name],
        "group-name": lambda group: [group.record.label],
        "vpc-id": lambda group: [group.parent],
        **{
            f"ip-permission.{n}": _of_rules(read, egress=False) for n, read in _RULE_FILTERS.items()
        },
        **{
            f"egress.ip-permission.{n}": _of_rules(read, egress=True)
            for n, read in _RULE_FILTERS.items()
        },
    },
    _render,
)
