"""Messages in SNS's JSON, and the links in them."""

import base64
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from outcrop.topics.messages import Attribute, Message
from outcrop.topics.signatures import Signer, signed_text

VERSION: Final = "2010-03-31"


def confirm_url(base_url: str, message: Message) -> str:
    return _link(base_url, "ConfirmSubscription", TopicArn=message.topic_arn, Token=message.token)


def unsubscribe_url(base_url: str, subscription_arn: str) -> str:
    return _link(base_url, "Unsubscribe", SubscriptionArn=subscription_arn)


def _link(base_url: str, action: str, **fields: str | None) -> str:
    # A URL that names no service and is not signed is found by the version of its form.
    query = urlencode({"Action": action, **fields, "Version": VERSION}, safe=":")
    return f"{base_url.rstrip('/')}/?{query}"


def envelope(
    message: Message, signer: Signer, version: str, base_url: str, subscription_arn: str
) -> dict[str, Any]:
    subscribe = confirm_url(base_url, message) if message.token is not None else None
    members: dict[str, Any] = {
        "Type": message.kind,
        "MessageId": message.id,
        **({} if message.token is None else {"Token": message.token}),
        "TopicArn": message.topic_arn,
        **({} if message.subject is None else {"Subject": message.subject}),
        "Message": message.body,
        **({} if subscribe is None else {"SubscribeURL": subscribe}),
        "Timestamp": message.timestamp,
        "SignatureVersion": version,
        "Signature": signer.sign(signed_text(message, subscribe), version),
        "SigningCertURL": base_url.rstrip("/") + signer.path,
    }
    if message.kind == "Notification":
        members["UnsubscribeURL"] = unsubscribe_url(base_url, subscription_arn)
    if message.attributes:
        members["MessageAttributes"] = {
            name: {"Type": each.type, "Value": _value(each)}
            for name, each in message.attributes.items()
        }
    return members


def render(members: dict[str, Any]) -> bytes:
    """Indented by two, as AWS writes it."""
    return msgspec.json.format(msgspec.json.encode(members), indent=2)


def _value(attribute: Attribute) -> str:
    if attribute.binary is not None:
        return base64.b64encode(attribute.binary).decode()
    return attribute.text or ""
