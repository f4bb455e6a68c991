"""What an account and the operator write to each other about a case."""

from collections.abc import Mapping
from typing import Any, Final

from outcrop.errors import ValidationException
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.support.attachments import take_files
from outcrop.services.support.requests import (
    Span,
    get_own_case,
    refuse_dry_run,
    refuse_uploads,
    render_time,
)
from outcrop.stores.support_cases import (
    Communication,
    TooManyCommunications,
    communications_of,
    reply,
)
from outcrop.wire.paging import page

_MOST_COPIED: Final = 10
"""As many as the service's model lets an answer have."""


@operation
async def describe_communications(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    span = Span.of(params)
    async with call.stores.resources.reading() as view:
        case = await get_own_case(view, call, params["caseId"])
        written = await communications_of(view, case)
    found = [described(each) for each in written if span.holds(each.created_at)]
    refuse_dry_run(params)
    return page(call.operation, params, found)


@operation
async def add_communication_to_case(call: Call, params: Mapping[str, Any]) -> dict[str, bool]:
    refuse_uploads(params)
    async with call.stores.resources.writing() as transaction:
        case = await get_own_case(transaction, call, params.get("caseId"))
        files = await take_files(transaction, call, params)
        body: str = params["communicationBody"]
        copied = tuple(params.get("ccEmailAddresses", ()))
        if len({*case.record.cc, *copied}) > _MOST_COPIED:
            raise ValidationException(f"A case has at most {_MOST_COPIED} addresses for copies.")
        try:
            await reply(transaction, case, body, call.caller.arn, files, copied)
        except TooManyCommunications as error:
            raise ValidationException(str(error)) from error
        # What was done so far is undone with the transaction.
        refuse_dry_run(params)
    return {"result": True}


def described(communication: Communication) -> dict[str, Any]:
    record = communication.record
    return {
        "caseId": communication.parent,
        "body": record.body,
        "submittedBy": record.submitted_by,
        "timeCreated": render_time(communication.created_at),
        "attachmentSet": [
            {"attachmentId": file.id, "fileName": file.file_name} for file in record.files
        ],
    }
