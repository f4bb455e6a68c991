"""A job's place in its owner's VPC: one network interface, made and deleted as the job's role, and
the S3 endpoint that its subnet's routes lead to.

There are no internet or NAT gateways here: without an S3 endpoint a job with a VPC has no way to
its data, and is refused.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from outcrop.errors import AWSError, ValidationException
from outcrop.services.background import Background, VpcPath
from outcrop.services.bedrock.customization.refusals import JobRefused, may_pass
from outcrop.services.call import Call
from outcrop.services.ec2.attaching import (
    INSTANCE_ATTACH,
    NotPermitted,
    attach,
    detach,
    find_permission,
)
from outcrop.services.ec2.requests import check_id, not_found
from outcrop.services.service_roles import BEDROCK, RoleInUse, RoleNotAssumable
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.network_records import (
    NetworkInterface,
    RouteTable,
    SecurityGroup,
    Subnet,
    VpcEndpoint,
    prefix_list_id,
)
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Place, Record, View

log = logging.getLogger(__name__)

MANAGED_TAG: Final = "BedrockManaged"
JOB_TAG: Final = "BedrockModelCustomizationJobArn"

_S3: Final = "s3"
_S3_PORT: Final = 443
_PROTOCOLS: Final = ("-1", "tcp")
_ATTEMPTS: Final = 3
_WAIT_S: Final = 0.5
_FULL: Final = "InsufficientFreeAddressesInSubnet"
_GIVEN: Final = "InvalidPermission.Duplicate"
_GONE: Final = ("InvalidNetworkInterfaceID.NotFound", "InvalidPermissionID.NotFound")

Job = Item[CustomizationJob]


async def check_network(call: Call, subnets: Sequence[str], groups: Sequence[str]) -> None:
    """All are the caller's, in this Region and in one VPC. Raises ``ValidationException``."""
    if not subnets or not groups:
        raise ValidationException(
            "A VPC configuration has at least one subnet and one security group."
        )
    first: Item[Any] | None = None
    async with call.stores.resources.reading() as view:
        for type, names in ((Subnet, subnets), (SecurityGroup, groups)):
            for name in names:
                item = await _get(view, call, type, name)
                first = first or item
                if item.parent != first.parent:
                    raise ValidationException(
                        f"{item.name} and {first.name} belong to different networks."
                    )


async def open_interface(background: Background, stores: Stores, role: RoleInUse, job: Job) -> str:
    """The ID of the job's network interface, attached: made in one of its subnets, or found where
    it was made before. Raises ``JobRefused``."""
    acting = _Acting(background, role)
    await _look(acting, job)
    async with stores.resources.reading() as view:
        made = await _find_made(view, job)
    if made is not None and set(made.record.groups) != set(job.record.groups):
        raise JobRefused(
            f"The network interface {made.name} has other security groups than the job was given."
        )
    interface_id = made.name if made else await _make(acting, job)
    await acting.ask("DescribeNetworkInterfaces", NetworkInterfaceIds=[interface_id])
    await _permit(acting, interface_id)
    async with stores.resources.writing() as transaction:
        place = Place(job.place.account, job.place.region, interface_id)
        interface = await transaction.find(NetworkInterface, place)
        if interface is None:
            raise JobRefused(f"The job's network interface {interface_id} was deleted.")
        try:
            await attach(transaction, interface, BEDROCK)
        except NotPermitted as error:
            raise JobRefused(f"The job's network interface cannot be used: {error}") from error
    return interface_id


async def find_path(stores: Stores, job: Job, interface_id: str) -> VpcPath:
    """From the job's interface to S3, by what routes and rules say now. Raises ``JobRefused``."""
    async with stores.resources.reading() as view:
        place = Place(job.place.account, job.place.region, interface_id)
        interface = await view.find(NetworkInterface, place)
        if interface is None:
            raise JobRefused(f"The job's network interface {interface_id} was deleted.")
        endpoint = await find_endpoint(view, interface)
        if endpoint is None:
            raise JobRefused(
                f"The job has no way to Amazon S3: no S3 gateway endpoint of {interface.record.vpc}"
                f" has a route in the route table of {interface.parent}, and there is no internet "
                f"connection. Create an endpoint for com.amazonaws.{place.region}.s3 with that "
                "route table."
            )
        if not await _lets_out(view, interface):
            raise JobRefused(
                "The job has no way to Amazon S3: no outbound rule of its security groups "
                f"({', '.join(interface.record.groups)}) allows TCP port {_S3_PORT} to addresses "
                "outside of the VPC."
            )
    return VpcPath(interface, endpoint)


async def find_endpoint(view: View, interface: Item[NetworkInterface]) -> Item[VpcEndpoint] | None:
    """The S3 endpoint that the routes of the interface's subnet lead to."""
    table = await _find_table(view, interface)
    wanted = prefix_list_id(_S3, interface.place.region)
    for route in table.record.routes if table else ():
        if route.destination == wanted:
            place = Place(interface.place.account, interface.place.region, route.target)
            endpoint = await view.find(VpcEndpoint, place)
            if endpoint is not None and endpoint.record.state == "available":
                return endpoint
    return None


async def close_interface(
    background: Background, stores: Stores, role: RoleInUse, job: Job
) -> str | None:
    """Detaches and deletes it, as the role. What is left over where the role cannot do that is
    told; it is free then, and its owner can delete it."""
    interface = await _release(stores, job)
    if interface is None:
        return None
    failure = ""
    for attempt in range(_ATTEMPTS):
        await asyncio.sleep(_WAIT_S * attempt)
        try:
            await _delete(_Acting(background, role), stores, interface)
        except JobRefused as error:
            failure = str(error)
            break
        except AWSError as error:
            failure = error.message
        else:
            return None
    told = f"The network interface {interface.name} of the job was not deleted: {failure}"
    log.warning("%s: %s", job.arn, told)
    return told


class _Acting:
    """What is asked of EC2 as the job's role."""

    def __init__(self, background: Background, role: RoleInUse) -> None:
        self._background = background
        self._role = role

    async def ask(self, operation: str, *passing: str, **params: Any) -> Mapping[str, Any]:
        """Raises ``JobRefused``; an error with a code in ``passing``, or that may pass, as it
        is."""
        try:
            caller = await self._role.caller(datetime.now(UTC))
            return await self._background.perform(caller, "ec2", operation, params)
        except RoleNotAssumable as error:
            raise JobRefused(f"Could not assume provided IAM role. {error}") from error
        except AWSError as error:
            if error.code in passing or may_pass(error):
                raise
            raise JobRefused(f"Amazon EC2 perms missing ({operation}): {error.message}") from error


async def _look(acting: _Acting, job: Job) -> None:
    """What the network is made of is still there, and the role may see it."""
    subnets, groups = list(job.record.subnets), list(job.record.groups)
    found = await acting.ask("DescribeSubnets", SubnetIds=subnets)
    await acting.ask("DescribeSecurityGroups", GroupIds=groups)
    vpcs = await acting.ask("DescribeVpcs", VpcIds=[found["Subnets"][0]["VpcId"]])
    options = [each["DhcpOptionsId"] for each in vpcs["Vpcs"]]
    await acting.ask("DescribeDhcpOptions", DhcpOptionsIds=options)


async def _find_made(view: View, job: Job) -> Item[NetworkInterface] | None:
    """By the token that it was made with, in the subnet that the token names: anybody can give an
    interface of another network the same. Tags would not do: whoever may tag an interface could
    have the role delete it."""
    made = {(subnet, _token(job, subnet)) for subnet in job.record.subnets}
    interfaces = await view.list(
        NetworkInterface, account=job.place.account, region=job.place.region
    )
    return next(
        (
            each
            for each in interfaces
            if (token := each.record.token) and (each.parent, token.text) in made
        ),
        None,
    )


async def _make(acting: _Acting, job: Job) -> str:
    tags = [{"Key": MANAGED_TAG, "Value": "true"}, {"Key": JOB_TAG, "Value": str(job.arn)}]
    full: AWSError | None = None
    for subnet in job.record.subnets:
        try:
            made = await acting.ask(
                "CreateNetworkInterface",
                _FULL,
                SubnetId=subnet,
                Groups=list(job.record.groups),
                Description=f"Amazon Bedrock model customization job {job.name}",
                TagSpecifications=[{"ResourceType": "network-interface", "Tags": tags}],
                ClientToken=_token(job, subnet),
            )
        except AWSError as error:
            if error.code != _FULL:
                raise
            full = error
        else:
            return made["NetworkInterface"]["NetworkInterfaceId"]
    raise JobRefused(full.message if full else "The job has no subnet.")


async def _permit(acting: _Acting, interface_id: str) -> None:
    try:
        await acting.ask(
            "CreateNetworkInterfacePermission",
            _GIVEN,
            NetworkInterfaceId=interface_id,
            AwsService=BEDROCK,
            Permission=INSTANCE_ATTACH,
        )
    except AWSError as error:
        if error.code != _GIVEN:
            raise


async def _release(stores: Stores, job: Job) -> Item[NetworkInterface] | None:
    async with stores.resources.writing() as transaction:
        interface = await _find_made(transaction, job)
        if interface is not None:
            await detach(transaction, interface)
    return interface


async def _delete(acting: _Acting, stores: Stores, interface: Item[NetworkInterface]) -> None:
    async with stores.resources.reading() as view:
        permission = await find_permission(view, interface, BEDROCK)
    try:
        if permission is not None:
            await acting.ask(
                "DeleteNetworkInterfacePermission",
                *_GONE,
                NetworkInterfacePermissionId=permission.name,
            )
        await acting.ask("DeleteNetworkInterface", *_GONE, NetworkInterfaceId=interface.name)
    except AWSError as error:
        if error.code not in _GONE:
            raise


def _token(job: Job, subnet: str) -> str:
    """At most 64 characters."""
    return f"{str(job.arn).rpartition('/')[2][:24]}-{subnet}"


async def _get(view: View, call: Call, type: type[Record], name: str) -> Item[Any]:
    try:
        check_id(type, name)
        item = await view.find(type, Place(call.account, call.region, name))
        if item is None:
            raise not_found(type, name)
    except AWSError as error:
        raise ValidationException(error.message) from error
    return item


async def _find_table(view: View, interface: Item[NetworkInterface]) -> Item[RouteTable] | None:
    """That of the subnet; the main one of the VPC where it has none of its own."""
    place = interface.place
    tables = await view.list(
        RouteTable, account=place.account, region=place.region, parent=interface.record.vpc
    )
    for table in tables:
        if any(each.subnet == interface.parent for each in table.record.associations):
            return table
    return next((table for table in tables if table.record.is_main), None)


async def _lets_out(view: View, interface: Item[NetworkInterface]) -> bool:
    """S3's addresses are no range that is known here: a rule for any block of addresses counts."""
    for group_id in interface.record.groups:
        place = Place(interface.place.account, interface.place.region, group_id)
        group = await view.find(SecurityGroup, place)
        for rule in group.record.rules if group else ():
            holds = rule.from_port is None or rule.to_port is None
            if (
                rule.is_egress
                and rule.protocol in _PROTOCOLS
                and not rule.peer.startswith("sg-")
                and (holds or _is_between(rule.from_port, rule.to_port))
            ):
                return True
    return False


def _is_between(first: int | None, last: int | None) -> bool:
    return first is not None and last is not None and first <= _S3_PORT <= last
