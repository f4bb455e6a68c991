"""Service Quotas: requests for more, which an operator decides; a quota has one open at a time."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from outcrop.errors import ServiceError
from outcrop.quotas.requests import (
    AlreadyDecided,
    AlreadyOpen,
    NotAValue,
    NotGreater,
    TooManyOpen,
    make_request,
    open_case_about,
)
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.service_quotas.quotas import (
    SERVICE_CODE,
    SERVICE_NAME,
    get_quota,
    no_such_resource,
    page_of,
    quota_arn,
    require_service,
)
from outcrop.stores.failures import NoSuchItem
from outcrop.stores.quota_records import QuotaRequest
from outcrop.stores.resources import Item, Place
from outcrop.stores.support_cases import TooManyCases
from outcrop.wire import json

_REMEMBERED: Final = timedelta(days=90)
"""How far the history of requests goes back."""


@operation
async def request_service_quota_increase(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    quota = get_quota(call, params)
    if "ContextId" in params:
        raise _illegal("The request failed because the specified quota has no resource level.")
    if not quota.adjustable:
        raise _illegal("The request failed because the specified quota is not adjustable.")
    place = Place(call.account, call.region, quota.key)
    try:
        request = await make_request(
            call.stores.resources, quota, place, params["DesiredValue"], call.caller.arn
        )
    except NotGreater as error:
        raise _illegal(
            "You must provide a quota value greater than the current quota value"
        ) from error
    except NotAValue as error:
        raise _illegal(str(error)) from error
    except AlreadyOpen as error:
        raise ServiceError(
            "ResourceAlreadyExistsException",
            "Only one open service quota increase request is allowed per quota.",
        ) from error
    except TooManyOpen as error:
        raise ServiceError("QuotaExceededException", str(error)) from error
    return {"RequestedQuota": _described(request)}


@operation
async def get_requested_service_quota_change(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    place = Place(call.account, call.region, params["RequestId"])
    async with call.stores.resources.reading() as view:
        request = await view.find(QuotaRequest, place)
    if request is None:
        raise _no_such_request()
    return {"RequestedQuota": _described(request)}


@operation
async def create_support_case(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    place = Place(call.account, call.region, params["RequestId"])
    try:
        await open_case_about(call.stores.resources, place, call.caller.arn)
    except NoSuchItem as error:
        raise _no_such_request() from error
    except AlreadyOpen as error:
        raise ServiceError("ResourceAlreadyExistsException", str(error)) from error
    except (AlreadyDecided, TooManyCases) as error:
        raise ServiceError("InvalidResourceStateException", str(error)) from error
    return {}


@operation
async def list_requested_service_quota_change_history(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    require_service(params)
    return await _history(call, params)


@operation
async def list_requested_service_quota_change_history_by_quota(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    get_quota(call, params)
    return await _history(call, params)


async def _history(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """The newest first."""
    async with call.stores.resources.reading() as view:
        requests = await view.list(QuotaRequest, account=call.account, region=call.region)
    found = [
        each
        for each in requests
        if each.created_at > call.now - _REMEMBERED
        and params.get("Status") in (None, each.record.status)
        and params.get("QuotaCode") in (None, each.record.code)
        and params.get("QuotaRequestedAtLevel") != "RESOURCE"
    ]
    found.sort(key=lambda each: (each.created_at, each.name), reverse=True)
    return page_of(call, params, [_described(each) for each in found])


def _described(request: Item[QuotaRequest]) -> dict[str, Any]:
    record, place = request.record, request.place
    requester = {"accountId": place.account, "callerArn": record.requester}
    described: dict[str, Any] = {
        "Id": request.name,
        "ServiceCode": SERVICE_CODE,
        "ServiceName": SERVICE_NAME,
        "QuotaCode": record.code,
        "QuotaName": record.name,
        "DesiredValue": record.desired,
        "Status": record.status,
        "Created": request.created_at,
        "Requester": json.encode(requester).decode(),
        "QuotaArn": quota_arn(place.region, place.account, record.code),
        "GlobalQuota": False,
        "Unit": record.unit,
        "QuotaRequestedAtLevel": "ACCOUNT",
    }
    if record.case is not None:
        described["CaseId"] = record.case
    if request.changed_at != request.created_at:
        described["LastUpdated"] = request.changed_at
    return described


def _no_such_request() -> ServiceError:
    return no_such_resource("The request failed because the specified request does not exist.")


def _illegal(message: str) -> ServiceError:
    return ServiceError("IllegalArgumentException", message)
