"""What operators do beside AWS's APIs is recorded in the transaction that does it.

It is an event in the account's trail, as AWS records what its own staff and services do there, and
a record that outlasts the trail.
"""

import uuid
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from outcrop.stores.model_records import OperatorAction
from outcrop.stores.resources import Place, Transaction
from outcrop.stores.tables import from_ms, now_ms, trail_events

SOURCE: Final = "outcrop"
_NOWHERE: Final = "us-east-1"
"""Where the trail has what is in no region, as of IAM."""


async def record_action(
    transaction: Transaction,
    place: Place,
    action: str,
    operator: str,
    detail: Mapping[str, str] | None = None,
) -> None:
    """``place`` is where what was acted on lies; its name is the action's ``resource``."""
    record = OperatorAction(
        action=action, resource=place.name, operator=operator, detail=dict(detail or {})
    )
    item = await transaction.add(record, Place(place.account, place.region, str(uuid.uuid4())))
    if place.account:
        row = _event(record, Place(place.account, place.region or _NOWHERE, item.name))
        await transaction.connection.execute(sa.insert(trail_events).values(row))


def _event(record: OperatorAction, place: Place) -> dict[str, Any]:
    """``place.name`` is the event's ID."""
    at_ms = now_ms()
    body = {
        "eventVersion": "1.08",
        "userIdentity": {"type": "AWSService", "invokedBy": SOURCE},
        "eventTime": from_ms(at_ms).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": SOURCE,
        "eventName": record.action,
        "awsRegion": place.region,
        "sourceIPAddress": SOURCE,
        "userAgent": SOURCE,
        "requestParameters": None,
        "responseElements": None,
        "eventID": place.name,
        "readOnly": False,
        "eventType": "AwsServiceEvent",
        "managementEvent": True,
        "recipientAccountId": place.account,
        "serviceEventDetails": {
            "operator": record.operator,
            "resource": record.resource,
            **record.detail,
        },
        "eventCategory": "Management",
    }
    named = [{"type": "Outcrop::Resource", "name": record.resource}] if record.resource else []
    return {
        "account": place.account,
        "region": place.region,
        "at_ms": at_ms,
        "event_id": place.name,
        "event_name": record.action,
        "event_source": SOURCE,
        "username": record.operator,
        "access_key_id": "",
        "read_only": False,
        "is_data": False,
        "resources": msgspec.json.encode(named),
        "body": msgspec.json.encode(body),
    }
