"""Whom a process and all its children are connected to: what /proc tells while they work."""

import ipaddress
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def _children(pid: int) -> set[int]:
    """The process and all that descend from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # It ended meanwhile.
                continue
            parents[int(entry.name)] = int(fields[1])
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _sockets(pid: int) -> set[str]:
    """Inodes."""
    found: set[str] = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(descriptor)
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:  # The process, or this descriptor, is gone.
        pass
    return found


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Of /proc/net: words of 32 bits, each in the machine's order."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _peers(pids: set[int]) -> set[tuple[str, int]]:
    """Whom these processes are connected to or try to reach, by TCP and UDP."""
    inodes = {inode for pid in pids for inode in _sockets(pid)}
    found: set[tuple[str, int]] = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[2].partition(":")
            if fields[9] in inodes and int(port, 16):
                found.add((str(address_of(address)), int(port, 16)))
    return found


@contextmanager
def watched(pid: int) -> Generator[set[tuple[str, int]]]:
    seen: set[tuple[str, int]] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            seen.update(_peers(_children(pid)))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        ended.set()
        watching.join()


def outsiders(seen: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those that are not on this machine."""
    return {peer for peer in seen if not ipaddress.ip_address(peer[0]).is_loopback}
