"""EventBridge's buses, rules, connections and API destinations as they are kept.

The default bus is there without a record; it has one as soon as something is to be kept of it.
"""

from datetime import datetime
from typing import Any, ClassVar, Final, Literal

from outcrop.stores.resources import Place, Record

TOPIC: Final = "events"
DEFAULT_BUS: Final = "default"


class EventBus(Record, frozen=True, kw_only=True, omit_defaults=True):
    """``policy`` is the whole document's text."""

    KIND: ClassVar[str] = "events:bus"

    description: str = ""
    policy: str | None = None


class EventRule(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Named ``<bus>/<rule>``, its parent is the bus. ``targets`` are as PutTargets had them."""

    KIND: ClassVar[str] = "events:rule"

    bus: str
    pattern: str | None = None
    enabled: bool = True
    description: str = ""
    role_arn: str | None = None
    created_by: str = ""
    targets: tuple[dict[str, Any], ...] = ()


class EventConnection(Record, frozen=True, kw_only=True, omit_defaults=True):
    """``shown`` are its parameters without what is secret; ``sealed`` are all of them."""

    KIND: ClassVar[str] = "events:connection"

    id: str
    authorization: Literal["BASIC", "OAUTH_CLIENT_CREDENTIALS", "API_KEY"]
    shown: dict[str, Any]
    sealed: bytes
    description: str = ""
    changed_at: datetime
    authorized_at: datetime


class EventApiDestination(Record, frozen=True, kw_only=True, omit_defaults=True):
    KIND: ClassVar[str] = "events:api-destination"

    id: str
    connection_arn: str
    endpoint: str
    method: str
    rate_per_s: int = 300
    description: str = ""
    changed_at: datetime


MIRRORED: Final = (EventBus, EventRule, EventConnection, EventApiDestination)


def bus_arn(region: str, account: str, bus: str) -> str:
    return f"arn:aws:events:{region}:{account}:event-bus/{bus}"


def rule_arn(region: str, account: str, bus: str, rule: str) -> str:
    path = rule if bus == DEFAULT_BUS else f"{bus}/{rule}"
    return f"arn:aws:events:{region}:{account}:rule/{path}"


def rule_place(account: str, region: str, bus: str, rule: str) -> Place:
    return Place(account, region, f"{bus}/{rule}")


def rule_name(place: Place) -> str:
    return place.name.rpartition("/")[2]


def connection_arn(place: Place, id: str) -> str:
    return f"arn:aws:events:{place.region}:{place.account}:connection/{place.name}/{id}"


def api_destination_arn(place: Place, id: str) -> str:
    return f"arn:aws:events:{place.region}:{place.account}:api-destination/{place.name}/{id}"


def read_rule_arn(arn: str) -> tuple[Place, str, str] | None:
    """Place of the rule, its bus and its name."""
    account_region = _read(arn, "rule/")
    if account_region is None:
        return None
    account, region, path = account_region
    bus, _, name = path.rpartition("/")
    bus = bus or DEFAULT_BUS
    return rule_place(account, region, bus, name), bus, name


def read_bus(name_or_arn: str, account: str, region: str) -> Place | None:
    """None for an ARN that is none of a bus."""
    if not name_or_arn.startswith("arn:"):
        return Place(account, region, name_or_arn)
    found = _read(name_or_arn, "event-bus/")
    return None if found is None else Place(*found)


def _read(arn: str, kind: str) -> tuple[str, str, str] | None:
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[:3] != ["arn", "aws", "events"] or not parts[5].startswith(kind):
        return None
    return parts[4], parts[3], parts[5].removeprefix(kind)
