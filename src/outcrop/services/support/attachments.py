"""Files of cases: uploaded into a set, which goes with one case or communication within an hour."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import msgspec

from outcrop.errors import ServiceError, ValidationException
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.support.requests import refuse_dry_run, render_time
from outcrop.stores.resources import Item, Place, Transaction
from outcrop.stores.support_records import AttachedFile, AttachmentSet, SupportFile

_MOST_FILES: Final = 3
_MOST_BYTES: Final = 5 * 1024 * 1024
_MOST_SETS: Final = 10
"""Of an account, that wait for what they go with."""
_MOST_NAME: Final = 255
_LIFETIME: Final = timedelta(hours=1)


@operation
async def add_attachments_to_set(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    attachments: Sequence[Mapping[str, Any]] = params["attachments"]
    for attachment in attachments:
        _check(attachment)
    async with call.stores.resources.writing() as transaction:
        await _remove_expired(transaction, call)
        given: str | None = params.get("attachmentSetId")
        if given is None:
            chosen = await _new_set(transaction, call)
        else:
            chosen = await _get_set(transaction, call, given)
        if len(chosen.record.files) + len(attachments) > _MOST_FILES:
            raise _too_large(f"A set holds {_MOST_FILES} attachments.")
        files = [await _add_file(transaction, call, each) for each in attachments]
        files = (*chosen.record.files, *files)
        record = msgspec.structs.replace(chosen.record, files=files)
        await transaction.put(replace(chosen, record=record))
        refuse_dry_run(params)
    return {"attachmentSetId": chosen.name, "expiryTime": render_time(record.expires_at)}


@operation
async def describe_attachment(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    place = Place(call.account, "", params["attachmentId"])
    async with call.stores.resources.reading() as view:
        file = await view.find(SupportFile, place)
    if file is None:
        raise ServiceError(
            "AttachmentIdNotFound",
            "An attachment with the specified ID could not be found.",
        )
    refuse_dry_run(params)
    return {"attachment": {"fileName": file.record.file_name, "data": file.record.data}}


async def take_files(
    transaction: Transaction, call: Call, params: Mapping[str, Any]
) -> tuple[AttachedFile, ...]:
    """Those of the set that is asked for, which is used up."""
    given: str | None = params.get("attachmentSetId")
    if given is None:
        return ()
    chosen = await _get_set(transaction, call, given)
    await transaction.remove(AttachmentSet, chosen.place)
    return chosen.record.files


async def _get_set(transaction: Transaction, call: Call, name: str) -> Item[AttachmentSet]:
    found = await transaction.find(AttachmentSet, Place(call.account, "", name))
    if found is None:
        raise ServiceError(
            "AttachmentSetIdNotFound",
            "An attachment set with the specified ID could not be found.",
        )
    if found.record.expires_at <= call.now:
        raise ServiceError(
            "AttachmentSetExpired",
            "The expiration time of the attachment set has passed. A set expires one hour after "
            "it is created.",
        )
    return found


async def _new_set(transaction: Transaction, call: Call) -> Item[AttachmentSet]:
    sets = await transaction.list(AttachmentSet, account=call.account)
    if sum(each.record.expires_at > call.now for each in sets) >= _MOST_SETS:
        raise ServiceError(
            "AttachmentLimitExceeded",
            f"There are {_MOST_SETS} attachment sets that belong to no case yet. Use them, or wait "
            "an hour.",
        )
    record = AttachmentSet(expires_at=call.now + _LIFETIME)
    place = Place(call.account, "", f"as-{secrets.token_hex(16)}")
    return await transaction.add(record, place)


async def _add_file(
    transaction: Transaction, call: Call, attachment: Mapping[str, Any]
) -> AttachedFile:
    file = AttachedFile(
        id=f"attachment-{secrets.token_urlsafe(24)}", file_name=attachment["fileName"]
    )
    record = SupportFile(file_name=file.file_name, data=attachment["data"])
    await transaction.add(record, Place(call.account, "", file.id))
    return file


async def _remove_expired(transaction: Transaction, call: Call) -> None:
    """With their files, kept for another hour so that who comes late is told why."""
    for each in await transaction.list(AttachmentSet, account=call.account):
        if each.record.expires_at + _LIFETIME <= call.now:
            for file in each.record.files:
                await transaction.remove(SupportFile, replace(each.place, name=file.id))
            await transaction.remove(AttachmentSet, each.place)


def _check(attachment: Mapping[str, Any]) -> None:
    name, data = attachment.get("fileName", ""), attachment.get("data")
    if not name.strip() or len(name) > _MOST_NAME or data is None:
        raise ValidationException(
            f"An attachment has data and a file name of 1 to {_MOST_NAME} characters."
        )
    if len(data) > _MOST_BYTES:
        raise _too_large(f"An attachment holds {_MOST_BYTES} bytes.")


def _too_large(message: str) -> ServiceError:
    return ServiceError("AttachmentSetSizeLimitExceeded", message)
