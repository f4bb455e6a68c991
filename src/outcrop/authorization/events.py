"""EventBridge in the service authorization reference: buses with their policies, rules of buses."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from outcrop.authorization.access import Access, Asked, Facts, Rule
from outcrop.authorization.tags import removed_tag_keys, request_tag_keys
from outcrop.stores.event_records import (
    DEFAULT_BUS,
    EventBus,
    EventRule,
    bus_arn,
    read_bus,
    read_rule_arn,
    rule_arn,
)
from outcrop.stores.opened import Stores

Keys = dict[str, str | tuple[str, ...]]


async def find_facts(stores: Stores, access: Access) -> Facts | None:
    arn = access.resource
    rule = read_rule_arn(arn)
    bus = read_bus(arn, "", "") if arn.startswith("arn:") else None
    if rule is None and bus is None:
        return None
    async with stores.resources.reading() as view:
        if rule is not None:
            found = await view.find(EventRule, rule[0])
            if found is None:
                return Facts(account=rule[0].account)
            keys = {"events:creatoraccount": found.record.created_by}
            return Facts(account=found.place.account, tags=found.tags, keys=keys)
        if bus is None:
            return None
        kept = await view.find(EventBus, bus)
    if kept is None:
        return Facts(account=bus.account)
    return Facts(account=bus.account, tags=kept.tags, policy=kept.record.policy)


def _bus(asked: Asked, key: str = "EventBusName") -> str:
    """The ARN of the bus that a request names; what is no bus, the handler refuses."""
    named: str = asked.params.get(key, DEFAULT_BUS)
    place = read_bus(named, asked.account, asked.region)
    return named if place is None else bus_arn(place.region, place.account, place.name)


def _on_bus(action: str, key: str = "EventBusName") -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        return [Access(f"events:{action}", _bus(asked, key))]

    return rule


def _create_bus(asked: Asked) -> Sequence[Access]:
    tags = asked.params.get("Tags")
    actions = ["CreateEventBus", *(["TagResource"] if tags else [])]
    resource, keys = _bus(asked, "Name"), request_tag_keys(tags)
    return [Access(f"events:{action}", resource, keys) for action in actions]


def _on_rule(
    action: str, key: str = "Name", more: Callable[[Mapping[str, Any]], Keys] | None = None
) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        keys = more(asked.params) if more is not None else {}
        return [Access(f"events:{action}", _rule(asked, key), keys)]

    return rule


def _rule(asked: Asked, key: str) -> str:
    place = read_bus(asked.params.get("EventBusName", DEFAULT_BUS), asked.account, asked.region)
    if place is None:
        return "*"
    return rule_arn(place.region, place.account, place.name, asked.params[key])


def _put_rule(asked: Asked) -> Sequence[Access]:
    tags = asked.params.get("Tags")
    keys = {**_pattern_keys(asked.params.get("EventPattern", "")), **request_tag_keys(tags)}
    actions = ["PutRule", *(["TagResource"] if tags else [])]
    return [Access(f"events:{action}", _rule(asked, "Name"), keys) for action in actions]


def _pattern_keys(text: str) -> Keys:
    """What the pattern asks for by its exact text."""
    try:
        pattern: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError, ValueError):
        return {}
    keys: Keys = {}
    for name in ("source", "detail-type"):
        values: Any = cast("dict[str, Any]", pattern).get(name) if isinstance(pattern, dict) else ()
        listed = cast("list[Any]", values) if isinstance(values, list) else []
        texts = tuple(value for value in listed if isinstance(value, str))
        if texts:
            keys[f"events:{name}"] = texts
    return keys


def _target_keys(params: Mapping[str, Any]) -> Keys:
    return {"events:targetarn": tuple(target["Arn"] for target in params["Targets"])}


def _put_events(asked: Asked) -> Sequence[Access]:
    """Each source and kind of event on each bus."""
    asked_for: dict[tuple[str, str, str], Access] = {}
    for entry in asked.params["Entries"]:
        named = entry.get("EventBusName", DEFAULT_BUS)
        place = read_bus(named, asked.account, asked.region)
        resource = named if place is None else bus_arn(place.region, place.account, place.name)
        source, detail_type = entry.get("Source", ""), entry.get("DetailType", "")
        keys: Keys = {"events:source": source, "events:detail-type": detail_type}
        asked_for[resource, source, detail_type] = Access("events:PutEvents", resource, keys)
    return list(asked_for.values())


def _named(action: str, noun: str) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        resource = f"arn:aws:events:{asked.region}:{asked.account}:{noun}/{asked.params['Name']}"
        return [Access(f"events:{action}", resource)]

    return rule


def _tagged(action: str, more: Callable[[Mapping[str, Any]], Keys] | None = None) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        keys = more(asked.params) if more is not None else {}
        return [Access(f"events:{action}", asked.params["ResourceARN"], keys)]

    return rule


_VERBS = ("Create", "Delete", "Describe", "Update")

RULES: Mapping[str, Rule] = {
    **{f"{verb}Connection": _named(f"{verb}Connection", "connection") for verb in _VERBS},
    **{
        f"{verb}ApiDestination": _named(f"{verb}ApiDestination", "api-destination")
        for verb in _VERBS
    },
    **{
        f"{verb}EventBus": _on_bus(f"{verb}EventBus", "Name")
        for verb in ("Delete", "Describe", "Update")
    },
    **{f"{verb}Rule": _on_rule(f"{verb}Rule") for verb in ("Delete", "Describe")},
    "CreateEventBus": _create_bus,
    "DisableRule": _on_rule("DisableRule"),
    "EnableRule": _on_rule("EnableRule"),
    "ListTagsForResource": _tagged("ListTagsForResource"),
    "ListTargetsByRule": _on_rule("ListTargetsByRule", "Rule"),
    "PutEvents": _put_events,
    "PutPermission": _on_bus("PutPermission"),
    "PutRule": _put_rule,
    "PutTargets": _on_rule("PutTargets", "Rule", _target_keys),
    "RemovePermission": _on_bus("RemovePermission"),
    "RemoveTargets": _on_rule("RemoveTargets", "Rule"),
    "TagResource": _tagged("TagResource", lambda params: request_tag_keys(params["Tags"])),
    "UntagResource": _tagged("UntagResource", lambda params: removed_tag_keys(params["TagKeys"])),
}
