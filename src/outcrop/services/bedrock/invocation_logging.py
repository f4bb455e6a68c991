"""Invocation logging of an account in a region: what is logged, and where to.

A configuration is kept when everything it names has taken a first word from Bedrock, so that what
is wrong with a bucket, a key or a role is told now and not by logs that never come.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from outcrop.errors import ValidationException
from outcrop.invocations.configurations import logging_place
from outcrop.services.bedrock.invocation_checks import check_bucket, check_group
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.stores.model_records import LogBucket, LoggingConfiguration, LogGroup

_NO_DESTINATION: Final = (
    "Invocation logging needs a destination: specify s3Config, cloudWatchConfig or both."
)
_SWITCHES: Final[Mapping[str, str]] = {
    "textDataDeliveryEnabled": "text",
    "imageDataDeliveryEnabled": "image",
    "embeddingDataDeliveryEnabled": "embedding",
    "videoDataDeliveryEnabled": "video",
    "audioDataDeliveryEnabled": "audio",
}


@operation
async def put_model_invocation_logging_configuration(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    configuration = _read(params["loggingConfig"])
    if configuration.s3 is not None:
        await check_bucket(call, configuration.s3)
    if configuration.group is not None:
        if configuration.group.large is not None:
            await check_bucket(call, configuration.group.large)
        await check_group(call, configuration.group)
    # Calls that were answered under the configuration of before go where that one said.
    await call.observing.catch_up()
    place = logging_place(call.account, call.region)
    async with call.stores.resources.writing() as transaction:
        found = await transaction.find(LoggingConfiguration, place)
        if found is None:
            await transaction.add(configuration, place)
        else:
            await transaction.put(replace(found, record=configuration))
    return {}


@operation
async def get_model_invocation_logging_configuration(
    call: Call, _params: Mapping[str, Any]
) -> dict[str, Any]:
    async with call.stores.resources.reading() as view:
        found = await view.find(LoggingConfiguration, logging_place(call.account, call.region))
    return {} if found is None else {"loggingConfig": _render(found.record)}


@operation
async def delete_model_invocation_logging_configuration(
    call: Call, _params: Mapping[str, Any]
) -> dict[str, Any]:
    await call.observing.catch_up()
    place = logging_place(call.account, call.region)
    async with call.stores.resources.writing() as transaction:
        if await transaction.find(LoggingConfiguration, place) is not None:
            await transaction.remove(LoggingConfiguration, place)
    return {}


def _read(wanted: Mapping[str, Any]) -> LoggingConfiguration:
    group = wanted.get("cloudWatchConfig")
    configuration = LoggingConfiguration(
        s3=_read_bucket(wanted.get("s3Config")),
        group=None if group is None else _read_group(group),
        **{name: wanted.get(member, True) for member, name in _SWITCHES.items()},
    )
    if configuration.s3 is None and configuration.group is None:
        raise ValidationException(_NO_DESTINATION)
    return configuration


def _read_group(wanted: Mapping[str, Any]) -> LogGroup:
    return LogGroup(
        name=wanted["logGroupName"],
        role_arn=wanted["roleArn"],
        large=_read_bucket(wanted.get("largeDataDeliveryS3Config")),
    )


def _read_bucket(wanted: Mapping[str, Any] | None) -> LogBucket | None:
    if wanted is None:
        return None
    return LogBucket(bucket=wanted["bucketName"], prefix=wanted.get("keyPrefix"))


def _render(configuration: LoggingConfiguration) -> dict[str, Any]:
    told: dict[str, Any] = {
        member: getattr(configuration, name) for member, name in _SWITCHES.items()
    }
    if configuration.s3 is not None:
        told["s3Config"] = _render_bucket(configuration.s3)
    if configuration.group is not None:
        told["cloudWatchConfig"] = _render_group(configuration.group)
    return told


def _render_group(group: LogGroup) -> dict[str, Any]:
    told: dict[str, Any] = {"logGroupName": group.name, "roleArn": group.role_arn}
    if group.large is not None:
        told["largeDataDeliveryS3Config"] = _render_bucket(group.large)
    return told


def _render_bucket(bucket: LogBucket) -> dict[str, str]:
    prefix = {} if bucket.prefix is None else {"keyPrefix": bucket.prefix}
    return {"bucketName": bucket.bucket, **prefix}
