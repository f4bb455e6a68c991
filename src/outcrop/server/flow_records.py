"""Flow records in AWS's default format, version 2: two for a connection and interval, one each way.

A record's bytes are those of the payload (of TLS, as encrypted); packets are the kernel's count, or
"-" where it keeps none. What does not fit in memory any more becomes one SKIPDATA record.
"""

import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from outcrop.stores.network_records import FlowLog
from outcrop.stores.resources import Item

FIELDS: Final = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes "
    "start end action log-status"
)
MAX_FLOWS: Final = 20_000
"""Of one flow log in one interval."""

_TCP: Final = 6


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a connection."""

    interface: str
    source: str
    target: str
    source_port: int
    target_port: int
    is_accepted: bool


@dataclass(slots=True)
class Carried:
    """What went one way from ``start_s`` to ``end_s`` (Unix time)."""

    start_s: int
    end_s: int
    size_bytes: int = 0
    packets: int | None = None

    def add(self, other: "Carried") -> None:
        self.start_s = min(self.start_s, other.start_s)
        self.end_s = max(self.end_s, other.end_s)
        self.size_bytes += other.size_bytes
        if other.packets is not None:
            self.packets = (self.packets or 0) + other.packets


@dataclass(slots=True)
class Batch:
    """What a flow log has yet to deliver. ``skipped`` are the interfaces with too many flows."""

    began_at: datetime
    flows: dict[Way, Carried] = field(default_factory=dict["Way", "Carried"])
    skipped: dict[str, Carried] = field(default_factory=dict[str, "Carried"])

    def add(self, way: Way, carried: Carried) -> None:
        known = self.flows.get(way)
        if known is not None:
            known.add(carried)
        elif len(self.flows) < MAX_FLOWS:
            self.flows[way] = Carried(
                carried.start_s, carried.end_s, carried.size_bytes, carried.packets
            )
        else:
            span = Carried(carried.start_s, carried.end_s)
            self.skipped.setdefault(way.interface, span).add(span)

    def lines(self, account: str) -> Iterable[str]:
        for way, carried in self.flows.items():
            action = "ACCEPT" if way.is_accepted else "REJECT"
            packets = "-" if carried.packets is None else carried.packets
            yield (
                f"2 {account} {way.interface} {way.source} {way.target} {way.source_port} "
                f"{way.target_port} {_TCP} {packets} {carried.size_bytes} {carried.start_s} "
                f"{carried.end_s} {action} OK"
            )
        for interface, span in self.skipped.items():
            blanks = "- " * 8
            yield f"2 {account} {interface} {blanks}{span.start_s} {span.end_s} - SKIPDATA"


def render_file(log: Item[FlowLog], batch: Batch) -> bytes:
    lines = [FIELDS, *batch.lines(log.place.account)]
    return gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0)


def file_key(log: Item[FlowLog], prefix: str, ended_at: datetime, content: bytes) -> str:
    account, region = log.place.account, log.place.region
    hour = f"{ended_at:%H}/" if log.record.per_hour else ""
    digest = hashlib.blake2b(content, digest_size=4).hexdigest()
    name = f"{account}_vpcflowlogs_{region}_{log.name}_{ended_at:%Y%m%dT%H%MZ}_{digest}.log.gz"
    place = f"{prefix}AWSLogs/{account}/vpcflowlogs/{region}"
    return f"{place}/{ended_at:%Y/%m/%d}/{hour}{name}"
