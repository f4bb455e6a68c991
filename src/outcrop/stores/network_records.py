"""Networks as they are kept: VPCs and what lies in them, private endpoints and their flow logs.

A record is named by its ID (``vpc-`` and 17 hexadecimal digits); its ARN is made from it, and its
parent is what it lies in.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import ClassVar, Literal

import msgspec

from outcrop.stores.resources import Record

TOPIC = "ec2"

EndpointKind = Literal["Interface", "Gateway"]
EndpointState = Literal["pending", "available", "deleting", "failed"]


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value inside a record."""


class Token(Part, frozen=True, kw_only=True, omit_defaults=True):
    """The client token of the request that made something, and a digest of the request."""

    text: str
    digest: str


class Defaults(Record, frozen=True, kw_only=True, omit_defaults=True):
    """That an account got its default network in a region: what it deletes of it stays deleted."""

    KIND: ClassVar[str] = "ec2:defaults"


class DhcpOptions(Record, frozen=True, kw_only=True, omit_defaults=True):
    KIND: ClassVar[str] = "ec2:dhcp-options"

    domain_name: str


class Vpc(Record, frozen=True, kw_only=True, omit_defaults=True):
    KIND: ClassVar[str] = "ec2:vpc"

    cidr: str
    association: str
    dhcp_options: str
    is_default: bool = False
    dns_support: bool = True
    dns_hostnames: bool = False


class Subnet(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Its parent is its VPC; ``zone`` is the letter of its availability zone."""

    KIND: ClassVar[str] = "ec2:subnet"

    cidr: str
    zone: str
    is_default: bool = False
    maps_public_addresses: bool = False


class GroupRule(Part, frozen=True, kw_only=True, omit_defaults=True):
    """One rule of a security group. ``peer`` is an IPv4 or IPv6 block or a security group's ID;
    the ports of a rule for all protocols (``-1``) do not count."""

    id: str
    is_egress: bool
    protocol: str
    peer: str
    from_port: int | None = None
    to_port: int | None = None
    description: str | None = None

    @property
    def same_traffic(self) -> tuple[object, ...]:
        """Two rules of a group differ in this."""
        return (self.is_egress, self.protocol, self.from_port, self.to_port, self.peer)


class SecurityGroup(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Its parent is its VPC."""

    KIND: ClassVar[str] = "ec2:security-group"

    label: str
    description: str
    rules: tuple[GroupRule, ...] = ()


class Route(Part, frozen=True, kw_only=True, omit_defaults=True):
    """``target`` is ``local``, a network interface's or a gateway endpoint's ID; ``destination`` a
    block or, of a gateway endpoint, a prefix list."""

    destination: str
    target: str


class Association(Part, frozen=True, kw_only=True, omit_defaults=True):
    """Of a route table with a subnet; the main one is with the VPC."""

    id: str
    subnet: str | None = None


class RouteTable(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Its parent is its VPC."""

    KIND: ClassVar[str] = "ec2:route-table"

    routes: tuple[Route, ...]
    associations: tuple[Association, ...] = ()
    token: Token | None = None

    @property
    def is_main(self) -> bool:
        return any(each.subnet is None for each in self.associations)


class NetworkInterface(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Its parent is its subnet. ``endpoint`` is the endpoint whose entry point it is: then it is
    managed by that endpoint's service, and nobody else changes it."""

    KIND: ClassVar[str] = "ec2:network-interface"

    vpc: str
    zone: str
    address: str
    hardware_address: str
    groups: tuple[str, ...]
    description: str = ""
    checks_source: bool = True
    endpoint: str | None = None
    attachment: str | None = None
    token: Token | None = None


class InterfacePermission(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Its parent is its network interface."""

    KIND: ClassVar[str] = "ec2:network-interface-permission"

    permission: str
    account: str | None = None
    service: str | None = None


class VpcEndpoint(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Its parent is its VPC. ``service`` is the part of the service's name behind the region
    (``bedrock-runtime``). ``port`` is taken when it first comes up and kept for good; ``host`` is
    where it listened last. Without a ``policy`` everything may pass."""

    KIND: ClassVar[str] = "ec2:vpc-endpoint"

    type: EndpointKind
    service: str
    state: EndpointState = "pending"
    policy: str | None = None
    subnets: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    route_tables: tuple[str, ...] = ()
    private_dns: bool = False
    host: str | None = None
    port: int | None = None
    failure: str | None = None
    token: Token | None = None


class Creator(Part, frozen=True, kw_only=True, omit_defaults=True):
    """The user, role or root user that made a flow log; its files are written as this one."""

    name: str
    arn: str
    kind: Literal["root", "user", "role"]
    id: str
    role_arn: str | None = None


class FlowLog(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Its parent is the VPC, subnet or network interface that it is about. ``failure`` is why the
    last delivery did not succeed."""

    KIND: ClassVar[str] = "ec2:vpc-flow-log"

    traffic: Literal["ACCEPT", "REJECT", "ALL"]
    destination: str
    interval_s: int
    creator: Creator
    per_hour: bool = False
    failure: str | None = None
    token: Token | None = None


TYPES: Mapping[str, type[Record]] = {
    "dopt": DhcpOptions,
    "eni": NetworkInterface,
    "eni-perm": InterfacePermission,
    "fl": FlowLog,
    "rtb": RouteTable,
    "sg": SecurityGroup,
    "subnet": Subnet,
    "vpc": Vpc,
    "vpce": VpcEndpoint,
}
"""By what their IDs begin with."""

_ID = re.compile(r"([a-z][a-z-]*?)-(?:[0-9a-f]{8}|[0-9a-f]{17})")


def new_id(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


def prefix_of(resource_id: str) -> str | None:
    """``subnet`` of ``subnet-0123456789abcdef0``; None for what has not the form of an ID."""
    found = _ID.fullmatch(resource_id)
    return found[1] if found else None


def noun_of(type: type[Record]) -> str:
    """As in ARNs and tags: ``network-interface``."""
    return type.KIND.partition(":")[2]


def network_arn(region: str, account: str, noun: str, resource_id: str) -> str:
    return f"arn:aws:ec2:{region}:{account}:{noun}/{resource_id}"


def prefix_list_id(service: str, region: str) -> str:
    """The list of a gateway service's addresses, one in each region."""
    digest = hashlib.blake2b(f"{service}/{region}".encode(), digest_size=4)
    return f"pl-{digest.hexdigest()}"
