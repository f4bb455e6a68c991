"""Delivery policies of HTTP endpoints: how often a failed delivery is tried again, and when.

A policy is AWS's JSON, of a topic or of one subscription. Members that Outcrop does not honour are
refused when it is set.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, Literal, cast

import msgspec

from outcrop.topics.endpoints import CONTENT_TYPE
from outcrop.topics.policy_json import MalformedJson, read_tokens

_CONTENT_TYPES: Final = frozenset(
    {
        "application/json",
        "application/octet-stream",
        "application/soap+xml",
        "application/x-www-form-urlencoded",
        "application/xml",
        "text/css",
        "text/csv",
        "text/html",
        "text/markdown",
        "text/plain",
        "text/plain; charset=UTF-8",
        "text/xml",
    }
)


class BadDeliveryPolicy(Exception):
    pass


class Retries(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds and counts, with AWS's defaults. What is left of ``numRetries`` after those without,
    with the least and with the greatest delay is spread between by the function."""

    minDelayTarget: int = 20
    maxDelayTarget: int = 20
    numRetries: int = 3
    numNoDelayRetries: int | None = 0
    numMinDelayRetries: int | None = 0
    numMaxDelayRetries: int | None = 0
    backoffFunction: Literal["arithmetic", "exponential", "geometric", "linear"] = "linear"

    def __post_init__(self) -> None:
        if not 1 <= self.minDelayTarget <= self.maxDelayTarget <= 3600:
            raise ValueError("1 <= minDelayTarget <= maxDelayTarget <= 3600 must hold")
        if not 0 <= self.numRetries <= 100:
            raise ValueError("numRetries must be from 0 to 100")
        if min(self._phases()) < 0 or sum(self._phases()) > self.numRetries:
            raise ValueError("the retries of all phases must be at most numRetries")

    def _phases(self) -> tuple[int, int, int]:
        counts = (self.numNoDelayRetries, self.numMinDelayRetries, self.numMaxDelayRetries)
        none, least, greatest = (count or 0 for count in counts)
        return none, least, greatest

    def delays(self) -> Iterator[float]:
        none, least, greatest = self._phases()
        between = self.numRetries - none - least - greatest
        yield from [0.0] * none
        yield from [float(self.minDelayTarget)] * least
        for step in range(1, between + 1):
            yield self._between(step / between)
        yield from [float(self.maxDelayTarget)] * greatest

    def _between(self, part: float) -> float:
        low, high = self.minDelayTarget, self.maxDelayTarget
        match self.backoffFunction:
            case "linear":
                return low + (high - low) * part
            case "arithmetic":
                return low + (high - low) * (part + part * part) / 2
            case "geometric":
                return low * (high / low) ** part
            case "exponential":
                return low + (high - low) * math.expm1(part) / math.expm1(1)

    def next_pause(self, age: timedelta) -> timedelta | None:
        """Until the next attempt of a delivery of this age; None after the last."""
        due = 0.0
        for delay in self.delays():
            due += delay
            if due > age.total_seconds():
                return timedelta(seconds=due) - age
        return None


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """How HTTP endpoints are served. Without ``retries`` a delivery is tried for a day."""

    retries: Retries | None = None
    content_type: str | None = None

    def topic_text(self) -> str:
        """As a topic's attribute."""
        http: dict[str, Any] = {"disableSubscriptionOverrides": False}
        if self.retries is not None:
            http["defaultHealthyRetryPolicy"] = msgspec.to_builtins(self.retries)
        http["defaultRequestPolicy"] = {"headerContentType": self.content_type or CONTENT_TYPE}
        return msgspec.json.encode({"http": http}).decode()


def parse_topic_policy(text: str) -> Http:
    """``{"http": {"defaultHealthyRetryPolicy": …, "defaultRequestPolicy": …}}``"""
    top = _object(text)
    _only(top, "http")
    http: dict[str, Any] = top.get("http", {})
    _only(
        http,
        "defaultHealthyRetryPolicy",
        "disableSubscriptionOverrides",
        "defaultRequestPolicy",
        "defaultSicklyRetryPolicy",
        "defaultThrottlePolicy",
    )
    for name in ("defaultSicklyRetryPolicy", "defaultThrottlePolicy"):
        _refuse(http, name)
    if http.get("disableSubscriptionOverrides"):
        raise BadDeliveryPolicy("disableSubscriptionOverrides is not supported by Outcrop")
    return _http(http.get("defaultHealthyRetryPolicy"), http.get("defaultRequestPolicy"))


def parse_subscription_policy(text: str) -> Http:
    """``{"healthyRetryPolicy": …, "requestPolicy": …}``"""
    top = _object(text)
    _only(
        top,
        "healthyRetryPolicy",
        "sicklyRetryPolicy",
        "throttlePolicy",
        "requestPolicy",
        "guaranteed",
    )
    for name in ("sicklyRetryPolicy", "throttlePolicy", "guaranteed"):
        _refuse(top, name)
    return _http(top.get("healthyRetryPolicy"), top.get("requestPolicy"))


def effective(topic: str | None, subscription: str | None) -> Http:
    """The subscription's own, and where it is silent the topic's."""
    general = parse_topic_policy(topic) if topic else Http()
    own = parse_subscription_policy(subscription) if subscription else Http()
    return Http(
        retries=own.retries or general.retries,
        content_type=own.content_type or general.content_type,
    )


def _http(retries: Any, request: Any) -> Http:
    content_type: Any = None
    if request is not None:
        _only(request, "headerContentType")
        content_type = request.get("headerContentType")
        if not isinstance(content_type, str) or content_type not in _CONTENT_TYPES:
            raise BadDeliveryPolicy(f"headerContentType {content_type!r} is not supported")
    try:
        read = None if retries is None else msgspec.convert(retries, Retries)
    except msgspec.ValidationError as error:
        raise BadDeliveryPolicy(str(error)) from error
    return Http(retries=read, content_type=content_type)


def _object(text: str) -> Mapping[str, Any]:
    try:
        read_tokens(text)
    except MalformedJson as error:
        raise BadDeliveryPolicy(f"failed to parse JSON. {error}") from error
    value: Any = msgspec.json.decode(text)
    if not isinstance(value, dict):
        raise BadDeliveryPolicy("it must be an object")
    return cast("dict[str, Any]", value)


def _only(value: Any, *known: str) -> None:
    if not isinstance(value, Mapping):
        raise BadDeliveryPolicy("an object was expected")
    unknown = sorted(set(cast("Mapping[str, Any]", value)) - set(known))
    if unknown:
        raise BadDeliveryPolicy(f"unknown member {unknown[0]!r}")


def _refuse(value: Mapping[str, Any], name: str) -> None:
    """An empty one asks for nothing."""
    asked = value.get(name)
    if asked not in (None, {}, False) and not (
        isinstance(asked, Mapping)
        and all(each is None for each in cast("Mapping[str, Any]", asked).values())
    ):
        raise BadDeliveryPolicy(f"{name} is not supported by Outcrop; leave it out")
