"""How support cases come about and go on: the same for accounts, other services and operators."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import msgspec

from outcrop.stores.failures import NoSuchItem, StoreError
from outcrop.stores.quota_records import OPEN, QuotaRequest
from outcrop.stores.resources import Item, Place, Transaction, View
from outcrop.stores.support_records import (
    SERVICE_LIMITS,
    AttachedFile,
    IssueType,
    Plan,
    Severity,
    Status,
    SupportCase,
    SupportCommunication,
    SupportPlan,
)

Case = Item[SupportCase]
Communication = Item[SupportCommunication]

OPERATOR: Final = "Outcrop Support"
"""Who answers, as accounts see it."""

MOST_OPEN_CASES: Final = 50
"""Of an account, at the same time."""

MOST_COMMUNICATIONS: Final = 1000
"""About one case."""

_CASE_ID: Final = re.compile(r"case-(\d{12})-mu[a-z]{2}-\d{4}-[0-9a-f]{16}", re.ASCII)
_PLAN: Final = "plan"


class TooManyCases(StoreError):
    pass


class TooManyCommunications(StoreError):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCase:
    """``by`` is who writes it: the ARN of a caller."""

    subject: str
    body: str
    by: str
    service: str = SERVICE_LIMITS
    category: str = "amazon-bedrock"
    severity: Severity = "low"
    issue_type: IssueType = "customer-service"
    language: str = "en"
    cc: tuple[str, ...] = ()
    files: tuple[AttachedFile, ...] = ()


async def open_case(transaction: Transaction, account: str, case: NewCase) -> Case:
    """A case with its first communication. Its name is the case ID. Raises ``TooManyCases``."""
    cases = await transaction.list(SupportCase, account=account)
    if sum(each.record.status != "resolved" for each in cases) >= MOST_OPEN_CASES:
        raise TooManyCases(f"The account has {MOST_OPEN_CASES} open cases.")
    record = SupportCase(
        display_id=_new_display_id({each.record.display_id for each in cases}),
        subject=case.subject,
        service=case.service,
        category=case.category,
        severity=case.severity,
        issue_type=case.issue_type,
        language=case.language,
        submitted_by=case.by,
        cc=case.cc,
    )
    opened = await transaction.add(record, Place(account, "", _new_id(account, case.language)))
    return await _write(transaction, opened, case.body, case.by, case.files)


async def reply(
    transaction: Transaction,
    case: Case,
    body: str,
    by: str,
    files: tuple[AttachedFile, ...] = (),
    cc: Sequence[str] = (),
) -> Case:
    """The account writes: a resolved case is open again, a question of the operator answered."""
    statuses: dict[Status, Status] = {
        "resolved": "reopened",
        "pending-customer-action": "customer-action-completed",
    }
    status = statuses.get(case.record.status, case.record.status)
    copied = tuple(dict.fromkeys((*case.record.cc, *cc)))
    record = msgspec.structs.replace(case.record, status=status, cc=copied)
    return await _write(transaction, replace(case, record=record), body, by, files)


async def answer(transaction: Transaction, case: Case, body: str, by: str, status: Status) -> Case:
    """The operator writes, and says how the case stands then."""
    record = msgspec.structs.replace(case.record, status=status)
    if status == "resolved":
        await _close_requests(transaction, case)
    return await _write(transaction, replace(case, record=record), body, by, ())


async def resolve(transaction: Transaction, case: Case) -> Case:
    record = msgspec.structs.replace(case.record, status="resolved")
    await _close_requests(transaction, case)
    return await transaction.put(replace(case, record=record))


async def _close_requests(transaction: Transaction, case: Case) -> None:
    """A quota request that the case is about, and that nobody has decided, ends with it."""
    for request in await transaction.list(QuotaRequest, account=case.place.account):
        if request.record.case == case.record.display_id and request.record.status in OPEN:
            closed = msgspec.structs.replace(request.record, status="CASE_CLOSED")
            await transaction.put(replace(request, record=closed))


async def communications_of(view: View, case: Case) -> list[Communication]:
    """The newest first."""
    found = await view.list(
        SupportCommunication, account=case.place.account, region="", parent=case.name
    )
    return sorted(found, key=lambda each: each.name, reverse=True)


async def find_case(view: View, identifier: str) -> Case | None:
    """Of any account, by case ID or display ID."""
    named = _CASE_ID.fullmatch(identifier)
    if named is not None:
        return await view.find(SupportCase, Place(named[1], "", identifier))
    cases = await view.list(SupportCase)
    return next((each for each in cases if each.record.display_id == identifier), None)


async def get_case(view: View, identifier: str) -> Case:
    case = await find_case(view, identifier)
    if case is None:
        raise NoSuchItem(f"There is no case {identifier!r}. `outcrop support cases` lists them.")
    return case


async def find_plan(view: View, account: str) -> Plan | None:
    item = await view.find(SupportPlan, Place(account, "", _PLAN))
    return item.record.plan if item else None


async def set_plan(transaction: Transaction, account: str, plan: Plan | None) -> None:
    place = Place(account, "", _PLAN)
    before = await transaction.find(SupportPlan, place)
    if before is not None:
        await transaction.remove(SupportPlan, place)
    if plan is not None:
        await transaction.add(SupportPlan(plan=plan), place)


async def _write(
    transaction: Transaction, case: Case, body: str, by: str, files: tuple[AttachedFile, ...]
) -> Case:
    number = case.record.communications
    if number >= MOST_COMMUNICATIONS:
        raise TooManyCommunications(
            f"The case {case.name} has {MOST_COMMUNICATIONS} communications. Open another one."
        )
    await transaction.add(
        SupportCommunication(body=body, submitted_by=by, files=files),
        replace(case.place, name=f"{case.name}/{number:06}"),
        parent=case.name,
    )
    record = msgspec.structs.replace(case.record, communications=number + 1)
    return await transaction.put(replace(case, record=record))


def _new_id(account: str, language: str) -> str:
    return f"case-{account}-mu{language}-{datetime.now(UTC):%Y}-{secrets.token_hex(8)}"


def _new_display_id(taken: set[str]) -> str:
    while (found := str(secrets.randbelow(9 * 10**14) + 10**14)) in taken:
        continue
    return found
