"""Delivers messages to their subscriptions.

What an endpoint does not take is tried again, and at last goes to the subscription's dead-letter
queue if it has one.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from outcrop.config import Mail
from outcrop.errors import AWSError
from outcrop.jobs.delivery import KEPT, Clock, NotDelivered
from outcrop.jobs.queue import Job, RetryLater
from outcrop.services.background import Background
from outcrop.services.service_callers import SNS, service_caller
from outcrop.services.sns.deliveries import FindUrl
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Place
from outcrop.stores.topic_records import Subscription, Topic, read_topic_arn
from outcrop.topics.arns import read_queue_arn
from outcrop.topics.endpoints import Undeliverable, headers_of, post
from outcrop.topics.envelopes import envelope, render
from outcrop.topics.mail import send_mail, sender_name, subject_of, text_of, write_mail
from outcrop.topics.messages import (
    Attribute,
    Message,
    decode_message,
    from_payload,
)
from outcrop.topics.retries import effective
from outcrop.topics.sealing import open_message
from outcrop.topics.signatures import Signers

log = logging.getLogger(__name__)

_MAX_RAW_ATTRIBUTES: Final = 10
"""As many as SQS takes."""


@dataclass(frozen=True, slots=True)
class _Parcel:
    """One message on its way."""

    topic: Item[Topic]
    subscription: Item[Subscription]
    message: Message

    @property
    def arn(self) -> str:
        return self.subscription.arn or ""

    @property
    def is_raw(self) -> bool:
        return self.subscription.record.raw and self.message.kind == "Notification"


class Deliveries:
    def __init__(
        self,
        stores: Stores,
        background: Background,
        mail: Mail | None,
        find_url: FindUrl,
        clock: Clock,
    ) -> None:
        self._stores = stores
        self._background = background
        self._mail = mail
        self._find_url = find_url
        self._clock = clock
        self._signers = Signers(stores)

    async def run(self, job: Job) -> None:
        parcel = await self._find(job)
        if parcel is None:
            return
        try:
            await self._deliver(parcel)
        except Undeliverable as error:
            log.error("%s of %s is not delivered: %s", job.kind, job.subject, error)
            await self.lost(job, str(error))
        except NotDelivered as error:
            await self._retry_by_policy(job, parcel, error)

    async def lost(self, job: Job, why: str) -> None:
        """Into the dead-letter queue, which is tried for as long again. What it refuses, and what
        does not open any more, is dropped: nothing of the subscription goes on before."""
        try:
            parcel = await self._find(job)
        except NotDelivered as error:
            log.error("%s of %s is dropped: %s", job.kind, job.subject, error)
            return
        redrive = parcel.subscription.record.redrive_policy if parcel else None
        if parcel is None or redrive is None or parcel.message.kind != "Notification":
            return
        target = str(msgspec.json.decode(redrive)["deadLetterTargetArn"])
        attributes = {
            "RequestID": Attribute("String", job.id),
            "ErrorCode": Attribute("String", "DeliveryFailed"),
            "ErrorMessage": Attribute("String", why or "unknown"),
        }
        body = parcel.message.body if parcel.is_raw else await self._envelope(parcel)
        try:
            await self._send_to_queue(parcel, target, body, attributes)
        except (NotDelivered, Undeliverable) as error:
            is_young = self._clock() - job.created_at < 2 * KEPT
            if is_young and isinstance(error, NotDelivered):
                raise
            log.error("%s of %s is dropped, its queue too: %s", job.kind, job.subject, error)

    async def _find(self, job: Job) -> _Parcel | None:
        """None where nobody waits for it any longer."""
        kept = from_payload(job.payload)
        place = read_topic_arn(kept.topic_arn)
        if place is None:
            return None
        async with self._stores.resources.reading() as view:
            topic = await view.find(Topic, Place(place.account, place.region, place.name))
            subscription = await view.find_arn(Subscription, job.subject)
        if topic is None or subscription is None:
            return None
        text = kept.message
        if kept.sealed is not None:
            text = await open_message(self._stores, kept.sealed, kept.topic_arn)
        message = decode_message(text)
        if subscription.record.state != _STATES[message.kind]:
            return None
        if message.kind != "Notification":
            token = self._stores.sealer.open(subscription.record.token, job.subject.encode())
            message = msgspec.structs.replace(message, token=token.decode())
        return _Parcel(topic, subscription, message)

    async def _retry_by_policy(self, job: Job, parcel: _Parcel, error: NotDelivered) -> None:
        record = parcel.subscription.record
        if record.protocol in ("http", "https"):
            http = effective(parcel.topic.record.delivery_policy, record.delivery_policy)
            if http.retries is not None:
                pause = http.retries.next_pause(self._clock() - job.created_at)
                if pause is not None:
                    raise RetryLater(pause) from error
                log.error("%s of %s is given up: %s", job.kind, job.subject, error)
                await self.lost(job, str(error))
                return
        raise error

    async def _deliver(self, parcel: _Parcel) -> None:
        match parcel.subscription.record.protocol:
            case "http" | "https":
                await self._post(parcel)
            case "email" | "email-json":
                await self._mail_to(parcel)
            case "sqs":
                await self._queue(parcel)

    async def _post(self, parcel: _Parcel) -> None:
        record = parcel.subscription.record
        http = effective(parcel.topic.record.delivery_policy, record.delivery_policy)
        is_notification = parcel.message.kind != "SubscriptionConfirmation"
        headers = headers_of(
            parcel.message,
            parcel.arn if is_notification else None,
            raw=parcel.is_raw,
            content_type=http.content_type,
        )
        body = parcel.message.body if parcel.is_raw else await self._envelope(parcel)
        await post(record.endpoint, headers, body.encode("utf-8", "surrogatepass"))

    async def _mail_to(self, parcel: _Parcel) -> None:
        if self._mail is None:
            raise NotDelivered("No mail server is configured: set [mail] in the configuration.")
        record, message = parcel.subscription.record, parcel.message
        if record.protocol == "email-json":
            text = await self._envelope(parcel)
        else:
            text = text_of(message, await self._url(), parcel.arn)
        name = sender_name(message, parcel.topic.record.display_name)
        written = write_mail(self._mail, record.endpoint, name, subject_of(message), text)
        await asyncio.to_thread(send_mail, self._mail, written)

    async def _queue(self, parcel: _Parcel) -> None:
        target = parcel.subscription.record.endpoint
        if not parcel.is_raw:
            await self._send_to_queue(parcel, target, await self._envelope(parcel), {})
            return
        attributes = parcel.message.attributes
        if len(attributes) > _MAX_RAW_ATTRIBUTES:
            raise Undeliverable("A queue takes at most ten message attributes of a raw message.")
        await self._send_to_queue(parcel, target, parcel.message.body, attributes)

    async def _send_to_queue(
        self, parcel: _Parcel, target: str, body: str, attributes: Mapping[str, Attribute]
    ) -> None:
        queue = read_queue_arn(target)
        if queue is None:
            raise Undeliverable(f"{target} is no queue.")
        params: dict[str, Any] = {"QueueUrl": queue.url, "MessageBody": body}
        if attributes:
            params["MessageAttributes"] = {name: _sqs(each) for name, each in attributes.items()}
        # It acts for the topic, in the region of the queue.
        caller = replace(service_caller(SNS, parcel.topic.arn or ""), region=queue.region)
        try:
            await self._background.perform(caller, "sqs", "SendMessage", params)
        except AWSError as error:
            said = f"{target}: {error.code}: {error.message}"
            if error.status < 500 and "Throttl" not in error.code:
                raise Undeliverable(said) from error
            raise NotDelivered(said) from error

    async def _envelope(self, parcel: _Parcel) -> str:
        signer = await self._signers.get()
        version = parcel.topic.record.signature_version
        members = envelope(parcel.message, signer, version, await self._url(), parcel.arn)
        return render(members).decode()

    async def _url(self) -> str:
        url = await self._find_url()
        if url is None:
            raise NotDelivered("The server does not listen yet.")
        return url


_STATES: Final = {
    "Notification": "confirmed",
    "SubscriptionConfirmation": "pending",
    "UnsubscribeConfirmation": "cancelled",
}


def _sqs(attribute: Attribute) -> dict[str, Any]:
    if attribute.binary is not None:
        return {"DataType": attribute.type, "BinaryValue": attribute.binary}
    kind = "String" if attribute.type == "String.Array" else attribute.type
    return {"DataType": kind, "StringValue": attribute.text or ""}
