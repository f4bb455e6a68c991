"""The attributes of queues: which there are, what they may hold, and what holds by default.

They travel as texts. An empty text takes a policy, a redrive policy or a key away again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from outcrop.errors import ServiceError
from outcrop.queues.faults import invalid_value, unknown_attribute
from outcrop.security.policy.document import MalformedPolicy, parse_policy

MAX_MESSAGE_BYTES: Final = 1024 * 1024
COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
READ_ONLY: Final = (*COUNTS, "CreatedTimestamp", "LastModifiedTimestamp", "QueueArn")

_NUMBERS: Final = {
    "DelaySeconds": (0, 0, 900),
    "MaximumMessageSize": (MAX_MESSAGE_BYTES, 1024, MAX_MESSAGE_BYTES),
    "MessageRetentionPeriod": (345600, 60, 1209600),
    "ReceiveMessageWaitTimeSeconds": (0, 0, 20),
    "VisibilityTimeout": (30, 0, 43200),
    "KmsDataKeyReusePeriodSeconds": (300, 60, 86400),
}
"""Default, least and most."""

_BOOLEANS: Final = ("SqsManagedSseEnabled", "FifoQueue", "ContentBasedDeduplication")
_CHOICES: Final = {
    "DeduplicationScope": ("queue", "messageGroup"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
_FIFO_ONLY: Final = ("ContentBasedDeduplication", *_CHOICES)
_REMOVABLE: Final = ("Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId")
SETTABLE: Final = (*_NUMBERS, *_BOOLEANS, *_CHOICES, *_REMOVABLE)

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_FIFO_SUFFIX: Final = ".fifo"
_MAX_RECEIVES: Final = 1000
_MOST_DIGITS: Final = 10
"""Python refuses to read numbers of thousands."""
_MAX_SOURCES: Final = 10
_MAX_KEY_CHARACTERS: Final = 2048


@dataclass(frozen=True, slots=True)
class Redrive:
    """Messages that were received ``max_receives`` times go to the queue ``target``."""

    target: str
    max_receives: int


class Settings:
    """What holds of one queue."""

    def __init__(self, attributes: Mapping[str, str]) -> None:
        self._attributes = attributes

    def number(self, name: str) -> int:
        value = self._attributes.get(name)
        return _NUMBERS[name][0] if value is None else int(value)

    @property
    def is_fifo(self) -> bool:
        return self._attributes.get("FifoQueue") == "true"

    @property
    def deduplicates_by_content(self) -> bool:
        return self._attributes.get("ContentBasedDeduplication") == "true"

    @property
    def deduplicates_by_group(self) -> bool:
        return self._attributes.get("DeduplicationScope") == "messageGroup"

    @property
    def kms_key(self) -> str | None:
        return self._attributes.get("KmsMasterKeyId")

    @property
    def is_sealed(self) -> bool:
        """With the deployment's own key, which stands for the one that SQS manages."""
        return self.kms_key is None and self._attributes.get("SqsManagedSseEnabled") != "false"

    @property
    def redrive(self) -> Redrive | None:
        text = self._attributes.get("RedrivePolicy")
        return None if text is None else read_redrive(text)

    def shown(self) -> dict[str, str]:
        """All that GetQueueAttributes tells of the settings."""
        numbers = {name: str(self.number(name)) for name in _NUMBERS}
        if self.kms_key is None:
            del numbers["KmsDataKeyReusePeriodSeconds"]
        fifo = {
            "ContentBasedDeduplication": "false",
            "DeduplicationScope": "queue",
            "FifoThroughputLimit": "perQueue",
        }
        sealed = {"SqsManagedSseEnabled": "true" if self.is_sealed else "false"}
        return {**numbers, **(fifo if self.is_fifo else {}), **self._attributes, **sealed}


def check_name(name: str, attributes: Mapping[str, str]) -> None:
    if attributes.get("FifoQueue") == "true":
        stem = name.removesuffix(_FIFO_SUFFIX)
        if stem == name or not _NAME.fullmatch(stem) or len(name) > 80:
            raise ServiceError(
                "InvalidParameterValue",
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or "
                "underscores, must end with .fifo suffix and be 1 to 80 in length",
            )
    elif not _NAME.fullmatch(name):
        raise ServiceError(
            "InvalidParameterValue",
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        )


def check_new(attributes: Mapping[str, str]) -> None:
    """The attributes that a queue is made with."""
    is_fifo = attributes.get("FifoQueue") == "true"
    if not is_fifo:
        _refuse_fifo(attributes)
    if attributes.get("FifoQueue") == "false":
        # A standard queue is one by leaving the attribute out.
        raise unknown_attribute("FifoQueue")
    _check_values(attributes)
    _check_together(attributes)


def check_changes(attributes: Mapping[str, str], known: Mapping[str, str]) -> None:
    """``known`` are those that the queue has."""
    is_fifo = known.get("FifoQueue") == "true"
    if "FifoQueue" in attributes and not (is_fifo and attributes["FifoQueue"] == "true"):
        raise unknown_attribute("FifoQueue")
    if not is_fifo:
        _refuse_fifo(attributes)
    _check_values(attributes)
    _check_together(changed(known, attributes))


def changed(known: Mapping[str, str], attributes: Mapping[str, str]) -> dict[str, str]:
    merged = {**known, **attributes}
    if attributes.get("KmsMasterKeyId"):
        merged.pop("SqsManagedSseEnabled", None)
    elif attributes.get("SqsManagedSseEnabled") == "true":
        merged.pop("KmsMasterKeyId", None)
    return {name: value for name, value in merged.items() if value or name not in _REMOVABLE}


def read_redrive(text: str) -> Redrive:
    """Raises the error of SQS where it is none."""
    held = _map("RedrivePolicy", text, "Redrive policy is not a valid JSON map.")
    for name in ("deadLetterTargetArn", "maxReceiveCount"):
        if name not in held:
            reason = f"Redrive policy does not contain mandatory attribute: {name}."
            raise invalid_value("RedrivePolicy", text, reason)
    for name in held:
        if name not in ("deadLetterTargetArn", "maxReceiveCount"):
            reason = f"Redrive policy contains an unknown attribute: {name}."
            raise invalid_value("RedrivePolicy", text, reason)
    count = str(held["maxReceiveCount"])
    target = held["deadLetterTargetArn"]
    is_number = count.isascii() and count.isdigit() and len(count) < _MOST_DIGITS
    if not is_number or not 1 <= int(count) <= _MAX_RECEIVES:
        reason = (
            f"Invalid value for maxReceiveCount: {count}, valid values are from 1 to "
            f"{_MAX_RECEIVES} both inclusive."
        )
        raise invalid_value("RedrivePolicy", text, reason)
    if not isinstance(target, str):
        raise invalid_value("RedrivePolicy", text, "Invalid value for deadLetterTargetArn.")
    return Redrive(target, int(count))


def allows_source(text: str | None, source_arn: str) -> bool:
    """Whether a RedriveAllowPolicy lets the queue be the dead-letter queue of the source."""
    if text is None:
        return True
    allowed = _map("RedriveAllowPolicy", text, "Amazon SQS can't create the redrive allow policy.")
    if allowed.get("redrivePermission") == "byQueue":
        return source_arn in cast(list[Any], allowed.get("sourceQueueArns", []))
    return allowed.get("redrivePermission") != "denyAll"


def _refuse_fifo(attributes: Mapping[str, str]) -> None:
    for name in _FIFO_ONLY:
        if name not in attributes:
            continue
        if name == "ContentBasedDeduplication":
            raise unknown_attribute(name)
        raise ServiceError(
            "InvalidAttributeName",
            f"You can specify the {name} only when FifoQueue is set to true.",
        )


def _check_values(attributes: Mapping[str, str]) -> None:
    for name, value in attributes.items():
        if name not in SETTABLE:
            raise unknown_attribute(name)
        if value == "" and name in _REMOVABLE:
            continue
        if not _is_valid(name, value):
            raise ServiceError("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
        if name == "RedrivePolicy":
            read_redrive(value)
        if name == "RedriveAllowPolicy":
            _check_allow(value)


def _is_valid(name: str, value: str) -> bool:
    if name in _NUMBERS:
        _, least, most = _NUMBERS[name]
        is_number = value.isascii() and value.isdigit() and len(value) < 10
        return is_number and least <= int(value) <= most
    if name in _BOOLEANS:
        return value in ("true", "false")
    if name in _CHOICES:
        return value in _CHOICES[name]
    if name == "Policy":
        return _is_policy(value)
    return name != "KmsMasterKeyId" or len(value) <= _MAX_KEY_CHARACTERS


def _is_policy(text: str) -> bool:
    try:
        parse_policy(text, "resource")
    except MalformedPolicy:
        return False
    return True


def _check_together(attributes: Mapping[str, str]) -> None:
    if attributes.get("KmsMasterKeyId") and attributes.get("SqsManagedSseEnabled") == "true":
        raise ServiceError(
            "InvalidAttributeValue",
            "You can use one type of server-side encryption (SSE) at one time. You can either "
            "enable KMS SSE or SQS SSE.",
        )
    if (
        attributes.get("FifoThroughputLimit") == "perMessageGroupId"
        and attributes.get("DeduplicationScope") != "messageGroup"
    ):
        raise ServiceError(
            "InvalidAttributeValue",
            "The perMessageGroupId value of FifoThroughputLimit is allowed only when the value "
            "for DeduplicationScope is messageGroup.",
        )


def _check_allow(text: str) -> None:
    held = _map("RedriveAllowPolicy", text, "Amazon SQS can't create the redrive allow policy.")
    permission, sources = held.get("redrivePermission"), held.get("sourceQueueArns")
    if permission not in ("allowAll", "denyAll", "byQueue"):
        reason = "redrivePermission is allowAll, denyAll or byQueue."
        raise invalid_value("RedriveAllowPolicy", text, reason)
    listed = cast(list[Any], sources) if isinstance(sources, list) else []
    is_listed = 1 <= len(listed) <= _MAX_SOURCES and all(isinstance(one, str) for one in listed)
    if (permission == "byQueue") != is_listed or (permission != "byQueue" and sources is not None):
        reason = f"sourceQueueArns are 1 to {_MAX_SOURCES} ARNs, with byQueue and only with it."
        raise invalid_value("RedriveAllowPolicy", text, reason)


def _map(parameter: str, text: str, otherwise: str) -> dict[str, Any]:
    try:
        held = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise invalid_value(parameter, text, otherwise) from error
    if not isinstance(held, dict):
        raise invalid_value(parameter, text, otherwise)
    return cast(dict[str, Any], held)
