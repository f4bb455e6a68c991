"""AWS's own services as callers: what they may do, the policies of the resources alone decide.

A service acts for a resource of an account (a rule, a topic, Bedrock in a region), which policies
ask for as ``aws:SourceArn`` and ``aws:SourceAccount``.
"""

from dataclasses import replace
from typing import Final

from outcrop.identity import Caller, Principal
from outcrop.services.call import Call
from outcrop.wire.http import Request

BEDROCK: Final = "bedrock.amazonaws.com"
CLOUDTRAIL: Final = "cloudtrail.amazonaws.com"
CLOUDWATCH: Final = "cloudwatch.amazonaws.com"
EVENTS: Final = "events.amazonaws.com"
LOGS: Final = "logs.amazonaws.com"
SNS: Final = "sns.amazonaws.com"

_ARN_PARTS: Final = 6


def service_caller(service: str, source_arn: str) -> Caller:
    """``service`` (``bedrock.amazonaws.com``) acting for ``source_arn``, which names account and
    region."""
    _, _, _, region, account, _ = source_arn.split(":", _ARN_PARTS - 1)
    principal = Principal(account, service, service, "service")
    return Caller(principal, "", region or None, "service", source_arn=source_arn)


def act_as_service(call: Call, service: str, source_arn: str, body: bytes = b"") -> Call:
    """``call`` as the service. Address, endpoint and client of the request that began it are its
    sender's, not the service's: no condition sees them. ``body`` is what S3 is to keep."""
    return replace(
        call, caller=service_caller(service, source_arn), request=service_request(service, body)
    )


def service_request(service: str, body: bytes = b"") -> Request:
    sender = (("host", service), ("user-agent", service))
    return Request("POST", "/", "", sender, body, service, scheme="https", client="")
