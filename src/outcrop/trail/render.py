"""The CloudTrail record of one request, as JSON bytes. Called with every request that is recorded.

Source: the CloudTrail user guide, "CloudTrail record contents", and the documents' InvokeModel.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final, cast

import msgspec

from outcrop.errors import AWSError
from outcrop.identity import Caller, Session
from outcrop.trail.elements import parameters_of, result_of
from outcrop.trail.kinds import is_data_event, is_read_only
from outcrop.trail.named_resources import resources_of
from outcrop.trail.user_identity import acting_service, user_identity
from outcrop.wire.http import Request
from outcrop.wire.spec import Operation

_MOST_TEXT: Final = 1024
"""Characters of a user agent, an error's code and its message: AWS's own bound."""
_MOST_ELEMENT_BYTES: Final = 100 * 1024
"""Of parameters and of results, which keeps a record below 256 KB."""
_MOST_IDENTITIES: Final = 4096

_GLOBAL: Final[Mapping[str, str]] = {"iam": "us-east-1", "support": "us-east-1"}
"""Services that are nowhere in particular, and where AWS records them."""

_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException"})

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the records of one operation have in common."""

    head: str
    middle: str
    tail: str
    region: str | None
    has_resources: bool


# Not frozen, as whatever is made once a request (see wire/http.py).
@dataclass(slots=True)
class Asked:
    """A request as the trail sees it. ``now`` is UTC, ``request_id`` a UUID of ours."""

    operation: Operation
    caller: Caller
    region: str
    request: Request
    request_id: str
    now: datetime


@cache
def _facts(operation: Operation) -> _Facts:
    service = operation.service
    is_data = is_data_event(operation)
    flags = {
        "readOnly": is_read_only(operation),
        "eventType": "AwsApiCall",
        "managementEvent": not is_data,
    }
    category = {"eventCategory": "Data" if is_data else "Management"}
    source = {"eventSource": f"{service.signing_name}.amazonaws.com", "eventName": operation.name}
    return _Facts(
        head=_encode(source).decode()[1:-1],
        middle=_encode(flags).decode()[1:-1],
        tail=_encode(category).decode()[1:-1],
        region=_GLOBAL.get(service.name),
        has_resources=service.name in ("kms", "s3", "sts"),
    )


def render_event(
    asked: Asked,
    params: Mapping[str, Any] | None,
    result: Mapping[str, Any] | None,
    error: AWSError | None,
) -> bytes:
    """``params`` are None where they could not be read, ``result`` where there is none or it is a
    stream."""
    operation, caller, request = asked.operation, asked.caller, asked.request
    facts = _facts(operation)
    region = facts.region or asked.region
    told = parameters_of(operation, params) if params else None
    answered = result_of(operation, result) if result and error is None else None
    identity, service = _identity(caller)
    record = (
        f'{{"eventVersion":"1.08","userIdentity":{identity},'
        f'"eventTime":"{asked.now.isoformat()[:19]}Z",{facts.head},"awsRegion":{_text(region)},'
        f'"sourceIPAddress":{_text(service or request.client)},'
        f'"userAgent":{_text(service or request.header("user-agent") or "")},'
        f"{'' if error is None else _failure(operation, error)}"
        f'"requestParameters":{_element("requestParameters", told)},'
        f'"responseElements":{_element("responseElements", answered)},'
        f"{_extras(caller)}"
        f'"requestID":"{asked.request_id}","eventID":"{_new_event_id()}",'
        f"{_resources(operation, told, caller, region) if facts.has_resources else ''}"
        f'{facts.middle},"recipientAccountId":"{caller.account}",{facts.tail}'
        f"{_way(request) if service is None else ''}}}"
    )
    return record.encode()


def _way(request: Request) -> str:
    """How the request came. The version and the cipher of TLS are not known here."""
    told = "" if request.endpoint is None else f',"vpcEndpointId":{_text(request.endpoint)}'
    if request.scheme == "https":
        told += f',"tlsDetails":{{"clientProvidedHostHeader":{_text(request.host)}}}'
    return told


def _extras(caller: Caller) -> str:
    if caller.proof != "bearer":
        return ""
    return '"additionalEventData":{"callWithBearerToken":true},'


def _failure(operation: Operation, error: AWSError) -> str:
    told = {"errorCode": error_code(operation, error), "errorMessage": _cut(error.message)}
    return _written(told)[1:-1] + ","


def error_code(operation: Operation, error: AWSError) -> str:
    """A refusal by identity or policy is ``AccessDenied`` whatever the service calls it, EC2's
    codes say whose fault they are, and others are named as the service's own programs name them:
    after the shape (``NoSuchEntityException``), where the wire has a shorter code."""
    if operation.service.name == "ec2":
        return f"{'Client' if error.status < 500 else 'Server'}.{error.code}"
    if error.code in _DENIED:
        return "AccessDenied"
    declared = operation.errors.get(error.code)
    return _cut(declared.name if declared else error.code)


def _resources(operation: Operation, told: Any, caller: Caller, region: str) -> str:
    service = operation.service.signing_name
    found = resources_of(service, told, caller.account, region)
    if not found:
        return ""
    shared = ""
    if any(each.get("accountId", caller.account) != caller.account for each in found):
        # The other account gets an event of its own, which has the same.
        shared = f'"sharedEventID":"{_new_event_id()}",'
    return f'"resources":{_written(found)},{shared}'


def _element(name: str, told: Any) -> str:
    if told is None:
        return "null"
    text = _written(told)
    # Any character is four bytes at most.
    if len(text) * 4 > _MOST_ELEMENT_BYTES and len(text.encode()) > _MOST_ELEMENT_BYTES:
        size = len(text.encode())
        return _written({"omitted": True, "originalSize": size, "reason": f"{name} too large"})
    return text


_IDENTITIES: dict[tuple[Any, ...], tuple[Session | None, str, str | None]] = {}


def _identity(caller: Caller) -> tuple[str, str | None]:
    """Its JSON, and the service that sent the request, if one did."""
    # The session is kept beside, so that no other object takes its place in memory.
    principal = caller.principal
    key = (
        *(caller.key_id, principal.arn, principal.kind, principal.account, principal.id),
        *(id(caller.session), caller.via, caller.proof, caller.region is None),
    )
    found = _IDENTITIES.get(key)
    if found is None:
        if len(_IDENTITIES) >= _MOST_IDENTITIES:
            _IDENTITIES.clear()
        told = _written(user_identity(caller))
        found = _IDENTITIES[key] = (caller.session, told, acting_service(caller))
    return found[1], found[2]


@lru_cache(maxsize=4096)
def _text(text: str) -> str:
    return _written(_cut(text))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT]


def _written(told: Any) -> str:
    try:
        return _encode(told).decode()
    except UnicodeEncodeError:
        # Half a character, which came in a header or a path: shown as such.
        return _encode(_whole(told)).decode()


def _whole(told: Any) -> Any:
    match told:
        case str():
            return told.encode("utf-8", "backslashreplace").decode()
        case list():
            return [_whole(each) for each in cast("list[Any]", told)]
        case dict():
            members = cast("dict[str, Any]", told)
            return {_whole(name): _whole(value) for name, value in members.items()}
        case _:
            return told


def _new_event_id() -> str:
    """A random UUID, in a third of the time that ``uuid4`` takes."""
    random = os.urandom(16)
    digits = random.hex()
    variant = "89ab"[random[8] >> 6]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
