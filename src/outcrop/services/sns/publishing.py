"""Publish and PublishBatch: a message becomes one job for each subscription that it passes.

The answer is given when the jobs are committed; from then on no message is lost.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import uuid4

import msgspec

from outcrop.errors import AWSError, ServiceError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sns.deliveries import submit_delivery
from outcrop.services.sns.message_attributes import read_attributes
from outcrop.services.sns.requests import Params, get_topic, invalid, list_subscriptions_of
from outcrop.services.sns.subscription_settings import filter_of
from outcrop.stores.kms_managed import ensure_managed_key
from outcrop.stores.kms_records import read_reference
from outcrop.stores.resources import Item
from outcrop.stores.topic_records import Protocol, Subscription, Topic
from outcrop.topics.filter_matching import attributes_pass, body_passes
from outcrop.topics.messages import (
    MAX_BYTES,
    Attribute,
    Delivery,
    Message,
    Sealed,
    encode_message,
)
from outcrop.topics.sealing import context_of, seal_message

_MAX_SUBJECT: Final = 100
_MAX_ENTRIES: Final = 10
_MAX_ID: Final = 80
_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_PHONE: Final = re.compile(r"\+[1-9][0-9]{4,14}")
_DEFAULT_KEY: Final = "alias/aws/sns"


@dataclass(frozen=True, slots=True)
class Published:
    """What is published; ``bodies`` are those of single protocols, where it has different ones."""

    id: str
    body: str
    bodies: Mapping[str, str]
    subject: str | None
    attributes: dict[str, Attribute]

    @property
    def size(self) -> int:
        texts = (self.body, *self.bodies.values())
        held = sum(
            len(name.encode("utf-8", "surrogatepass")) + each.size
            for name, each in self.attributes.items()
        )
        return max(len(text.encode("utf-8", "surrogatepass")) for text in texts) + held


@dataclass(frozen=True, slots=True)
class DataKey:
    """One for a request."""

    plaintext: bytes
    ciphertext: bytes
    key_arn: str


@operation
async def publish(call: Call, params: Params) -> dict[str, Any]:
    target = _target(params)
    published = _read(params)
    if published.size > MAX_BYTES:
        raise invalid("Message too long")
    await _send(call, target, [published])
    return {"MessageId": published.id}


@operation
async def publish_batch(call: Call, params: Params) -> dict[str, Any]:
    entries: Sequence[Params] = params["PublishBatchRequestEntries"]
    _check_ids([entry["Id"] for entry in entries])
    read: dict[str, Published] = {}
    failed: list[dict[str, Any]] = []
    for entry in entries:
        try:
            read[entry["Id"]] = _read(entry)
        except AWSError as error:
            said = {"Code": error.code, "Message": error.message, "SenderFault": True}
            failed.append({"Id": entry["Id"], **said})
    if sum(each.size for each in read.values()) > MAX_BYTES:
        raise ServiceError(
            "BatchRequestTooLong",
            "The length of all the messages put together is more than the limit.",
        )
    await _send(call, params["TopicArn"], list(read.values()))
    done = [{"Id": id, "MessageId": each.id} for id, each in read.items()]
    return {"Successful": done, "Failed": failed}


def _target(params: Params) -> str:
    number = params.get("PhoneNumber")
    if number is not None:
        if not _PHONE.fullmatch(number):
            raise invalid(f"PhoneNumber Reason: {number} is not valid to publish to")
        raise invalid("PhoneNumber Reason: Outcrop sends no text messages")
    member = "TopicArn" if "TopicArn" in params else "TargetArn"
    target = params.get(member)
    if target is None:
        raise invalid("TopicArn or TargetArn Reason: no value for required parameter")
    if member == "TargetArn" and target.split(":")[5:6] and "/" in target.split(":")[5]:
        raise invalid("TargetArn Reason: No endpoint found for the target arn specified")
    return target


def _read(params: Params) -> Published:
    body = params["Message"]
    if not body:
        raise invalid("Empty message")
    for member in ("MessageDeduplicationId", "MessageGroupId"):
        if member in params:
            reason = "it is of FIFO topics, which Outcrop does not have"
            raise invalid(f"{member} Reason: {reason}")
    subject = params.get("Subject")
    if subject is not None and not (0 < len(subject) <= _MAX_SUBJECT and subject.isprintable()):
        raise invalid("Subject")
    bodies: Mapping[str, str] = {}
    structure = params.get("MessageStructure")
    if structure == "json":
        bodies = _bodies(body)
        body = bodies["default"]
    elif structure is not None:
        raise invalid("MessageStructure")
    attributes = read_attributes(params.get("MessageAttributes", {}))
    return Published(str(uuid4()), body, bodies, subject, attributes)


def _bodies(text: str) -> dict[str, str]:
    try:
        decoded: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise invalid("Message Structure - JSON message body failed to parse") from error
    if not isinstance(decoded, dict):
        raise invalid("Message Structure - JSON message body failed to parse")
    given = cast("dict[str, Any]", decoded)
    if not isinstance(given.get("default"), str):
        raise invalid("Message Structure - No default entry in JSON message body")
    # AWS takes no notice of values that are no text.
    return {name: each for name, each in given.items() if isinstance(each, str)}


def _check_ids(ids: Sequence[str]) -> None:
    if not ids:
        raise ServiceError("EmptyBatchRequest", "The batch request doesn't contain any entries.")
    if len(ids) > _MAX_ENTRIES:
        raise ServiceError(
            "TooManyEntriesInBatchRequest",
            "The batch request contains more entries than permissible.",
        )
    for id in ids:
        if len(id) > _MAX_ID:
            said = f"The Id of a batch entry in the batch request is too long: {id}"
            raise ServiceError("InvalidBatchEntryId", said)
        if not _ID.fullmatch(id):
            said = (
                "The Id of a batch entry in the batch request contains an impermissible "
                f"character: {id}"
            )
            raise ServiceError("InvalidBatchEntryId", said)
    if len(set(ids)) != len(ids):
        raise ServiceError(
            "BatchEntryIdsNotDistinct",
            "Two or more batch entries in the request have the same Id.",
        )


async def _send(call: Call, topic_arn: str, messages: Sequence[Published]) -> None:
    async with call.stores.resources.reading() as view:
        topic = await get_topic(view, call, topic_arn)
        held = await list_subscriptions_of(view, topic.arn or "")
    # Asked for also where nobody has subscribed: who may not use the key may not publish.
    key = await _data_key(call, topic)
    deliveries = [
        (subscription.arn or "", delivery)
        for subscription in held
        if subscription.record.state == "confirmed"
        for published in messages
        if (delivery := _find_delivery(call, subscription, published, key)) is not None
    ]
    if deliveries:
        async with call.stores.resources.writing() as transaction:
            for arn, delivery in deliveries:
                await submit_delivery(transaction, arn, delivery)


def _find_delivery(
    call: Call, subscription: Item[Subscription], published: Published, key: DataKey | None
) -> Delivery | None:
    """None where the subscription's filter does not let the message pass."""
    body = _body_for(published, subscription.record.protocol)
    if not _passes(subscription.record, published, body):
        return None
    arn = subscription.parent
    message = Message(
        id=published.id,
        topic_arn=arn,
        body=body,
        at=call.now,
        subject=published.subject,
        attributes=published.attributes,
    )
    text = encode_message(message)
    if key is None:
        return Delivery(topic_arn=arn, message=text)
    sealed = Sealed(
        body=seal_message(key.plaintext, text, arn),
        data_key=key.ciphertext,
        key_arn=key.key_arn,
    )
    return Delivery(topic_arn=arn, sealed=sealed)


def _body_for(published: Published, protocol: Protocol) -> str:
    return published.bodies.get(protocol, published.body)


def _passes(record: Subscription, published: Published, body: str) -> bool:
    fields = filter_of(record)
    if fields is None:
        return True
    if record.filter_scope == "MessageBody":
        return body_passes(fields, body)
    return attributes_pass(fields, published.attributes)


async def _data_key(call: Call, topic: Item[Topic]) -> DataKey | None:
    """Who publishes needs kms:GenerateDataKey and kms:Decrypt for the topic's key."""
    name, arn = topic.record.kms_key, topic.arn or ""
    if name is None:
        return None
    account, region = topic.place.account, topic.place.region
    if name == _DEFAULT_KEY:
        await ensure_managed_key(call.stores, account, region, "sns", call.now)
    # A short name is one of the topic's account, whoever publishes.
    reference = read_reference(name, region, account)
    context = context_of(arn)
    asked = {"KeyId": reference.arn if reference else name, "EncryptionContext": context}
    made = await _ask_kms(call, "GenerateDataKey", {**asked, "KeySpec": "AES_256"})
    blob = made["CiphertextBlob"]
    opened = {"KeyId": made["KeyId"], "CiphertextBlob": blob, "EncryptionContext": context}
    await _ask_kms(call, "Decrypt", opened)
    return DataKey(made["Plaintext"], blob, made["KeyId"])


async def _ask_kms(call: Call, operation: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return await call.perform("kms", operation, params, via=f"sns.{call.region}.amazonaws.com")
    except AWSError as error:
        raise ServiceError(_KMS.get(error.code, "KMSAccessDenied"), error.message) from error


_KMS: Final = {
    "AccessDeniedException": "KMSAccessDenied",
    "DisabledException": "KMSDisabled",
    "KMSInvalidStateException": "KMSInvalidState",
    "NotFoundException": "KMSNotFound",
    "ThrottlingException": "KMSThrottling",
}
