"""Requests for more of a quota: made by an account, decided by an operator, one open at a time.

A decision, the value it gives and the record of who decided are one transaction.
"""

import secrets
import uuid
from dataclasses import replace
from typing import Any, Final

import msgspec

from outcrop.quotas.book import QuotaBook
from outcrop.quotas.definitions import Quota
from outcrop.stores.failures import NoSuchItem, StoreError
from outcrop.stores.operator_actions import record_action
from outcrop.stores.quota_records import OPEN, QuotaRequest, QuotaValue
from outcrop.stores.resources import Item, Place, Resources, Transaction, View
from outcrop.stores.support_cases import (
    OPERATOR,
    NewCase,
    TooManyCommunications,
    answer,
    find_case,
    open_case,
    resolve,
)

MAX_OPEN: Final = 20
"""Open requests of one account in all its regions, as Service Quotas itself has it."""

MAX_VALUE: Final = 10_000_000_000
"""As Service Quotas' model has it."""


class AlreadyOpen(StoreError):
    """One quota has one open request."""


class AlreadyDecided(StoreError):
    pass


class TooManyOpen(StoreError):
    pass


class NotAValue(StoreError):
    pass


class NotGreater(StoreError):
    """A request asks for more than there is."""


async def make_request(
    resources: Resources, quota: Quota, place: Place, desired: float, requester: str
) -> Item[QuotaRequest]:
    """``place`` is that of the quota's value."""
    asked = QuotaRequest(
        key=quota.key,
        code=quota.code,
        name=quota.name,
        unit=quota.unit,
        desired=desired,
        requester=requester,
    )
    async with resources.writing() as transaction:
        current = await _current(transaction, quota, place)
        if _checked(asked.desired) <= current:
            raise NotGreater(f"{quota.name} is {current:.10g} already.")
        requests = await transaction.list(QuotaRequest, account=place.account)
        opened = [each for each in requests if each.record.status in OPEN]
        if any(each.record.key == quota.key and _is_in(each, place) for each in opened):
            raise AlreadyOpen(f"There is an open request for {quota.name}.")
        if len(opened) >= MAX_OPEN:
            raise TooManyOpen(f"The account has {MAX_OPEN} open requests.")
        return await transaction.add(asked, replace(place, name=new_request_id()))


def new_request_id() -> str:
    """As Service Quotas writes them: 32 hexadecimal digits and 8 letters or digits."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return uuid.uuid4().hex + "".join(secrets.choice(alphabet) for _ in range(8))


async def list_requests(view: View, account: str | None = None) -> list[Item[QuotaRequest]]:
    """Open ones first, then the newest."""
    found = await view.list(QuotaRequest, account=account)
    found.sort(key=lambda each: (each.created_at, each.name), reverse=True)
    found.sort(key=lambda each: each.record.status not in OPEN)
    return found


async def get_request(view: View, id: str) -> Item[QuotaRequest]:
    """Of whatever account."""
    for each in await view.list(QuotaRequest):
        if each.name == id:
            return each
    raise NoSuchItem(
        f"There is no quota request {id!r}. `outcrop quotas requests` lists those there are."
    )


async def open_case_about(resources: Resources, place: Place, by: str) -> Item[QuotaRequest]:
    """A support case about an open request that has none. Raises ``NoSuchItem``,
    ``AlreadyOpen``, ``AlreadyDecided``, ``TooManyCases``."""
    async with resources.writing() as transaction:
        request = await transaction.get(QuotaRequest, place)
        record = request.record
        if record.case is not None:
            raise AlreadyOpen(f"The request {place.name} has the support case {record.case}.")
        if record.status not in OPEN:
            raise AlreadyDecided(f"The request {place.name} is {record.status}.")
        new = NewCase(
            subject=f"Quota increase: {record.name}",
            body=(
                f"Request {place.name} asks for {record.desired:.10g} in {place.region}: "
                f"{record.name} ({record.code})."
            ),
            by=by,
        )
        case = await open_case(transaction, place.account, new)
        changes: dict[str, Any] = {"status": "CASE_OPENED", "case": case.record.display_id}
        return await _change(transaction, request, **changes)


async def approve(
    resources: Resources, book: QuotaBook, id: str, operator: str, value: float | None = None
) -> Item[QuotaRequest]:
    """Gives what was asked for, or ``value``."""
    async with resources.writing() as transaction:
        request = await _open_request(transaction, id)
        granted = request.record.desired if value is None else value
        quota = _quota(book, request.record.key)
        place = replace(request.place, name=quota.key)
        current = await _current(transaction, quota, place)
        if granted <= current:
            raise NotGreater(
                f"{quota.name} is {current:.10g} already. Approve more than that, or deny the "
                "request."
            )
        await _put_value(transaction, place, QuotaValue(value=_checked(granted), request=id))
        detail = {"quota": quota.key, "value": f"{granted:.10g}", "before": f"{current:.10g}"}
        await record_action(transaction, request.place, "quotas.approve", operator, detail)
        return await _decide(transaction, request, status="APPROVED", granted=granted)


async def deny(resources: Resources, id: str, operator: str, reason: str) -> Item[QuotaRequest]:
    async with resources.writing() as transaction:
        request = await _open_request(transaction, id)
        detail = {"quota": request.record.key, "reason": reason}
        await record_action(transaction, request.place, "quotas.deny", operator, detail)
        return await _decide(transaction, request, status="DENIED", reason=reason)


async def set_value(
    resources: Resources, quota: Quota, place: Place, value: float, operator: str
) -> None:
    """Whether it is adjustable or not; what is asked for stays open."""
    async with resources.writing() as transaction:
        current = await _current(transaction, quota, place)
        await _put_value(transaction, place, QuotaValue(value=_checked(value)))
        detail = {"value": f"{value:.10g}", "before": f"{current:.10g}"}
        await record_action(transaction, place, "quotas.set", operator, detail)


async def _open_request(transaction: Transaction, id: str) -> Item[QuotaRequest]:
    request = await get_request(transaction, id)
    if request.record.status not in OPEN:
        raise AlreadyDecided(f"The quota request {id} is {request.record.status} already.")
    return request


async def _decide(
    transaction: Transaction, request: Item[QuotaRequest], **changes: Any
) -> Item[QuotaRequest]:
    """The support case about it ends with an answer that tells the decision."""
    decided = await _change(transaction, request, **changes)
    record = decided.record
    case = None if record.case is None else await find_case(transaction, record.case)
    if case is None or case.record.status == "resolved":
        return decided
    told = (
        f"{record.name} is {record.granted:.10g} now."
        if record.status == "APPROVED"
        else f"The request was denied: {record.reason}"
    )
    try:
        await answer(transaction, case, told, OPERATOR, "resolved")
    except TooManyCommunications:
        await resolve(transaction, case)
    return decided


async def _change(
    transaction: Transaction, request: Item[QuotaRequest], **changes: Any
) -> Item[QuotaRequest]:
    record = msgspec.structs.replace(request.record, **changes)
    return await transaction.put(replace(request, record=record))


async def _current(transaction: Transaction, quota: Quota, place: Place) -> float:
    """As the transaction has it: a book may not have heard of another process's write yet."""
    item = await transaction.find(QuotaValue, place)
    return quota.default_in(place.region) if item is None else item.record.value


async def _put_value(transaction: Transaction, place: Place, value: QuotaValue) -> None:
    item = await transaction.find(QuotaValue, place)
    if item is None:
        await transaction.add(value, place)
    else:
        await transaction.put(replace(item, record=value))


def _quota(book: QuotaBook, key: str) -> Quota:
    quota = book.find_key(key)
    if quota is None:
        raise StoreError(f"There is no quota {key!r} any more. Deny the request.")
    return quota


def _is_in(request: Item[QuotaRequest], place: Place) -> bool:
    return request.place.region == place.region


def _checked(value: float) -> float:
    if not 0 <= value <= MAX_VALUE or value != int(value):
        raise NotAValue(
            f"The value of a quota is a whole number, 0 to {MAX_VALUE}, not {value:.10g}."
        )
    return value
