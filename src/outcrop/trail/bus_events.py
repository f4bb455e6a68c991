"""What EventBridge is told of a recorded request."""

from typing import Any, Final, cast

import msgspec

DETAIL_TYPE: Final = "AWS API Call via CloudTrail"


def event_of(record: bytes) -> dict[str, Any] | None:
    """The event for the default bus of the record's account and region. None for requests that
    only read and for data events: rules do not get these unless they ask, which none can here."""
    told = cast("dict[str, Any]", msgspec.json.decode(record))
    if told["readOnly"] or told["eventCategory"] != "Management":
        return None
    return {
        "version": "0",
        "id": told["eventID"],
        "detail-type": DETAIL_TYPE,
        "source": f"aws.{told['eventSource'].partition('.')[0]}",
        "account": told["recipientAccountId"],
        "time": told["eventTime"],
        "region": told["awsRegion"],
        "resources": [],
        "detail": told,
    }
