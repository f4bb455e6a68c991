"""What EventBridge is told of a recorded request."""

from datetime import datetime
from typing import Any, Final, cast

import msgspec

DETAIL_TYPE: Final = "AWS API Call via CloudTrail"
_EVENTBRIDGE: Final = "events.amazonaws.com"
_BEDROCK: Final = "bedrock.amazonaws.com"
_INVOCATIONS: Final = frozenset(
    {
        *("InvokeModel", "InvokeModelWithResponseStream", "InvokeModelWithBidirectionalStream"),
        *("Converse", "ConverseStream", "CountTokens"),
    }
)


def event_of(record: bytes) -> dict[str, Any] | None:
    """The event for the default bus of the record's account and region. None for requests that
    only read and for data events: rules do not get these unless they ask, which none can here.
    None for what EventBridge itself asked for, too: a rule that takes what its own target does
    would never come to an end. Invocations of models are no changes either, though the documents'
    record says ``readOnly`` false of them: AWS records them as reading by now, and the documents'
    rule for all events of Bedrock would send an e-mail for each."""
    told = cast("dict[str, Any]", msgspec.json.decode(record))
    if told["readOnly"] or told["eventCategory"] != "Management":
        return None
    if told["userIdentity"].get("invokedBy") == _EVENTBRIDGE:
        return None
    if told["eventSource"] == _BEDROCK and told["eventName"] in _INVOCATIONS:
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


def entry_of(event: dict[str, Any], record: bytes) -> dict[str, Any]:
    """The event as it is published: its detail is the record to the letter."""
    kept = {name: event[name] for name in ("id", "detail-type", "source", "resources")}
    time = datetime.fromisoformat(event["time"])
    return {**kept, "time": time, "detail": record.decode()}
