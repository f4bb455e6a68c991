"""Messages as they are published, and as the jobs that deliver them keep them."""

from datetime import datetime
from typing import Any, Final, Literal

import msgspec

MAX_BYTES: Final = 256 * 1024

Kind = Literal["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]


class Attribute(msgspec.Struct, frozen=True, omit_defaults=True):
    """``type`` is ``String``, ``Number``, ``Binary`` or ``String.Array``, with a dot and more where
    the publisher said more."""

    type: str
    text: str | None = None
    binary: bytes | None = None

    @property
    def size(self) -> int:
        held = self.binary if self.text is None else self.text.encode("utf-8", "surrogatepass")
        return len(self.type.encode("utf-8", "surrogatepass")) + len(held or b"")


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message for one subscription."""

    id: str
    topic_arn: str
    body: str
    at: datetime
    kind: Kind = "Notification"
    subject: str | None = None
    attributes: dict[str, Attribute] = msgspec.field(default_factory=dict[str, Attribute])
    token: str | None = None

    @property
    def timestamp(self) -> str:
        return self.at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{self.at.microsecond // 1000:03d}Z"


class Sealed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message under a data key, which is under the KMS key ``key_arn``."""

    body: bytes
    data_key: bytes
    key_arn: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The payload of a job. Its subject is the subscription's ARN. ``message`` is the message's
    JSON, which ``sealed`` holds instead for a topic with a KMS key. Where it goes, the
    subscription says when it is delivered."""

    topic_arn: str
    message: bytes = b""
    sealed: Sealed | None = None


def encode_message(message: Message) -> bytes:
    return msgspec.json.encode(message)


def decode_message(text: bytes) -> Message:
    return msgspec.json.decode(text, type=Message)


def to_payload(delivery: Delivery) -> dict[str, Any]:
    return msgspec.to_builtins(delivery)


def from_payload(payload: Any) -> Delivery:
    return msgspec.convert(dict(payload), Delivery)
