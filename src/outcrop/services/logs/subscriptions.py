"""Delivers what subscription filters match, from the queue of jobs, in AWS's format: JSON, gzipped.

A job holds IDs of events, not what they say: it reads them when it delivers.
"""

import asyncio
import base64
import gzip
import importlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from outcrop.config import Target
from outcrop.errors import AWSError
from outcrop.jobs.delivery import Clock, NotDelivered, delivery, now
from outcrop.jobs.queue import Job, JobKind, submit
from outcrop.logs.events import read_ids
from outcrop.logs.hub import LogsHub
from outcrop.logs.streams import Stream
from outcrop.logs.tokens import render_position
from outcrop.services.background import Background
from outcrop.services.logs.filtering import Matching
from outcrop.services.logs.sealing import Sealing
from outcrop.stores.log_records import LogGroup, SubscriptionFilter, filter_place
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Place, Transaction
from outcrop.wire import json

KIND: Final = "logs-subscription"
_MOST_EVENTS: Final = 1000
"""Of one delivery, which Kinesis takes up to 1 MiB of."""
_TIMEOUT_S: Final = 30


async def submit_matching(
    transaction: Transaction,
    group: Item[LogGroup],
    stream: Stream,
    matching: Matching,
    ids: Sequence[int | None],
    ingested_ms: int,
) -> None:
    """Jobs for the events that were written, by filter."""
    wanted: dict[str, list[int]] = {}
    for names, event_id in zip(matching.subscribed, ids, strict=True):
        if event_id is not None:
            for name in names:
                wanted.setdefault(name, []).append(event_id)
    for name, found in wanted.items():
        for first in range(0, len(found), _MOST_EVENTS):
            payload = {
                "account": group.place.account,
                "region": group.place.region,
                "group": group.name,
                "stream": stream.name,
                "filter": name,
                "ids": found[first : first + _MOST_EVENTS],
                "ingested_ms": ingested_ms,
            }
            await submit(transaction, KIND, f"{group.arn}:{name}:{secrets.token_hex(8)}", payload)


def job_kinds(
    stores: Stores, background: Background, hub: LogsHub, *, clock: Clock = now
) -> Mapping[str, JobKind]:
    deliverer = _Deliverer(stores, background, hub)
    return {KIND: delivery(deliverer.run, _lost, clock=clock)}


async def _lost(job: Job, error: str) -> None:
    """``delivery`` has logged it."""


class _Deliverer:
    def __init__(self, stores: Stores, background: Background, hub: LogsHub) -> None:
        self._resources = stores.resources
        self._background = background
        self._hub = hub

    async def run(self, job: Job) -> None:
        found = await self._read(job.payload)
        if found is None:
            return
        record, body = found
        service = record.destination.split(":")[2]
        target = self._hub.targets.get(cast(Any, service))
        if target is None:
            raise NotDelivered(f"the configuration names no {service} to deliver to")
        await asyncio.to_thread(_send, service, target, record, body, job.payload)

    async def _read(self, payload: Mapping[str, Any]) -> tuple[SubscriptionFilter, bytes] | None:
        """None where the filter or the events are gone."""
        place = Place(payload["account"], payload["region"], payload["group"])
        async with self._resources.reading() as view:
            group = await view.find(LogGroup, place)
            wanted = await view.find(SubscriptionFilter, filter_place(place, payload["filter"]))
            if group is None or wanted is None:
                return None
            events = await read_ids(
                view.connection, group.record.id, payload["ids"], payload["ingested_ms"]
            )
        if not events:
            return None
        sealing = Sealing(self._resources, self._background, self._hub, group)
        try:
            messages = await sealing.open(events)
        except AWSError as error:
            raise NotDelivered(str(error)) from error
        document = {
            "messageType": "DATA_MESSAGE",
            "owner": place.account,
            "logGroup": place.name,
            "logStream": payload["stream"],
            "subscriptionFilters": [wanted.record.name],
            "logEvents": [
                {
                    "id": render_position(event.position),
                    "timestamp": event.at_ms,
                    "message": message,
                }
                for event, message in zip(events, messages, strict=True)
            ],
        }
        return wanted.record, await asyncio.to_thread(gzip.compress, json.encode(document))


def _send(
    service: str,
    target: Target,
    record: SubscriptionFilter,
    body: bytes,
    payload: Mapping[str, Any],
) -> None:
    """In a thread: botocore's clients wait."""
    # The AWS SDK takes long to import, and few deployments deliver anywhere.
    errors: Any = importlib.import_module("botocore.exceptions")
    try:
        _put(_client(service, target), service, record, body, payload)
    except (errors.BotoCoreError, errors.ClientError) as error:
        raise NotDelivered(f"{record.destination}: {error}") from error


def _put(
    client: Any,
    service: str,
    record: SubscriptionFilter,
    body: bytes,
    payload: Mapping[str, Any],
) -> None:
    name = record.destination.split(":", 5)[5].partition("/")[2]
    match service:
        case "kinesis":
            key = payload["stream"] if record.distribution == "ByLogStream" else _random_key()
            client.put_record(StreamName=name, Data=body, PartitionKey=key[:256])
        case "firehose":
            client.put_record(DeliveryStreamName=name, Record={"Data": body})
        case _:
            event = {"awslogs": {"data": base64.b64encode(body).decode()}}
            client.invoke(
                FunctionName=record.destination,
                InvocationType="Event",
                Payload=json.encode(event),
            )


def _client(service: str, target: Target) -> Any:
    sessions: Any = importlib.import_module("botocore.session")
    configs: Any = importlib.import_module("botocore.config")
    session = sessions.Session(profile=target.profile)
    return session.create_client(
        service,
        region_name=target.region,
        endpoint_url=target.endpoint,
        config=configs.Config(
            connect_timeout=_TIMEOUT_S, read_timeout=_TIMEOUT_S, retries={"total_max_attempts": 1}
        ),
    )


def _random_key() -> str:
    return secrets.token_hex(16)
