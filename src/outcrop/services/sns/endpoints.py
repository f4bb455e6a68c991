"""What may be subscribed: each protocol's endpoints, and which protocols there are."""

import re
from email.errors import HeaderParseError
from email.headerregistry import Address
from typing import Final, cast
from urllib.parse import urlsplit

from outcrop.errors import ServiceError
from outcrop.outward.addresses import is_refused_host
from outcrop.services.call import Call
from outcrop.services.sns.requests import invalid
from outcrop.stores.topic_records import Protocol
from outcrop.topics.arns import read_queue_arn

_ELSEWHERE: Final = ("lambda", "firehose", "application", "sms")
_MAX_CHARS: Final = 2048
_PHONE: Final = re.compile(r"\+[1-9][0-9]{4,14}")
_CREDENTIALS: Final = re.compile(r"^([a-z]+://[^/@:]*):[^/@]*@")


def check_endpoint(call: Call, protocol: str, endpoint: str) -> Protocol:
    if protocol in _ELSEWHERE:
        if protocol == "sms" and not _PHONE.fullmatch(endpoint):
            raise ServiceError("InvalidParameter", f"Invalid SMS endpoint: {endpoint}")
        raise invalid(
            f"Protocol Reason: Outcrop does not deliver to {protocol} endpoints. Subscribe an "
            "http, https, email, email-json or sqs endpoint."
        )
    if protocol not in _CHECKS:
        raise invalid(f"Amazon SNS does not support this protocol string: {protocol}")
    if not endpoint or len(endpoint) > _MAX_CHARS:
        raise invalid("Endpoint")
    if protocol in ("email", "email-json") and not call.observing.sends_mail:
        raise invalid(
            "Protocol Reason: e-mail cannot be sent, no mail server is configured. Set [mail] in "
            "Outcrop's configuration."
        )
    _CHECKS[protocol](protocol, endpoint)
    return cast("Protocol", protocol)


def shown(endpoint: str) -> str:
    """Without the password in a URL."""
    return _CREDENTIALS.sub(r"\1:****@", endpoint)


def _check_url(protocol: str, endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError as error:
        raise invalid("Endpoint") from error
    if parts.scheme != protocol:
        raise invalid("Endpoint must match the specified protocol")
    if not parts.hostname or port == 0 or not endpoint.isprintable() or " " in endpoint:
        raise invalid("Endpoint")
    if is_refused_host(parts.hostname):
        raise invalid(f"Endpoint Reason: {parts.hostname} is a link-local address")


def _check_address(_protocol: str, endpoint: str) -> None:
    if "@" not in endpoint or not endpoint.isascii() or not endpoint.isprintable():
        raise invalid("Email address")
    try:
        address = Address(addr_spec=endpoint)
    except (HeaderParseError, ValueError, IndexError) as error:
        raise invalid("Email address") from error
    if not (address.username and address.domain) or any(each in endpoint for each in " ,;<>"):
        raise invalid("Email address")


def _check_queue(_protocol: str, endpoint: str) -> None:
    queue = read_queue_arn(endpoint)
    if queue is None:
        raise invalid("SQS endpoint ARN")
    if queue.is_fifo:
        raise invalid(
            "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to "
            "standard SNS topics"
        )


_CHECKS: Final = {
    "email": _check_address,
    "email-json": _check_address,
    "http": _check_url,
    "https": _check_url,
    "sqs": _check_queue,
}
