"""Sends one event to one target, as the rule: what its target's policies do not allow, fails."""

import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec

from outcrop.authorization.access import Access
from outcrop.config import Services
from outcrop.errors import AWSError
from outcrop.events.bus import EventBuses
from outcrop.events.inputs import Received, render_input
from outcrop.identity import Caller, Principal, root_arn
from outcrop.jobs.delivery import Clock, NotDelivered
from outcrop.services.background import Background
from outcrop.services.events.api_calls import ApiCalls
from outcrop.services.events.elsewhere import ACTIONS, Elsewhere
from outcrop.services.events.failures import Refused, failure_of_ours
from outcrop.services.events.put_events import Forwarded
from outcrop.services.events.target_checks import elsewhere, kind_of
from outcrop.services.events.turns import Turns
from outcrop.services.service_callers import EVENTS, service_caller
from outcrop.services.service_roles import RoleNotAssumable, ServiceRole, assume
from outcrop.stores.opened import Stores

MOST_HOPS = 1
"""As in AWS, an event that came from another bus goes to no third one."""


@dataclass(frozen=True, slots=True)
class Sending:
    """``target`` is the rule's, as PutTargets had it."""

    target: Mapping[str, Any]
    received: Received
    hops: int

    @property
    def arn(self) -> str:
        return self.target["Arn"]

    @property
    def delivery(self) -> str:
        """The same however often it is tried, and no other's."""
        return f"{self.received.event['id']}#{self.rule_arn}#{self.target['Id']}"

    @property
    def rule_arn(self) -> str:
        return self.received.rule_arn


class Senders:
    def __init__(
        self,
        stores: Stores,
        background: Background,
        buses: EventBuses,
        services: Services,
        clock: Clock,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._stores = stores
        self._background = background
        self._clock = clock
        turns = Turns()
        self._api_calls = ApiCalls(stores, buses, clock, turns, tls)
        self._elsewhere = Elsewhere(services.targets, turns)

    async def send(self, sending: Sending) -> None:
        """Raises ``NotDelivered`` or ``Refused``, or ``RetryLater`` where it is not its turn."""
        body = render_input(sending.target, sending.received)
        try:
            match kind_of(sending.arn):
                case "sns":
                    await self._perform(sending, "sns", "Publish", _publish(sending, body))
                case "sqs":
                    await self._perform(sending, "sqs", "SendMessage", _send_message(sending, body))
                case "logs":
                    await self._log(sending, body)
                case "bus":
                    await self._pass_on(sending)
                case "api-destination":
                    await self._require_allowed(sending, "events:InvokeApiDestination")
                    event = sending.received.event
                    await self._api_calls.send(sending.target, event, body, sending.delivery)
                case kind:
                    await self._send_elsewhere(sending, kind, body)
        except AWSError as error:
            raise failure_of_ours(error) from error

    async def send_dead_letter(
        self, sending: Sending, queue_arn: str, attributes: Mapping[str, str]
    ) -> None:
        """Raises AWS's errors."""
        params = {
            "QueueUrl": _queue_url(queue_arn),
            "MessageBody": sending.received.text,
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
        }
        await self._perform(sending, "sqs", "SendMessage", params)

    async def _perform(
        self, sending: Sending, service: str, operation: str, params: Mapping[str, Any]
    ) -> None:
        caller = service_caller(EVENTS, sending.rule_arn)
        await self._background.perform(caller, service, operation, params)

    async def _log(self, sending: Sending, body: str) -> None:
        group = sending.arn.split(":")[6]
        # One stream for each target of a rule.
        mark = f"{sending.rule_arn}#{sending.target['Id']}".encode()
        stream = hashlib.sha256(mark).hexdigest()[:32]
        named = {"logGroupName": group, "logStreamName": stream}
        event = {"timestamp": round(self._clock().timestamp() * 1000), "message": body}
        put = {**named, "logEvents": [event]}
        try:
            await self._perform(sending, "logs", "PutLogEvents", put)
        except AWSError as error:
            if error.code != "ResourceNotFoundException":
                raise
        else:
            return
        # It is the first event, or somebody deleted the stream; if it is the group, this says so.
        try:
            await self._perform(sending, "logs", "CreateLogStream", named)
        except AWSError as error:
            if error.code != "ResourceAlreadyExistsException":
                raise
        await self._perform(sending, "logs", "PutLogEvents", put)

    async def _pass_on(self, sending: Sending) -> None:
        if sending.hops >= MOST_HOPS:
            raise Refused("TOO_MANY_HOPS", "An event of another bus goes to no third one.")
        event = sending.received.event
        region = sending.arn.split(":")[3]
        entry = {
            "Source": event["source"],
            "DetailType": event["detail-type"],
            "Detail": "{}",
            "EventBusName": sending.arn,
        }
        forwarded = Forwarded(event["id"], sending.received.text, sending.hops + 1)
        caller = replace(await self._bus_caller(sending), region=region)
        answer = await self._background.perform(
            caller,
            "events",
            "PutEvents",
            {"Entries": [entry]},
            body=msgspec.json.encode(forwarded),
        )
        refused = next((each for each in answer["Entries"] if "ErrorCode" in each), None)
        if refused is not None:
            raise Refused(refused["ErrorCode"], refused["ErrorMessage"])

    async def _bus_caller(self, sending: Sending) -> Caller:
        if "RoleArn" in sending.target:
            return await self._role(sending)
        # Policies of buses name the accounts that may send: without a role the account itself does.
        account = sending.rule_arn.split(":")[4]
        principal = Principal(account, "root", root_arn(account), "root", account)
        return Caller(principal, "", None, "service", via=(EVENTS,), source_arn=sending.rule_arn)

    async def _send_elsewhere(self, sending: Sending, kind: str, body: str) -> None:
        service = elsewhere(kind)
        if service is None:
            raise Refused("INVALID_TARGET", f"No event can be sent to {sending.arn}.")
        if service in ACTIONS:
            await self._require_allowed(sending, ACTIONS[service])
        event, delivery = sending.received.event, sending.delivery
        await self._elsewhere.send(service, sending.target, event, body, delivery)

    async def _require_allowed(self, sending: Sending, action: str) -> None:
        role = await self._role(sending)
        if not await self._background.may(role, Access(action, sending.arn)):
            raise NotDelivered(f"{sending.target['RoleArn']} does not allow {action}.")

    async def _role(self, sending: Sending) -> Caller:
        role = ServiceRole(sending.target["RoleArn"], sending.rule_arn, EVENTS)
        try:
            return await assume(self._stores, role, self._clock())
        except RoleNotAssumable as error:
            raise NotDelivered(str(error)) from error


def _publish(sending: Sending, body: str) -> dict[str, Any]:
    return {"TopicArn": sending.arn, "Message": body}


def _send_message(sending: Sending, body: str) -> dict[str, Any]:
    params: dict[str, Any] = {"QueueUrl": _queue_url(sending.arn), "MessageBody": body}
    own = cast("Mapping[str, str]", sending.target.get("SqsParameters", {}))
    if "MessageGroupId" in own:
        params["MessageGroupId"] = own["MessageGroupId"]
        # Tried twice, it is still one message.
        params["MessageDeduplicationId"] = hashlib.sha256(sending.delivery.encode()).hexdigest()
    return params


def _queue_url(arn: str) -> str:
    _, _, _, region, account, name = arn.split(":", 5)
    return f"https://sqs.{region}.amazonaws.com/{account}/{name}"
