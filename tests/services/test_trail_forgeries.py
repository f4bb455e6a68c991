"""What callers write cannot put events into trails of others, nor make up places in their own."""

from typing import Any

import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from in_process import REGION, Client, Inside, as_received, unsigned_request
from running_gateways import ACCOUNT

from outcrop.stores.tables import trail_events

VICTIM = "999999999999"
UNKNOWN = "zz-nowhere-1"


async def places(inside: Inside) -> list[tuple[str, str, str]]:
    """Account, region and name of all events."""
    await inside.deployment.records.observing.catch_up()
    columns = trail_events.c
    query = sa.select(columns.account, columns.region, columns.event_name).order_by(columns.seq)
    async with inside.deployment.state.stores.resources.reading() as view:
        found = await view.connection.execute(query)
        return [(row.account, row.region, row.event_name) for row in found]


async def test_an_encryption_context_names_no_resource_of_another_account(
    inside: Inside, admin: Client
):
    made = await admin.ask("kms", "CreateKey")
    await admin.ask(
        "kms",
        "GenerateDataKey",
        KeyId=made["KeyMetadata"]["KeyId"],
        KeySpec="AES_256",
        EncryptionContext={"keyId": f"arn:aws:kms:us-east-1:{VICTIM}:key/abc"},
    )
    assert await places(inside) == [
        (ACCOUNT, REGION, "CreateKey"),
        (ACCOUNT, REGION, "GenerateDataKey"),
    ]


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("sts", "GetCallerIdentity"),
        ("kms", "ListKeys"),
        ("sns", "ListTopics"),
        ("sqs", "ListQueues"),
    ],
)
async def test_a_region_that_is_none_is_refused_and_recorded_here(
    inside: Inside, admin: Client, service: str, operation: str
):
    with pytest.raises(ClientError, match="scoped to a valid region"):
        await Client(admin.app, admin.keys, region=UNKNOWN).ask(service, operation)
    assert await places(inside) == [(ACCOUNT, REGION, operation)]


async def test_s3_is_asked_for_in_any_region_and_recorded_here(inside: Inside, admin: Client):
    await Client(admin.app, admin.keys, region="auto").ask("s3", "ListBuckets")
    assert await places(inside) == [(ACCOUNT, REGION, "ListBuckets")]


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("ConfirmSubscription", {"TopicArn": f"arn:aws:sns:us-east-1:{VICTIM}:t", "Token": "ab"}),
        ("Unsubscribe", {"SubscriptionArn": f"arn:aws:sns:us-east-1:{VICTIM}:t:not-one"}),
    ],
)
async def test_nobody_fills_the_trail_of_an_account_by_its_number(
    inside: Inside, admin: Client, operation: str, params: dict[str, Any]
):
    request = as_received(unsigned_request("sns", operation, params))
    await admin.app.handle(request)
    assert await places(inside) == []
