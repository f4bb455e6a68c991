"""The keys that digests are verified by, as long as anybody may verify them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.trail.signing import list_keys
from outcrop.wire.paging import page


@operation
async def list_public_keys(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """Those valid between the times; a day back from now where none are given, as in AWS."""
    end = params.get("EndTime", call.now)
    start = params.get("StartTime", end - timedelta(days=1))
    if start > end:
        raise ServiceError("InvalidTimeRangeException", "StartTime is later than EndTime.")
    async with call.stores.resources.reading() as view:
        keys = await list_keys(view)
    told = [
        {
            "Value": each.record.public,
            "ValidityStartTime": each.record.starts_at,
            "ValidityEndTime": each.record.ends_at,
            "Fingerprint": each.name,
        }
        for each in keys
        if each.record.starts_at <= end and each.record.ends_at >= start
    ]
    marks = [each["Fingerprint"] for each in told]
    paged = page(call.operation, params, marks)
    paged["PublicKeyList"] = [
        each for each in told if each["Fingerprint"] in paged["PublicKeyList"]
    ]
    return paged
