"""Who may connect to a private endpoint: the security groups of its network interfaces decide.

Rules are read for port 443, where endpoints of AWS listen. This machine itself is a member of every
group, so that a rule for a group, such as the default one's, lets its programs in.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from outcrop.server.relay import Admission
from outcrop.stores.network_records import (
    GroupRule,
    NetworkInterface,
    SecurityGroup,
    VpcEndpoint,
)
from outcrop.stores.resources import Item, Place, Resources, View

PORT: Final = 443
_PROTOCOLS: Final = ("-1", "tcp")


@dataclass(frozen=True, slots=True)
class Gate:
    """Asked at each connection, so that a changed rule decides the next one."""

    resources: Resources
    place: Place

    async def admit(self, address: str, is_here: bool) -> Admission:
        """``is_here``: the client is on this machine."""
        async with self.resources.reading() as view:
            endpoint = await view.find(VpcEndpoint, self.place)
            if endpoint is None:
                return Admission(None, is_allowed=False)
            if endpoint.record.type == "Gateway":
                # A route leads there, and no interface.
                return Admission(None, is_allowed=True)
            return await self._admit(view, endpoint, address, is_here)

    async def _admit(
        self, view: View, endpoint: Item[VpcEndpoint], address: str, is_here: bool
    ) -> Admission:
        if not endpoint.record.interfaces:
            return Admission(None, is_allowed=False)
        # All interfaces are one listener here; the first stands for it.
        interface = await view.find(NetworkInterface, self._at(endpoint.record.interfaces[0]))
        rules: list[GroupRule] = []
        for group_id in endpoint.record.groups:
            group = await view.find(SecurityGroup, self._at(group_id))
            rules += group.record.rules if group else ()
        wanted = {rule.peer for rule in rules if rule.peer.startswith("sg-")}
        members = wanted if is_here else await self._members(view, wanted, address)
        return Admission(interface, lets_in(rules, ip_address(address), members))

    async def _members(self, view: View, wanted: set[str], address: str) -> set[str]:
        """The groups in which a client elsewhere is: those of the interface with its address."""
        if not wanted:
            return wanted
        place = self.place
        interfaces = await view.list(NetworkInterface, account=place.account, region=place.region)
        return {
            group
            for interface in interfaces
            for group in interface.record.groups
            if interface.record.address == address
        }

    def _at(self, name: str) -> Place:
        return Place(self.place.account, self.place.region, name)


def lets_in(
    rules: Iterable[GroupRule], client: IPv4Address | IPv6Address, members: set[str]
) -> bool:
    return any(
        not rule.is_egress
        and rule.protocol in _PROTOCOLS
        and _holds_port(rule)
        and _names(rule.peer, client, members)
        for rule in rules
    )


def _holds_port(rule: GroupRule) -> bool:
    if rule.from_port is None or rule.to_port is None:
        return True
    return rule.from_port <= PORT <= rule.to_port


def _names(peer: str, client: IPv4Address | IPv6Address, members: set[str]) -> bool:
    return peer in members if peer.startswith("sg-") else client in ip_network(peer)
