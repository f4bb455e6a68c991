"""ConfirmSubscription: the token that was sent to an endpoint comes back from it.

Who visits the link does not sign; the token alone shows that the endpoint agrees.
"""

import hmac
import re
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import msgspec

from outcrop.errors import ServiceError
from outcrop.identity import SealedSecretError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sns.requests import Params, invalid, is_anonymous
from outcrop.stores.resources import Item, View
from outcrop.stores.topic_records import Subscription, read_topic_arn

_TOKEN: Final = re.compile(r"[0-9a-f]{288}")
_ID_DIGITS: Final = 32


@operation
async def confirm_subscription(call: Call, params: Params) -> dict[str, Any]:
    topic = read_topic_arn(params["TopicArn"])
    if topic is None:
        raise invalid("Topic")
    signs = not is_anonymous(call)
    async with call.stores.resources.writing() as transaction:
        item = await _find(transaction, call, topic.arn, params["Token"])
        if item.record.state == "confirmed":
            return {"SubscriptionArn": item.arn}
        record = msgspec.structs.replace(
            item.record,
            state="confirmed",
            was_authenticated=signs,
            needs_authentication=signs and params.get("AuthenticateOnUnsubscribe") == "true",
        )
        await transaction.put(replace(item, record=record))
    return {"SubscriptionArn": item.arn}


async def _find(view: View, call: Call, topic_arn: str, token: str) -> Item[Subscription]:
    if not _TOKEN.fullmatch(token):
        raise ServiceError("InvalidParameter", "Invalid token")
    item = await view.find_arn(Subscription, f"{topic_arn}:{UUID(token[:_ID_DIGITS])}")
    if item is None or not _is_its_token(call, item, token):
        raise invalid("Token")
    return item


def _is_its_token(call: Call, item: Item[Subscription], token: str) -> bool:
    record = item.record
    if record.expires_at is None or record.expires_at <= call.now:
        return False
    try:
        known = call.stores.sealer.open(record.token, (item.arn or "").encode())
    except SealedSecretError:
        return False
    return hmac.compare_digest(known, token.encode())
