"""The attributes of topics: which there are, and what each may be."""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec

from outcrop.errors import ServiceError
from outcrop.security.policy.document import MalformedPolicy, parse_policy
from outcrop.services.sns.requests import invalid
from outcrop.stores.topic_records import Topic
from outcrop.topics.retries import BadDeliveryPolicy, parse_topic_policy

_MAX_DISPLAY_NAME: Final = 100
_MAX_POLICY_BYTES: Final = 30 * 1024
_OUT_OF_SCOPE: Final = "Policy statement action out of service scope!"
_NEUTRAL: Final = {
    "ContentBasedDeduplication": "false",
    "FifoTopic": "false",
    "MaximumMessageSize": "262144",
    "TracingConfig": "PassThrough",
}
"""What is not supported may be said at the value that asks for nothing."""

_UNSUPPORTED: Final = frozenset(
    {
        *("ArchivePolicy", "FifoThroughputScope"),
        *(
            f"{protocol}{attribute}"
            for protocol in ("HTTP", "Firehose", "Lambda", "Application", "SQS")
            for attribute in (
                "SuccessFeedbackRoleArn",
                "SuccessFeedbackSampleRate",
                "FailureFeedbackRoleArn",
            )
        ),
    }
)

ACTIONS: Final = (
    "AddPermission",
    "DeleteTopic",
    "GetDataProtectionPolicy",
    "GetTopicAttributes",
    "ListSubscriptionsByTopic",
    "ListTagsForResource",
    "Publish",
    "PutDataProtectionPolicy",
    "Receive",
    "RemovePermission",
    "SetTopicAttributes",
    "Subscribe",
)
"""What policies of topics may speak of."""


def default_policy(arn: str, account: str) -> str:
    """As AWS writes it: it lets CloudWatch publish for alarms of the account."""
    return msgspec.json.encode(
        {
            "Version": "2008-10-17",
            "Id": "__default_policy_ID",
            "Statement": [
                {
                    "Sid": "__default_statement_ID",
                    "Effect": "Allow",
                    "Principal": {"AWS": "*"},
                    "Action": [
                        "SNS:GetTopicAttributes",
                        "SNS:SetTopicAttributes",
                        "SNS:AddPermission",
                        "SNS:RemovePermission",
                        "SNS:DeleteTopic",
                        "SNS:Subscribe",
                        "SNS:ListSubscriptionsByTopic",
                        "SNS:Publish",
                    ],
                    "Resource": arn,
                    "Condition": {"StringEquals": {"AWS:SourceOwner": account}},
                }
            ],
        }
    ).decode()


def with_attribute(topic: Topic, arn: str, name: str, value: str) -> Topic:
    """Raises what SetTopicAttributes answers, but for what names the parameter."""
    setter = _SETTERS.get(name)
    if setter is not None:
        return msgspec.structs.replace(topic, **setter(arn, value))
    if name in _NEUTRAL:
        if value != _NEUTRAL[name]:
            raise invalid(f"{name} Reason: {value!r} is not supported by Outcrop")
        return topic
    if name in _UNSUPPORTED:
        raise invalid(f"AttributeName Reason: {name} is not supported by Outcrop")
    raise invalid("AttributeName")


def check_policy(text: str) -> None:
    try:
        parse_policy(text, "resource", max_bytes=_MAX_POLICY_BYTES)
    except MalformedPolicy as error:
        raise invalid(f"Policy Error: {error}") from error
    for statement in _listed(msgspec.json.decode(text)["Statement"]):
        for action in _listed(statement.get("Action", statement.get("NotAction", []))):
            if action != "*" and not action.lower().startswith("sns:"):
                raise invalid(_OUT_OF_SCOPE)


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def require_action(name: str) -> None:
    if name not in ("*", *ACTIONS):
        raise invalid(_OUT_OF_SCOPE)


def _policy(arn: str, value: str) -> Mapping[str, Any]:
    if not value:
        return {"policy": default_policy(arn, arn.split(":")[4])}
    check_policy(value)
    return {"policy": value}


def _display_name(_arn: str, value: str) -> Mapping[str, Any]:
    # It becomes the name of a sender.
    if len(value) > _MAX_DISPLAY_NAME or not value.isprintable():
        raise invalid("DisplayName")
    return {"display_name": value}


def _delivery_policy(_arn: str, value: str) -> Mapping[str, Any]:
    if not value:
        return {"delivery_policy": None}
    try:
        parse_topic_policy(value)
    except BadDeliveryPolicy as error:
        raise invalid(f"DeliveryPolicy: {error}") from error
    return {"delivery_policy": value}


def _signature_version(_arn: str, value: str) -> Mapping[str, Any]:
    if value not in ("1", "2"):
        raise invalid("SignatureVersion")
    return {"signature_version": value}


_SETTERS: Final[Mapping[str, Callable[[str, str], Mapping[str, Any]]]] = {
    "Policy": _policy,
    "DisplayName": _display_name,
    "DeliveryPolicy": _delivery_policy,
    "KmsMasterKeyId": lambda _arn, value: {"kms_key": value or None},
    "SignatureVersion": _signature_version,
}


def read_tags(tags: Any) -> dict[str, str]:
    read: dict[str, str] = {}
    for tag in tags or ():
        key = tag["Key"]
        if key in read:
            raise invalid("Duplicated keys are not allowed.")
        if not key or key.lower().startswith("aws:"):
            raise invalid("Tags Reason: tag keys are not empty and do not begin with aws:")
        read[key] = tag["Value"]
    return bounded_tags(read)


def bounded_tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > 50:
        raise ServiceError(
            "TagLimitExceeded", "Could not complete request: tag quota of per resource exceeded"
        )
    return tags
