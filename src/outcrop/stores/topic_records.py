"""SNS's topics and subscriptions, and the deployment's key that signs what they send, as kept."""

from datetime import datetime
from typing import ClassVar, Literal

import msgspec

from outcrop.stores.resources import Record

State = Literal["pending", "confirmed", "cancelled"]
Protocol = Literal["http", "https", "email", "email-json", "sqs"]
Scope = Literal["MessageAttributes", "MessageBody"]


class Topic(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Named by its name, in the account of its owner. Texts are as they were given; ``policy`` is
    always there."""

    KIND: ClassVar[str] = "sns:topic"

    policy: str
    display_name: str = ""
    delivery_policy: str | None = None
    kms_key: str | None = None
    signature_version: Literal["1", "2"] = "1"


class Subscription(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Its parent is the topic's ARN; named ``<topic account>:<topic>:<id>`` in the account of who
    subscribed. ``token`` is sealed with its ARN; with it the endpoint confirms until
    ``expires_at``. One that its endpoint left is ``cancelled``: the token brings it back."""

    KIND: ClassVar[str] = "sns:subscription"

    protocol: Protocol
    endpoint: str
    state: State
    principal: str
    token: bytes = b""
    expires_at: datetime | None = None
    was_authenticated: bool = False
    needs_authentication: bool = False
    raw: bool = False
    filter_policy: str | None = None
    filter_scope: Scope = "MessageAttributes"
    delivery_policy: str | None = None
    redrive_policy: str | None = None

    def is_there(self, now: datetime) -> bool:
        """A confirmed one is; one that is pending, until its token ends."""
        if self.state == "pending":
            return self.expires_at is not None and now < self.expires_at
        return self.state == "confirmed"


class SigningKey(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One for the deployment. ``certificate`` is PEM, ``key`` a sealed private key (DER)."""

    KIND: ClassVar[str] = "sns:signing-key"

    certificate: bytes
    key: bytes


HELD: tuple[type[Record], ...] = (Subscription, Topic)


def topic_arn(region: str, account: str, name: str) -> str:
    return f"arn:aws:sns:{region}:{account}:{name}"


class TopicName(msgspec.Struct, frozen=True):
    """What a topic's ARN holds."""

    region: str
    account: str
    name: str

    @property
    def arn(self) -> str:
        return topic_arn(self.region, self.account, self.name)


def read_topic_arn(text: str) -> TopicName | None:
    parts = text.split(":")
    if len(parts) != 6 or parts[:3] != ["arn", "aws", "sns"] or not all(parts[3:]):
        return None
    return TopicName(parts[3], parts[4], parts[5])


def topic_of(subscription_arn: str) -> TopicName | None:
    """The topic that a subscription's ARN begins with."""
    return read_topic_arn(subscription_arn.rpartition(":")[0])
