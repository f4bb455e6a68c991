"""Trails as requests name them: by a name, where the request goes, or by an ARN."""

import re
from typing import Final

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.stores.resources import Item, Place, View
from outcrop.stores.trail_records import Trail, trail_arn

_SHORTEST: Final = 3
_LONGEST: Final = 128
_NAME: Final = re.compile(r"[A-Za-z0-9._-]*", re.ASCII)
_ADDRESS: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+", re.ASCII)
_ARN: Final = re.compile(r"arn:aws[a-z-]*:cloudtrail:([a-z0-9-]+):([0-9]{12}):trail/(.+)", re.ASCII)


def check_name(name: str) -> None:
    told = None
    if len(name) < _SHORTEST:
        told = (
            f"Trail name too short. Minimum allowed length: {_SHORTEST} characters. Specified "
            f"name length: {len(name)} characters."
        )
    elif len(name) > _LONGEST:
        told = (
            f"Trail name too long. Maximum allowed length: {_LONGEST} characters. Specified name "
            f"length: {len(name)} characters."
        )
    elif _NAME.fullmatch(name) is None:
        told = (
            "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, "
            "periods (.), hyphens (-), and underscores (_)."
        )
    elif not name[0].isalnum():
        told = "Trail name must starts with a letter or number."
    elif not name[-1].isalnum():
        told = "Trail name must ends with a letter or number."
    elif re.search(r"[._-]{2}", name) or _ADDRESS.fullmatch(name):
        told = (
            "Trail name must not have adjacent periods, hyphens or underscores, nor be an address."
        )
    if told is not None:
        raise ServiceError("InvalidTrailNameException", told)


def place_of(call: Call, name: str) -> Place:
    """Where the trail would lie. ``name`` is a name or an ARN."""
    if not name.startswith("arn:"):
        check_name(name)
        return Place(call.account, call.region, name)
    return read_arn(name)


def read_arn(arn: str) -> Place:
    read = _ARN.fullmatch(arn)
    if read is None:
        raise ServiceError("CloudTrailARNInvalidException", f"The trail ARN {arn} is not valid.")
    region, account, name = read.groups()
    check_name(name)
    return Place(account, region, name)


async def find_trail(view: View, call: Call, name: str) -> Item[Trail] | None:
    """A trail of every region is known by its name in all of them."""
    place = place_of(call, name)
    if place.account != call.account:
        return None
    found = await view.find(Trail, place)
    if found is None and not name.startswith("arn:"):
        others = await view.list(Trail, account=call.account)
        everywhere = (each for each in others if each.record.is_multi_region and each.name == name)
        found = next(everywhere, None)
    return found


async def get_trail(view: View, call: Call, name: str) -> Item[Trail]:
    found = await find_trail(view, call, name)
    if found is None:
        arn = name if name.startswith("arn:") else trail_arn(call.region, call.account, name)
        raise ServiceError(
            "TrailNotFoundException", f"Unknown trail: {arn} for the user: {call.account}"
        )
    return found


async def get_trail_at_home(view: View, call: Call, name: str) -> Item[Trail]:
    """To change it: that is done in its home region alone."""
    found = await get_trail(view, call, name)
    if found.place.region != call.region:
        raise ServiceError(
            "InvalidHomeRegionException",
            f"The home region of trail {found.name} is {found.place.region}, where it is changed; "
            f"this is {call.region}.",
        )
    return found
