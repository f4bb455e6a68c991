"""How requests name log groups and streams, and what is said where there are none."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.errors import ServiceError, ValidationException
from outcrop.logs.streams import Stream, find_stream
from outcrop.services.call import Call
from outcrop.stores.log_records import LogGroup, group_arn
from outcrop.stores.resources import Item, Place, View
from outcrop.wire.paging import page

_ARN: Final = re.compile(
    r"arn:aws:logs:([a-z0-9-]+):([0-9]{12}):log-group:([^:*]+)(?::\*)?", re.ASCII
)
_BOTH: Final = "LogGroup name and LogGroup ARN are mutually exclusive parameters."
_LONGEST_NAME: Final = 512


def group_place(call: Call, params: Mapping[str, Any]) -> Place:
    """By ``logGroupName`` or ``logGroupIdentifier``, a name or an ARN."""
    name, identifier = params.get("logGroupName"), params.get("logGroupIdentifier")
    if name is not None and identifier is not None:
        raise ValidationException(_BOTH)
    if name is not None:
        return Place(call.account, call.region, name)
    if identifier is None:
        raise invalid_parameter("Either logGroupName or logGroupIdentifier must be given.")
    return identified_place(call, identifier)


def identified_place(call: Call, identifier: str) -> Place:
    if not identifier.startswith("arn:"):
        return Place(call.account, call.region, identifier)
    found = _ARN.fullmatch(identifier)
    if found is None:
        raise invalid_parameter(f"{identifier} is not the ARN of a log group.")
    if (found[1], found[2]) != (call.region, call.account):
        raise invalid_parameter(
            f"{identifier} is not a log group of this account and region: Outcrop has no "
            "monitoring accounts."
        )
    return Place(call.account, call.region, found[3])


async def get_group(view: View, place: Place) -> Item[LogGroup]:
    item = await view.find(LogGroup, place)
    if item is None:
        raise no_group()
    return item


async def get_stream(view: View, group: Item[LogGroup], name: str) -> Stream:
    stream = await find_stream(view.connection, group.place, name)
    if stream is None:
        raise not_found("The specified log stream does not exist.")
    return stream


def require_short(*names: str) -> None:
    """Longer ones than the model allows are refused in the service's own words."""
    if any(len(name) > _LONGEST_NAME for name in names):
        raise invalid_parameter(
            "Invalid LogGroup or LogStream, both must have length less than or equal to 512."
        )


def refuse(params: Mapping[str, Any], *members: str) -> None:
    """What Outcrop does not have, unless it is asked for by its neutral value."""
    for member in members:
        if params.get(member):
            raise invalid_parameter(f"{member} is not supported by Outcrop. Leave it out.")


def paged(
    call: Call, params: Mapping[str, Any], items: Sequence[Any], default_limit: int = 50
) -> dict[str, Any]:
    try:
        return page(call.operation, params, items, default_limit)
    except ValidationException as error:
        raise invalid_token() from error


def arn_of(group: Item[LogGroup]) -> str:
    return group_arn(group.place.region, group.place.account, group.name)


def no_group() -> ServiceError:
    return not_found("The specified log group does not exist.")


def not_found(message: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", message)


def invalid_parameter(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)


def invalid_token() -> ServiceError:
    return invalid_parameter("The specified nextToken is invalid.")


def limit_exceeded(message: str = "Resource limit exceeded.") -> ServiceError:
    return ServiceError("LimitExceededException", message)
