"""Queues by what requests call them: the URL that CreateQueue answered, or a name."""

from collections.abc import Mapping
from typing import Any, Final

from outcrop.errors import AuthorizationDenied, ServiceError
from outcrop.queues.addresses import find_queue_name
from outcrop.queues.attributes import Settings
from outcrop.services.call import Call
from outcrop.stores.queue_records import Queue
from outcrop.stores.resources import Item, Place, View

_FORM: Final = "application/x-www-form-urlencoded"


def queue_url(call: Call, queue: Place) -> str:
    """At the address that the request came to, so that it leads where the client is."""
    return f"{call.request.scheme}://{call.request.host}/{queue.account}/{queue.name}"


def read_url(url: str, region: str) -> Place:
    named = find_queue_name(url)
    if named is None:
        raise ServiceError("InvalidAddress", f"The address {url} is not valid for this endpoint.")
    return Place(named[0], region, named[1])


async def find_queue(view: View, arn: str) -> Item[Queue] | None:
    return await view.find_arn(Queue, arn)


async def get_queue(call: Call, params: Mapping[str, Any], view: View) -> Item[Queue]:
    return await get_queue_at(call, read_url(params["QueueUrl"], call.region), view)


async def get_own_queue(call: Call, params: Mapping[str, Any], view: View) -> Item[Queue]:
    """For what no policy of a queue can open to other accounts."""
    queue = await get_queue(call, params, view)
    if queue.place.account != call.account:
        raise AuthorizationDenied(
            f"{call.operation.name} is for the account of a queue alone: {queue.arn}"
        )
    return queue


async def get_queue_at(call: Call, place: Place, view: View) -> Item[Queue]:
    queue = await view.find(Queue, place)
    if queue is None:
        raise no_such_queue(call)
    return queue


def no_such_queue(call: Call) -> ServiceError:
    is_form = (call.request.header("content-type") or "").startswith(_FORM)
    end = " for this wsdl version." if is_form else "."
    return ServiceError("QueueDoesNotExist", f"The specified queue does not exist{end}")


def settings_of(queue: Item[Queue]) -> Settings:
    return Settings(queue.record.attributes)
