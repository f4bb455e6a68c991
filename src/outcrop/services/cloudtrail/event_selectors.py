"""Which events a trail takes: management events by reading and writing, and S3's data events."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.cloudtrail.named import get_trail, get_trail_at_home
from outcrop.services.operation import operation
from outcrop.stores.resources import Item
from outcrop.stores.trail_records import Selector, Trail

_MOST_SELECTORS: Final = 5
_MOST_OBJECTS: Final = 250
_S3: Final = "AWS::S3::Object"
_EXCLUDABLE: Final = frozenset({"kms.amazonaws.com", "rdsdata.amazonaws.com"})


@operation
async def get_event_selectors(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        return _told(await get_trail(view, call, params["TrailName"]))


@operation
async def put_event_selectors(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    if params.get("AdvancedEventSelectors"):
        raise _invalid("Outcrop does not have advanced event selectors. Use EventSelectors.")
    given = params.get("EventSelectors", ())
    if not 0 < len(given) <= _MOST_SELECTORS:
        raise _invalid(f"A trail has 1 to {_MOST_SELECTORS} event selectors.")
    selectors = tuple(_read(each) for each in given)
    if sum(len(each.objects) for each in selectors) > _MOST_OBJECTS:
        raise _invalid(f"The selectors of a trail name at most {_MOST_OBJECTS} data resources.")
    async with call.stores.resources.writing() as transaction:
        item = await get_trail_at_home(transaction, call, params["TrailName"])
        record = msgspec.structs.replace(item.record, selectors=selectors)
        changed = await transaction.put(replace(item, record=record))
    return {name: _told(changed)[name] for name in ("TrailARN", "EventSelectors")}


def _read(given: Mapping[str, Any]) -> Selector:
    objects: list[str] = []
    for resource in given.get("DataResources", ()):
        if resource.get("Type") != _S3:
            raise _invalid(
                f"Outcrop records data events of {_S3} alone, not of {resource.get('Type')!r}."
            )
        objects += resource.get("Values", ())
    for arn in objects:
        if arn not in ("arn:aws:s3", "arn:aws:s3:::") and not _names_bucket(arn):
            raise _invalid(
                f"Value {arn} for DataResources.Values is invalid: write arn:aws:s3:::bucket/ or "
                "arn:aws:s3:::bucket/prefix."
            )
    excluded = tuple(given.get("ExcludeManagementEventSources", ()))
    if not _EXCLUDABLE.issuperset(excluded):
        raise _invalid(f"Only {' and '.join(sorted(_EXCLUDABLE))} can be excluded.")
    return Selector(
        read_write=given.get("ReadWriteType", "All"),
        management=given.get("IncludeManagementEvents", True),
        objects=tuple(objects),
        excluded=excluded,
    )


def _names_bucket(arn: str) -> bool:
    bucket, slash, _ = arn.removeprefix("arn:aws:s3:::").partition("/")
    return arn.startswith("arn:aws:s3:::") and bool(bucket and slash)


def _told(item: Item[Trail]) -> dict[str, Any]:
    return {
        "TrailARN": item.arn,
        "EventSelectors": [
            {
                "ReadWriteType": each.read_write,
                "IncludeManagementEvents": each.management,
                "DataResources": [{"Type": _S3, "Values": list(each.objects)}]
                if each.objects
                else [],
                "ExcludeManagementEventSources": list(each.excluded),
            }
            for each in item.record.effective_selectors
        ],
    }


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidEventSelectorsException", message)
