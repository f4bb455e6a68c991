"""Flow logs: records of what passes the network interfaces of endpoints, as files in a bucket.

The server's listeners write them, with the permissions of whoever made the flow log.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from outcrop.errors import AWSError, ServiceError
from outcrop.services.call import Call
from outcrop.services.ec2.listing import Listing, describe
from outcrop.services.ec2.requests import (
    Params,
    Result,
    get,
    invalid,
    list_own,
    missing,
    network_operation,
    unsupported,
)
from outcrop.services.ec2.tagging import render_tags, specified_tags
from outcrop.services.ec2.tokens import find_made, given_token, token_of
from outcrop.stores.bucket_records import Bucket, bucket_place
from outcrop.stores.network_records import (
    Creator,
    FlowLog,
    NetworkInterface,
    Subnet,
    Vpc,
    new_id,
)
from outcrop.stores.networks import add
from outcrop.stores.resources import Item, Record, View

FORMAT: Final = (
    "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} "
    "${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}"
)
_TYPES: Final[Mapping[str, type[Record]]] = {
    "NetworkInterface": NetworkInterface,
    "Subnet": Subnet,
    "VPC": Vpc,
}
_INTERVALS: Final = (60, 600)
_BUCKET: Final = re.compile(r"arn:aws:s3:::([a-z0-9.-]{3,63})(?:/(.*))?", re.DOTALL)
_FAILED: Final = "400"


@network_operation(
    "ClientToken",
    "LogGroupName",
    "ResourceIds",
    "ResourceType",
    "TrafficType",
    "LogDestinationType",
    "LogDestination",
    "LogFormat",
    "TagSpecifications",
    "MaxAggregationInterval",
    "DestinationOptions",
)
async def create_flow_logs(call: Call, params: Params) -> Result:
    record = _read(call, params)
    tags = specified_tags(params, FlowLog)
    made: list[str] = []
    failed: list[dict[str, Any]] = []
    for resource_id in dict.fromkeys(params["ResourceIds"]):
        try:
            made.append(await _make(call, params, record, resource_id, tags))
        except AWSError as error:
            # Recorded: what does not fit a resource is told of it, with a status for its code.
            code = error.code if "." in error.code else _FAILED
            told = {"Code": code, "Message": error.message}
            failed.append({"ResourceId": resource_id, "Error": told})
    return {
        **given_token(params),
        "FlowLogIds": made,
        "Unsuccessful": failed,
    }


@network_operation("Filter", "FlowLogIds", "MaxResults", "NextToken")
async def describe_flow_logs(call: Call, params: Params) -> Result:
    return await describe(call, {**params, "Filters": params.get("Filter", ())}, _LOGS)


@network_operation("FlowLogIds")
async def delete_flow_logs(call: Call, params: Params) -> Result:
    failed: list[dict[str, Any]] = []
    for each in params["FlowLogIds"]:
        try:
            async with call.stores.resources.writing() as transaction:
                log = await get(transaction, call, FlowLog, each)
                await transaction.remove(FlowLog, log.place)
        except AWSError as error:
            told = {"Code": error.code, "Message": error.message}
            failed.append({"ResourceId": each, "Error": told})
    return {"Unsuccessful": failed}


async def _make(
    call: Call, params: Params, record: FlowLog, resource_id: str, tags: Mapping[str, str]
) -> str:
    one = {**params, "ResourceIds": [resource_id]}
    async with call.stores.resources.writing() as transaction:
        before = await find_made(transaction, call, FlowLog, one)
        if before is not None:
            return before.name
        resource = await get(transaction, call, _TYPES[params["ResourceType"]], resource_id)
        await _check_bucket(transaction, record.destination)
        for other in await list_own(transaction, call, FlowLog, resource.name):
            same = (other.record.destination, other.record.traffic)
            if same == (record.destination, record.traffic):
                raise ServiceError(
                    "FlowLogAlreadyExists",
                    "Error. There is an existing Flow Log with the same configuration and log "
                    "destination.",
                )
        log = await add(
            transaction,
            call.account,
            call.region,
            new_id("fl"),
            _with_token(record, one),
            parent=resource.name,
            tags=tags,
        )
    return log.name


def _with_token(record: FlowLog, params: Params) -> FlowLog:
    return FlowLog(
        traffic=record.traffic,
        destination=record.destination,
        interval_s=record.interval_s,
        creator=record.creator,
        per_hour=record.per_hour,
        token=token_of(params),
    )


def _read(call: Call, params: Params) -> FlowLog:
    if params["ResourceType"] not in _TYPES:
        raise unsupported(f"ResourceType {params['ResourceType']}")
    if "TrafficType" not in params:
        raise missing("trafficType")
    if params.get("LogFormat", FORMAT) != FORMAT:
        raise unsupported("A LogFormat other than the default one of version 2")
    interval = params.get("MaxAggregationInterval", _INTERVALS[-1])
    if interval not in _INTERVALS:
        raise invalid("Invalid Flow Log Max Aggregation Interval. Valid values: 60, 600.")
    return FlowLog(
        traffic=params["TrafficType"],
        destination=_destination(params),
        interval_s=interval,
        creator=_creator(call),
        per_hour=_options(params),
    )


def _destination(params: Params) -> str:
    if "LogGroupName" in params and "LogDestination" in params:
        raise ServiceError(
            "InvalidParameter", "Please only provide LogGroupName or only provide LogDestination."
        )
    kind = params.get("LogDestinationType", "cloud-watch-logs")
    if kind != "s3":
        raise unsupported(f"LogDestinationType {kind}")
    destination = params.get("LogDestination", "")
    if not _BUCKET.fullmatch(destination):
        raise invalid(f"LogDestination: {destination} is not the ARN of a bucket.")
    return destination


def _options(params: Params) -> bool:
    options: Mapping[str, Any] = params.get("DestinationOptions", {})
    if options.get("FileFormat", "plain-text") != "plain-text":
        raise unsupported("A FileFormat other than plain-text")
    if options.get("HiveCompatiblePartitions"):
        raise unsupported("HiveCompatiblePartitions")
    return bool(options.get("PerHourPartition"))


def _creator(call: Call) -> Creator:
    principal = call.caller.principal
    if principal.kind not in ("root", "user", "role"):
        raise unsupported("A flow log made by a federated user")
    return Creator(
        name=principal.name,
        arn=principal.arn,
        kind=principal.kind,
        id=principal.id,
        role_arn=principal.role_arn,
    )


async def _check_bucket(view: View, destination: str) -> None:
    name = bucket_and_prefix(destination)[0]
    if await view.find(Bucket, bucket_place(name)) is None:
        raise invalid(f"LogDestination: {name} does not exist")


def bucket_and_prefix(destination: str) -> tuple[str, str]:
    """The prefix ends in a slash where there is one."""
    found = _BUCKET.fullmatch(destination)
    name, prefix = (found[1], found[2] or "") if found else ("", "")
    return name, f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""


def _render(log: Item[FlowLog]) -> dict[str, Any]:
    record = log.record
    shown: dict[str, Any] = {
        "FlowLogId": log.name,
        "FlowLogStatus": "ACTIVE",
        "ResourceId": log.parent,
        "TrafficType": record.traffic,
        "LogDestinationType": "s3",
        "LogDestination": record.destination,
        "LogFormat": FORMAT,
        "MaxAggregationInterval": record.interval_s,
        "DeliverLogsStatus": "FAILED" if record.failure else "SUCCESS",
        "CreationTime": log.created_at,
        "DestinationOptions": {
            "FileFormat": "plain-text",
            "HiveCompatiblePartitions": False,
            "PerHourPartition": record.per_hour,
        },
        "Tags": render_tags(log.tags),
    }
    if record.failure:
        shown["DeliverLogsErrorMessage"] = record.failure
    return shown


_LOGS: Final = Listing(
    FlowLog,
    "FlowLogIds",
    {
        "deliver-log-status": lambda log: [_render(log)["DeliverLogsStatus"]],
        "flow-log-id": lambda log: [log.name],
        "log-destination-type": lambda _: ["s3"],
        "resource-id": lambda log: [log.parent],
        "traffic-type": lambda log: [log.record.traffic],
    },
    _render,
)
