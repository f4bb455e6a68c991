"""AWS Support: files that go with cases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from in_process import Client, Inside
from statements import ACCOUNT, OTHER, allow, document

from outcrop.stores.resources import Place
from outcrop.stores.support_records import AttachmentSet

FIVE_MIB = 5 * 1024 * 1024
FILE = {"fileName": "grey.png", "data": bytes(range(256))}
CASE = {
    "subject": "s",
    "communicationBody": "b",
    "issueType": "customer-service",
    "serviceCode": "account-activation",
}


async def refused(client: Client, operation: str, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        await client.ask("support", operation, **params)
    error: Any = caught.value.response
    return error["Error"]["Code"]


async def add(client: Client, *files: dict[str, Any], **params: Any) -> dict[str, Any]:
    return await client.ask("support", "AddAttachmentsToSet", attachments=list(files), **params)


async def make_older(inside: Inside, name: str, by: timedelta) -> None:
    resources = inside.deployment.state.stores.resources
    async with resources.writing() as transaction:
        item = await transaction.get(AttachmentSet, Place(ACCOUNT, "", name))
        ends = item.record.expires_at - by
        record = msgspec.structs.replace(item.record, expires_at=ends)
        await transaction.put(replace(item, record=record))


async def test_a_file_goes_with_a_case_and_comes_back_whole(admin: Client) -> None:
    added = await add(admin, FILE)
    left = datetime.fromisoformat(added["expiryTime"]) - datetime.now(UTC)
    assert timedelta(minutes=55) < left <= timedelta(hours=1)
    used = {"attachmentSetId": added["attachmentSetId"]}
    await admin.ask("support", "CreateCase", **CASE, **used)
    answered = await admin.ask("support", "DescribeCases")
    (written,) = answered["cases"][0]["recentCommunications"]["communications"]
    (attached,) = written["attachmentSet"]
    assert attached["fileName"] == "grey.png"
    found = await admin.ask("support", "DescribeAttachment", attachmentId=attached["attachmentId"])
    assert found["attachment"] == FILE
    assert await refused(admin, "CreateCase", **CASE, **used) == "AttachmentSetIdNotFound"


async def test_a_set_holds_three_files_of_five_mebibytes(admin: Client) -> None:
    full = {"fileName": "full", "data": bytes(FIVE_MIB)}
    first = await add(admin, full)
    more = {"attachmentSetId": first["attachmentSetId"]}
    again = await add(admin, FILE, FILE, **more)
    assert again["attachmentSetId"] == first["attachmentSetId"]
    assert again["expiryTime"] == first["expiryTime"]
    limit = "AttachmentSetSizeLimitExceeded"
    over = {"fileName": "over", "data": bytes(FIVE_MIB + 1)}
    assert await refused(admin, "AddAttachmentsToSet", attachments=[FILE], **more) == limit
    assert await refused(admin, "AddAttachmentsToSet", attachments=[over]) == limit
    assert await refused(admin, "AddAttachmentsToSet", attachments=[FILE] * 4) == limit


@pytest.mark.parametrize(
    "file", [{"fileName": "a"}, {"data": b"a"}, {"fileName": "a" * 256, "data": b"a"}], ids=str
)
async def test_a_file_has_a_name_and_content(admin: Client, file: dict[str, Any]) -> None:
    refusal = await refused(admin, "AddAttachmentsToSet", attachments=[file])
    assert refusal == "ValidationException"


async def test_a_set_that_nobody_used_expires_and_goes(inside: Inside, admin: Client) -> None:
    name = (await add(admin, FILE))["attachmentSetId"]
    await make_older(inside, name, timedelta(hours=1))
    for operation, params in (
        ("CreateCase", CASE),
        ("AddAttachmentsToSet", {"attachments": [FILE]}),
    ):
        refusal = await refused(admin, operation, **params, attachmentSetId=name)
        assert refusal == "AttachmentSetExpired"
    await make_older(inside, name, timedelta(hours=1))
    await add(admin, FILE)
    assert await refused(admin, "CreateCase", **CASE, attachmentSetId=name) == (
        "AttachmentSetIdNotFound"
    )


async def test_sets_that_wait_are_bounded(inside: Inside, admin: Client) -> None:
    names = [(await add(admin))["attachmentSetId"] for _ in range(10)]
    assert await refused(admin, "AddAttachmentsToSet", attachments=[]) == "AttachmentLimitExceeded"
    await make_older(inside, names[0], timedelta(hours=1))
    await add(admin)


async def test_files_of_other_accounts_are_not_there(inside: Inside, admin: Client) -> None:
    name = (await add(admin, FILE))["attachmentSetId"]
    await admin.ask("support", "CreateCase", **CASE, attachmentSetId=name)
    answered = await admin.ask("support", "DescribeCases")
    (written,) = answered["cases"][0]["recentCommunications"]["communications"]
    file = written["attachmentSet"][0]["attachmentId"]
    unused = (await add(admin, FILE))["attachmentSetId"]
    stranger = inside.client(await inside.user(OTHER, "eve", document(allow("*"))))
    assert await refused(stranger, "DescribeAttachment", attachmentId=file) == (
        "AttachmentIdNotFound"
    )
    assert await refused(stranger, "CreateCase", **CASE, attachmentSetId=unused) == (
        "AttachmentSetIdNotFound"
    )


async def test_a_case_that_is_refused_leaves_the_set_unused(admin: Client) -> None:
    used = {"attachmentSetId": (await add(admin, FILE))["attachmentSetId"]}
    assert await refused(admin, "CreateCase", **CASE, **used, dryRun=True) == (
        "DryRunOperationException"
    )
    await admin.ask("support", "CreateCase", **CASE, **used)


async def test_uploads_of_their_own_are_not_there(admin: Client) -> None:
    assert await refused(admin, "CreateCase", **CASE, uploadIds=["u"]) == "UploadIdNotFound"
