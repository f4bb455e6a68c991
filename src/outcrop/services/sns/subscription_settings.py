"""The attributes of subscriptions: which there are, and what each may be.

Errors are without what names the parameter: Subscribe says ``Attributes Reason:`` before them.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from outcrop.services.sns.requests import invalid
from outcrop.stores.topic_records import Scope, Subscription
from outcrop.topics.arns import read_queue_arn
from outcrop.topics.filter_policies import BadFilterPolicy, Fields, parse_filter_policy
from outcrop.topics.policy_json import MalformedJson, read_tokens
from outcrop.topics.retries import BadDeliveryPolicy, parse_subscription_policy

_SCOPES: Final = ("MessageAttributes", "MessageBody")
_ORDER: Final = ("FilterPolicyScope", "FilterPolicy")
_UNSUPPORTED: Final = ("SubscriptionRoleArn", "ReplayPolicy")
_RAW: Final = ("sqs", "http", "https")

Changes = Mapping[str, Any]


class BadAttribute(Exception):
    pass


find_filter = lru_cache(maxsize=1024)(parse_filter_policy)
"""Policies are read once, not with every message."""


def filter_of(subscription: Subscription) -> Fields | None:
    text = subscription.filter_policy
    return find_filter(text, subscription.filter_scope) if text is not None else None


def with_all(subscription: Subscription, attributes: Mapping[str, str], arn: str) -> Subscription:
    """For Subscribe."""
    later = [name for name in attributes if name not in _ORDER]
    for name in (*_ORDER, *later):
        if name in attributes:
            try:
                subscription = with_one(subscription, name, attributes[name], arn)
            except BadAttribute as error:
                raise invalid(f"Attributes Reason: {error}") from error
    return subscription


def set_one(subscription: Subscription, name: str, value: str, arn: str) -> Subscription:
    """For SetSubscriptionAttributes."""
    try:
        return with_one(subscription, name, value, arn)
    except BadAttribute as error:
        raise invalid(str(error)) from error


def with_one(subscription: Subscription, name: str, value: str, arn: str) -> Subscription:
    """``arn`` is the topic's."""
    setter = _SETTERS.get(name)
    if setter is None:
        reason = " Reason: it is not supported by Outcrop" if name in _UNSUPPORTED else ""
        raise BadAttribute(f"{name}{reason}" if reason else "AttributeName")
    return msgspec.structs.replace(subscription, **setter(subscription, value, arn))


def _raw(subscription: Subscription, value: str, _arn: str) -> Changes:
    if value not in ("true", "false"):
        raise BadAttribute(f"RawMessageDelivery: Invalid value [{value}]. Must be true or false.")
    if value == "true" and subscription.protocol not in _RAW:
        raise BadAttribute(
            f"RawMessageDelivery: the protocol {subscription.protocol} has no raw messages."
        )
    return {"raw": value == "true"}


def _filter_policy(subscription: Subscription, value: str, _arn: str) -> Changes:
    if value in ("", "{}"):
        return {"filter_policy": None}
    _check_filter(value, subscription.filter_scope)
    return {"filter_policy": value}


def _filter_scope(subscription: Subscription, value: str, _arn: str) -> Changes:
    if value not in _SCOPES:
        raise BadAttribute(
            f"FilterPolicyScope: Invalid value [{value}]. "
            "Please use either MessageBody or MessageAttributes"
        )
    scope: Scope = value
    if subscription.filter_policy is not None:
        _check_filter(subscription.filter_policy, scope)
    return {"filter_scope": scope}


def _check_filter(text: str, scope: Scope) -> None:
    try:
        find_filter(text, scope)
    except BadFilterPolicy as error:
        said = str(error) if error.is_whole else f"FilterPolicy: {error}"
        raise BadAttribute(said) from error


def _delivery_policy(subscription: Subscription, value: str, _arn: str) -> Changes:
    if not value:
        return {"delivery_policy": None}
    if subscription.protocol not in ("http", "https"):
        raise BadAttribute("DeliveryPolicy: only http and https endpoints have one")
    try:
        parse_subscription_policy(value)
    except BadDeliveryPolicy as error:
        raise BadAttribute(f"DeliveryPolicy: {error}") from error
    return {"delivery_policy": value}


def _redrive_policy(_subscription: Subscription, value: str, arn: str) -> Changes:
    if not value:
        return {"redrive_policy": None}
    try:
        read_tokens(value)
    except MalformedJson as error:
        raise BadAttribute(f"RedrivePolicy: failed to parse JSON. {error}") from error
    policy: Any = msgspec.json.decode(value)
    given = cast("dict[str, Any]", policy) if isinstance(policy, dict) else {}
    target = given.get("deadLetterTargetArn")
    queue = read_queue_arn(target) if isinstance(target, str) else None
    if queue is None or len(given) != 1:
        raise BadAttribute("RedrivePolicy: deadLetterTargetArn must be the ARN of an SQS queue")
    if queue.is_fifo:
        raise BadAttribute("RedrivePolicy: a FIFO queue cannot be the DLQ of a standard topic")
    if [queue.region, queue.account] != arn.split(":")[3:5]:
        raise BadAttribute("RedrivePolicy: the DLQ must be in the topic's account and region")
    return {"redrive_policy": value}


_SETTERS: Final[Mapping[str, Callable[[Subscription, str, str], Changes]]] = {
    "DeliveryPolicy": _delivery_policy,
    "FilterPolicy": _filter_policy,
    "FilterPolicyScope": _filter_scope,
    "RawMessageDelivery": _raw,
    "RedrivePolicy": _redrive_policy,
}
