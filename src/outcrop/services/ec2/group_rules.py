"""The rules of security groups: who may come in, and what may go out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any, Final

import msgspec

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.ec2.listing import filtered, paged
from outcrop.services.ec2.requests import (
    Params,
    Result,
    conflicting,
    get,
    invalid,
    list_own,
    missing,
    network_operation,
)
from outcrop.services.ec2.security_groups import named_group
from outcrop.stores.network_records import (
    GroupRule,
    SecurityGroup,
    network_arn,
    new_id,
)
from outcrop.stores.resources import Item, View

ANY: Final = "-1"
_NUMBERS: Final = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": ANY}
_WITH_PORTS: Final = ("tcp", "udp")
_ICMP: Final = ("icmp", "icmpv6")
_MAX_PORT: Final = 65535
_MAX_RULES: Final = 1000
_FLAT: Final = ("CidrIp", "FromPort", "ToPort", "IpProtocol")


@network_operation("GroupId", "GroupName", "IpPermissions", *_FLAT)
async def authorize_security_group_ingress(call: Call, params: Params) -> Result:
    return await _authorize(call, params, egress=False)


@network_operation("GroupId", "IpPermissions", *_FLAT)
async def authorize_security_group_egress(call: Call, params: Params) -> Result:
    return await _authorize(call, params, egress=True)


@network_operation("GroupId", "GroupName", "IpPermissions", "SecurityGroupRuleIds", *_FLAT)
async def revoke_security_group_ingress(call: Call, params: Params) -> Result:
    return await _revoke(call, params, egress=False)


@network_operation("GroupId", "IpPermissions", "SecurityGroupRuleIds", *_FLAT)
async def revoke_security_group_egress(call: Call, params: Params) -> Result:
    return await _revoke(call, params, egress=True)


@network_operation("Filters", "SecurityGroupRuleIds", "MaxResults", "NextToken")
async def describe_security_group_rules(call: Call, params: Params) -> Result:
    async with call.stores.resources.reading() as view:
        groups = await list_own(view, call, SecurityGroup)
    rules = [_render(group, rule) for group in groups for rule in group.record.rules]
    asked = params.get("SecurityGroupRuleIds")
    if asked:
        by_id = {rule["SecurityGroupRuleId"]: rule for rule in rules}
        for each in asked:
            if each not in by_id:
                raise _no_such_id(each)
        rules = [by_id[each] for each in dict.fromkeys(asked)]
    kept = filtered(
        params,
        rules,
        {
            "group-id": lambda rule: [rule["GroupId"]],
            "security-group-rule-id": lambda rule: [rule["SecurityGroupRuleId"]],
        },
        tags_of=lambda _: {},
    )
    return paged(call, params, kept)


async def _authorize(call: Call, params: Params, *, egress: bool) -> Result:
    traffic = list(_read(params, egress=egress))
    async with call.stores.resources.writing() as transaction:
        group = await named_group(transaction, call, params)
        rules = {rule.same_traffic: rule for rule in group.record.rules}
        added: list[GroupRule] = []
        for each in traffic:
            rule = await _named(transaction, call, each)
            if rule.same_traffic in rules:
                raise ServiceError(
                    "InvalidPermission.Duplicate",
                    f'the specified rule "{_spell(rule)}" already exists',
                )
            rules[rule.same_traffic] = rule
            added.append(rule)
        if len(rules) > _MAX_RULES:
            raise ServiceError(
                "RulesPerSecurityGroupLimitExceeded",
                "The maximum number of rules per security group has been reached.",
            )
        record = msgspec.structs.replace(group.record, rules=tuple(rules.values()))
        await transaction.put(replace(group, record=record))
    return {"Return": True, "SecurityGroupRules": [_render(group, rule) for rule in added]}


async def _revoke(call: Call, params: Params, *, egress: bool) -> Result:
    async with call.stores.resources.writing() as transaction:
        group = await named_group(transaction, call, params)
        gone = await _asked(transaction, call, group, params, egress=egress)
        kept = tuple(rule for rule in group.record.rules if rule.id not in gone)
        record = msgspec.structs.replace(group.record, rules=kept)
        await transaction.put(replace(group, record=record))
    return {"Return": True, "UnknownIpPermissions": []}


async def _asked(
    view: View, call: Call, group: Item[SecurityGroup], params: Params, *, egress: bool
) -> set[str]:
    ids: Sequence[str] = params.get("SecurityGroupRuleIds") or ()
    if ids:
        if "IpPermissions" in params:
            raise conflicting("Name the rules by SecurityGroupRuleIds or by IpPermissions.")
        known = {rule.id for rule in group.record.rules if rule.is_egress == egress}
        for each in ids:
            if each not in known:
                raise _no_such_id(each)
        return set(ids)
    by_traffic = {rule.same_traffic: rule.id for rule in group.record.rules}
    gone: set[str] = set()
    for each in _read(params, egress=egress):
        rule = await _named(view, call, each)
        if rule.same_traffic not in by_traffic:
            raise ServiceError(
                "InvalidPermission.NotFound",
                "The specified rule does not exist in this security group.",
            )
        gone.add(by_traffic[rule.same_traffic])
    return gone


def _no_such_id(rule_id: str) -> ServiceError:
    return ServiceError(
        "InvalidSecurityGroupRuleId.NotFound",
        f"The security group rule ID '{rule_id}' does not exist",
    )


@dataclass(frozen=True, slots=True)
class _Traffic:
    """A rule that is asked for; ``group_name`` where the peer is a group named so."""

    rule: GroupRule
    group: bool = False


def _read(params: Params, *, egress: bool) -> Iterator[_Traffic]:
    flat = {name: params[name] for name in _FLAT if name in params}
    permissions: Sequence[Mapping[str, Any]] = params.get("IpPermissions") or ()
    if flat and permissions:
        raise conflicting("IpPermissions cannot be combined with CidrIp, IpProtocol or ports.")
    if flat:
        permissions = [{**flat, "IpRanges": [{"CidrIp": params.get("CidrIp", "")}]}]
    if not permissions:
        raise missing("ipPermissions")
    for permission in permissions:
        yield from _read_permission(permission, egress=egress)


def _read_permission(permission: Mapping[str, Any], *, egress: bool) -> Iterator[_Traffic]:
    if permission.get("PrefixListIds"):
        raise invalid("Rules by prefix list are not supported here.")
    protocol = _protocol(permission.get("IpProtocol"))
    from_port, to_port = _ports(protocol, permission)
    peers = [
        *((_block(one.get("CidrIp", ""), 4), one) for one in permission.get("IpRanges", ())),
        *((_block(one.get("CidrIpv6", ""), 6), one) for one in permission.get("Ipv6Ranges", ())),
        *((_group_id(one), one) for one in permission.get("UserIdGroupPairs", ())),
    ]
    if not peers:
        raise missing("ipRanges")
    for peer, source in peers:
        rule = GroupRule(
            id=new_id("sgr"),
            is_egress=egress,
            protocol=protocol,
            peer=peer,
            from_port=from_port,
            to_port=to_port,
            description=source.get("Description"),
        )
        yield _Traffic(rule, group="CidrIp" not in source and "CidrIpv6" not in source)


def _group_id(pair: Mapping[str, Any]) -> str:
    if "GroupId" not in pair:
        raise missing("groupId")
    return str(pair["GroupId"])


async def _named(view: View, call: Call, traffic: _Traffic) -> GroupRule:
    if traffic.group:
        await get(view, call, SecurityGroup, traffic.rule.peer)
    return traffic.rule


def _protocol(text: str | None) -> str:
    if text is None:
        raise missing("ipProtocol")
    protocol = _NUMBERS.get(text.lower(), text.lower())
    if protocol in (*_WITH_PORTS, *_ICMP, ANY):
        return protocol
    if protocol.isascii() and protocol.isdigit() and len(protocol) < 4 and int(protocol) < 256:
        return str(int(protocol))
    raise invalid(f"Invalid value '{text}' for IP protocol. Unknown protocol.")


def _ports(protocol: str, permission: Mapping[str, Any]) -> tuple[int | None, int | None]:
    first, last = permission.get("FromPort"), permission.get("ToPort")
    if protocol in _WITH_PORTS:
        if first is None or last is None:
            raise invalid(
                f"Invalid value 'Must specify both from and to ports with {protocol.upper()}.' for "
                "portRange."
            )
        if not 0 <= first <= last <= _MAX_PORT:
            raise invalid(f"Invalid TCP/UDP port range ({first}:{last})")
        return first, last
    if protocol in _ICMP:
        return (-1 if first is None else first), (-1 if last is None else last)
    # All ports, whatever the request says of them (EC2's reference).
    return None, None


def _block(text: str, version: int) -> str:
    try:
        block = ip_network(text, strict=False)
    except ValueError:
        block = None
    if block is None or block.version != version or "/" not in text:
        raise invalid(f"CIDR block {text} is malformed")
    return str(block)


def _spell(rule: GroupRule) -> str:
    protocol = "ALL" if rule.protocol == ANY else rule.protocol.upper()
    ports = (
        "" if rule.from_port is None else f", from port: {rule.from_port}, to port: {rule.to_port}"
    )
    return f"peer: {rule.peer}, {protocol}{ports}, ALLOW"


def _render(group: Item[SecurityGroup], rule: GroupRule) -> dict[str, Any]:
    place = group.place
    shown: dict[str, Any] = {
        "SecurityGroupRuleId": rule.id,
        "SecurityGroupRuleArn": network_arn(
            place.region, place.account, "security-group-rule", rule.id
        ),
        "GroupId": group.name,
        "GroupOwnerId": place.account,
        "IsEgress": rule.is_egress,
        "IpProtocol": rule.protocol,
        "FromPort": -1 if rule.from_port is None else rule.from_port,
        "ToPort": -1 if rule.to_port is None else rule.to_port,
        "Tags": [],
    }
    if rule.description is not None:
        shown["Description"] = rule.description
    if rule.peer.startswith("sg-"):
        shown["ReferencedGroupInfo"] = {"GroupId": rule.peer, "UserId": place.account}
    else:
        shown["CidrIpv6" if ":" in rule.peer else "CidrIpv4"] = rule.peer
    return shown
