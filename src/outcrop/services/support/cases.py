"""Support cases of an account: opened, found, resolved."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.errors import ServiceError, ValidationException
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.support.attachments import take_files
from outcrop.services.support.communications import described as described_communication
from outcrop.services.support.offers import (
    GENERAL,
    check_language,
    find_issue_type,
    get_severity,
    get_topic,
    plan_of,
)
from outcrop.services.support.requests import (
    Span,
    get_own_case,
    no_such_case,
    refuse_dry_run,
    refuse_uploads,
    render_time,
)
from outcrop.stores.resources import View
from outcrop.stores.support_cases import (
    Case,
    NewCase,
    TooManyCases,
    communications_of,
    open_case,
    resolve,
)
from outcrop.stores.support_records import SupportCase
from outcrop.wire.paging import page

_MOST_SUBJECT: Final = 1000
_RECENT: Final = 5


@operation
async def create_case(call: Call, params: Mapping[str, Any]) -> dict[str, str]:
    plan = await plan_of(call)
    issue_type = find_issue_type(params)
    asked: str = params.get("serviceCode", GENERAL)
    service, category = get_topic(plan, issue_type, asked, params.get("categoryCode"))
    severity = get_severity(plan, params)
    language = check_language(params)
    subject = _subject(params)
    refuse_uploads(params)
    async with call.stores.resources.writing() as transaction:
        new = NewCase(
            subject=subject,
            body=params["communicationBody"],
            by=call.caller.arn,
            service=service,
            category=category,
            severity=severity,
            issue_type=issue_type,
            language=language,
            cc=tuple(params.get("ccEmailAddresses", ())),
            files=await take_files(transaction, call, params),
        )
        try:
            case = await open_case(transaction, call.account, new)
        except TooManyCases as error:
            raise ServiceError("CaseCreationLimitExceeded", str(error)) from error
        # What was done so far is undone with the transaction.
        refuse_dry_run(params)
    return {"caseId": case.name}


@operation
async def describe_cases(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    if "language" in params:
        check_language(params)
    span = Span.of(params)
    async with call.stores.resources.reading() as view:
        cases = await _asked_for(view, call, params)
        found = [each for each in cases if _fits(each, params) and span.holds(each.created_at)]
        refuse_dry_run(params)
        answer = page(call.operation, params, [_described(each) for each in found])
        if params.get("includeCommunications", True):
            by_id = {each.name: each for each in found}
            for described in answer["cases"]:
                case = by_id[described["caseId"]]
                described["recentCommunications"] = await _recent(view, case)
    return answer


@operation
async def resolve_case(call: Call, params: Mapping[str, Any]) -> dict[str, str]:
    async with call.stores.resources.writing() as transaction:
        case = await get_own_case(transaction, call, params.get("caseId"))
        refuse_dry_run(params)
        resolved = await resolve(transaction, case)
    return {
        "initialCaseStatus": case.record.status,
        "finalCaseStatus": resolved.record.status,
    }


async def _asked_for(view: View, call: Call, params: Mapping[str, Any]) -> list[Case]:
    """The newest first; one that is asked for by its ID must be there."""
    cases = await view.list(SupportCase, account=call.account)
    cases.sort(key=lambda each: (each.created_at, each.name), reverse=True)
    ids: Sequence[str] = params.get("caseIdList", ())
    known = {each.name for each in cases}
    for case_id in ids:
        if case_id not in known:
            raise no_such_case(case_id)
    display_id = params.get("displayId")
    if display_id is not None and all(each.record.display_id != display_id for each in cases):
        raise no_such_case(display_id)
    return [
        each
        for each in cases
        if (not ids or each.name in ids) and display_id in (None, each.record.display_id)
    ]


def _fits(case: Case, params: Mapping[str, Any]) -> bool:
    if case.record.status == "resolved" and not params.get("includeResolvedCases", False):
        return False
    return params.get("language", case.record.language) == case.record.language


def _subject(params: Mapping[str, Any]) -> str:
    subject: str = params["subject"]
    if not subject.strip() or len(subject) > _MOST_SUBJECT:
        raise ValidationException(
            f"Invalid subject: it must have 1 to {_MOST_SUBJECT} characters that are not all blank."
        )
    return subject


def _described(case: Case) -> dict[str, Any]:
    record = case.record
    return {
        "caseId": case.name,
        "displayId": record.display_id,
        "subject": record.subject,
        "status": record.status,
        "serviceCode": record.service,
        "categoryCode": record.category,
        "severityCode": record.severity,
        "submittedBy": record.submitted_by,
        "timeCreated": render_time(case.created_at),
        "ccEmailAddresses": list(record.cc),
        "language": record.language,
    }


async def _recent(view: View, case: Case) -> dict[str, Any]:
    written = await communications_of(view, case)
    return {"communications": [described_communication(each) for each in written[:_RECENT]]}
