"""How CloudWatch tells of alarms: names of regions, events, and messages to topics."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from outcrop.errors import AWSError
from outcrop.events.bus import EventBuses, service_event
from outcrop.jobs.delivery import Clock, NotDelivered, delivery, now as utc_now
from outcrop.jobs.queue import Job, JobKind
from outcrop.metrics.alarm_messages import AlarmEvent
from outcrop.metrics.alarm_states import ACTION, Telling, write_history
from outcrop.services.background import Background
from outcrop.services.service_callers import CLOUDWATCH, service_caller
from outcrop.stores.alarm_records import Alarm
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Transaction
from outcrop.wire.documents import load_partitions


@cache
def _region_names() -> Mapping[str, str]:
    return {
        code: region["description"]
        for partition in load_partitions()["partitions"]
        for code, region in partition["regions"].items()
        if "description" in region
    }


def region_name(region: str) -> str:
    return _region_names().get(region, region)


def telling(buses: EventBuses) -> Telling:
    async def announce(transaction: Transaction, event: AlarmEvent) -> None:
        entry = service_event(event.source, event.detail_type, [event.alarm_arn], event.detail)
        await buses.publish(transaction, event.account, event.region, entry | {"time": event.time})

    return Telling(announce, region_name)


def job_kinds(
    stores: Stores, background: Background, clock: Clock = utc_now
) -> Mapping[str, JobKind]:
    """What alarms are told by."""

    async def publish(job: Job) -> None:
        topic: str = job.payload["topic"]
        params = {
            "TopicArn": topic,
            "Subject": job.payload["subject"],
            "Message": job.payload["message"],
        }
        try:
            await background.perform(
                service_caller(CLOUDWATCH, job.subject), "sns", "Publish", params
            )
        except AWSError as error:
            raise NotDelivered(f"{error.code}: {error.message}") from error
        await _write(job, f"Successfully executed action {topic}", {"actionState": "Succeeded"})

    async def lost(job: Job, error: str) -> None:
        summary = f"Failed to execute action {job.payload['topic']}"
        await _write(job, summary, {"actionState": "Failed", "error": error[:1000]})

    async def _write(job: Job, summary: str, data: Mapping[str, Any]) -> None:
        async with stores.resources.writing() as transaction:
            alarm = await transaction.find_arn(Alarm, job.subject)
            if alarm is not None:
                about = {"notificationResource": job.payload["topic"], **data}
                await write_history(transaction, alarm, clock(), "Action", summary, about)

    return {ACTION: delivery(publish, lost, clock=clock)}
