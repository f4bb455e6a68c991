"""Flow records that cannot be delivered stay, are told of, and are delivered later."""

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from in_process import ADMIN, Inside, running_inside

from outcrop.errors import AWSError, ServiceError
from outcrop.server.flow_recorder import FlowRecorder
from outcrop.server.relay import Connection, Traffic
from outcrop.stores.network_records import Creator, FlowLog, NetworkInterface, new_id
from outcrop.stores.networks import add
from outcrop.stores.resources import Item

ACCOUNT = "123456789012"
DENIED = ServiceError("AccessDenied", "no", status=403)
GONE = ServiceError("NoSuchBucket", "no", status=404)


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as inside:
        yield inside


async def flow_log(inside: Inside) -> Item[NetworkInterface]:
    """The network interface that a new flow log is about."""
    admin = inside.client(ADMIN)
    (subnet,) = (await admin.ask("ec2", "DescribeSubnets"))["Subnets"]
    made = await admin.ask("ec2", "CreateNetworkInterface", SubnetId=subnet["SubnetId"])
    interface = made["NetworkInterface"]["NetworkInterfaceId"]
    record = FlowLog(
        traffic="ALL",
        destination="arn:aws:s3:::flows",
        interval_s=60,
        creator=Creator(
            name="admin", arn=f"arn:aws:iam::{ACCOUNT}:user/admin", kind="user", id="AIDA"
        ),
    )
    async with inside.deployment.state.stores.resources.writing() as transaction:
        await add(transaction, ACCOUNT, "us-east-1", new_id("fl"), record, parent=interface)
        (found,) = await transaction.list(NetworkInterface)
    return found


async def told(inside: Inside) -> tuple[str, str | None]:
    (shown,) = (await inside.client(ADMIN).ask("ec2", "DescribeFlowLogs"))["FlowLogs"]
    return shown["DeliverLogsStatus"], shown.get("DeliverLogsErrorMessage")


async def test_a_failed_delivery_is_told_and_tried_again(inside: Inside) -> None:
    outcomes: list[AWSError | None] = [DENIED, GONE, None]
    delivered: list[bytes] = []

    async def deliver(_log: Item[FlowLog], bucket: str, _key: str, content: bytes) -> None:
        assert bucket == "flows"
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        delivered.append(content)

    interface = await flow_log(inside)
    recorder = FlowRecorder(inside.deployment.state.stores.resources, deliver)
    now = datetime.now(UTC)
    taken: Any = {"interface": interface, "address": "10.0.0.9", "began_at": now, "ended_at": now}
    for port, is_accepted in ((1001, True), (1002, False)):
        traffic = Traffic(bytes_in=7, bytes_out=9)
        recorder.follow(
            Connection(port=port, is_accepted=is_accepted, traffic=traffic, **taken), 443
        )
    for expected in (("FAILED", "Access error"), ("FAILED", "Unknown error"), ("SUCCESS", None)):
        await recorder.look(everything=True)
        assert await told(inside) == expected
    await recorder.look(everything=True)
    (content,) = delivered
    records = [line.split(" ") for line in gzip.decompress(content).decode().splitlines()[1:]]
    # From whose port, bytes, and whether it was let in: the refused one heard nothing back.
    assert [(each[5], each[9], each[12]) for each in records] == [
        ("1001", "7", "ACCEPT"),
        ("443", "9", "ACCEPT"),
        ("1002", "7", "REJECT"),
    ]
    assert outcomes == []
