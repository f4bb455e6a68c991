"""Regions and their availability zones: the zones are those of the configuration."""

import re
from collections.abc import Mapping

from outcrop.services.call import Call
from outcrop.services.ec2.listing import Values, filtered
from outcrop.services.ec2.requests import Params, Result, invalid, network_operation

_DIRECTIONS = {
    "northeast": "ne",
    "northwest": "nw",
    "southeast": "se",
    "southwest": "sw",
    "north": "n",
    "south": "s",
    "east": "e",
    "west": "w",
    "central": "c",
}
_REGION = re.compile(r"([a-z]{2}(?:-gov|-iso[a-z]?)?)-([a-z]+)-([0-9]+)")


def zone_name(region: str, letter: str) -> str:
    return f"{region}{letter}"


def zone_id(region: str, letter: str) -> str:
    """``use1-az1`` for the first zone of us-east-1."""
    found = _REGION.fullmatch(region)
    if found is None:
        short = region
    else:
        short = f"{found[1].replace('-', '')}{_DIRECTIONS.get(found[2], found[2])}{found[3]}"
    return f"{short}-az{ord(letter) - ord('a') + 1}"


def zone_letter(call: Call, name: str | None, given_id: str | None = None) -> str:
    """Of a zone that a request names."""
    for letter in call.zones:
        if name == zone_name(call.region, letter) or given_id == zone_id(call.region, letter):
            return letter
    named = name or given_id
    known = ", ".join(zone_name(call.region, letter) for letter in call.zones)
    raise invalid(
        f"Value ({named}) for parameter availabilityZone is invalid. Subnets can currently only be "
        f"created in the following availability zones: {known}."
    )


@network_operation(
    "Filters", "ZoneNames", "ZoneIds", "AllAvailabilityZones", looks_at_networks=False
)
async def describe_availability_zones(call: Call, params: Params) -> Result:
    zones = [_describe(call.region, letter) for letter in call.zones]
    for member, name in (("ZoneNames", "ZoneName"), ("ZoneIds", "ZoneId")):
        asked = params.get(member)
        if asked:
            known = {zone[name] for zone in zones}
            for each in asked:
                if each not in known:
                    raise invalid(f"Invalid availability zone: [{each}]")
            zones = [zone for zone in zones if zone[name] in asked]
    filters = {
        "group-name": "GroupName",
        "opt-in-status": "OptInStatus",
        "region-name": "RegionName",
        "state": "State",
        "zone-id": "ZoneId",
        "zone-name": "ZoneName",
        "zone-type": "ZoneType",
    }
    return {"AvailabilityZones": filtered(params, zones, _members(filters))}


@network_operation("Filters", "RegionNames", "AllRegions", looks_at_networks=False)
async def describe_regions(call: Call, params: Params) -> Result:
    """Every region that is asked for exists; the list has the one that the caller is in."""
    names = params.get("RegionNames") or [call.region]
    for name in names:
        if not _REGION.fullmatch(name):
            raise invalid(f"Invalid region name: {name}")
    regions = [
        {
            "RegionName": name,
            "Endpoint": f"ec2.{name}.amazonaws.com",
            "OptInStatus": "opt-in-not-required",
        }
        for name in dict.fromkeys(names)
    ]
    filters = {"endpoint": "Endpoint", "opt-in-status": "OptInStatus", "region-name": "RegionName"}
    return {"Regions": filtered(params, regions, _members(filters))}


def _describe(region: str, letter: str) -> dict[str, str]:
    return {
        "ZoneName": zone_name(region, letter),
        "ZoneId": zone_id(region, letter),
        "ZoneType": "availability-zone",
        "RegionName": region,
        "GroupName": f"{region}-zg-1",
        "NetworkBorderGroup": region,
        "State": "available",
        "OptInStatus": "opt-in-not-required",
    }


def _members(filters: Mapping[str, str]) -> dict[str, Values[Mapping[str, str]]]:
    return {name: _member(member) for name, member in filters.items()}


def _member(name: str) -> Values[Mapping[str, str]]:
    return lambda one: [one[name]]
