"""Addresses that no account may have asked for it, whatever name leads there."""

import ipaddress
from typing import Final

_REFUSED: Final = tuple(
    map(
        ipaddress.ip_network,
        # Link-local ones, and those of the clouds' metadata that are not.
        ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32"),
    )
)
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")


def is_refused_host(host: str) -> bool:
    """Of a name: no. It is asked again for each address that the name leads to."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return any(one in network for one in _readings(address) for network in _REFUSED)


def _readings(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The address, and the one of version 4 that packets to it reach."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    inner = [address.ipv4_mapped, address.sixtofour]
    if address in _TRANSLATED:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if int(address) < 1 << 32:
        inner.append(ipaddress.IPv4Address(int(address)))
    return [address, *(one for one in inner if one is not None)]
