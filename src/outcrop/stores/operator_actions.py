"""What operators do beside AWS's APIs is recorded in the transaction that does it."""

import uuid
from collections.abc import Mapping

from outcrop.stores.model_records import OperatorAction
from outcrop.stores.resources import Place, Transaction


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
    await transaction.add(record, Place(place.account, place.region, str(uuid.uuid4())))
