"""What requests of SNS name, and SNS's refusals."""

from typing import Any, Final

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.stores.resources import Item, Place, View
from outcrop.stores.topic_records import Subscription, Topic, TopicName, read_topic_arn

Params = dict[str, Any]

_ARN_PARTS: Final = 6


def invalid(text: str) -> ServiceError:
    return ServiceError("InvalidParameter", f"Invalid parameter: {text}")


def not_found(text: str) -> ServiceError:
    return ServiceError("NotFound", text)


def not_authorized(text: str) -> ServiceError:
    return ServiceError("AuthorizationError", text)


def is_anonymous(call: Call) -> bool:
    return call.caller.principal.kind == "anonymous"


def require_arn(text: str, member: str) -> None:
    if not text:
        raise invalid(f"{member} Reason: no value for required parameter")
    count = len(text.split(":"))
    if count < _ARN_PARTS:
        reason = f"An ARN must have at least {_ARN_PARTS} elements, not {count}"
        raise invalid(f"{member} Reason: {reason}")


def read_topic(call: Call, text: str, member: str = "TopicArn") -> TopicName:
    """A topic of the region that is asked."""
    require_arn(text, member)
    name = read_topic_arn(text)
    if name is None or name.region != call.region:
        raise invalid(member)
    return name


def place_of(name: TopicName) -> Place:
    return Place(name.account, name.region, name.name)


async def get_topic(view: View, call: Call, text: str, member: str = "TopicArn") -> Item[Topic]:
    topic = await view.find(Topic, place_of(read_topic(call, text, member)))
    if topic is None:
        raise not_found("Topic does not exist")
    return topic


async def list_subscriptions_of(view: View, topic_arn: str) -> list[Item[Subscription]]:
    """All records, whatever their state."""
    return await view.list(Subscription, parent=topic_arn)
