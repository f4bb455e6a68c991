"""Service Quotas: the quotas of Amazon Bedrock, their defaults, and what the account has."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.errors import ServiceError, ValidationException
from outcrop.quotas.definitions import Quota
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.wire.paging import page

SERVICE_CODE: Final = "bedrock"
SERVICE_NAME: Final = "Amazon Bedrock"


@operation
async def list_services(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    services = [{"ServiceCode": SERVICE_CODE, "ServiceName": SERVICE_NAME}]
    return page_of(call, params, services)


@operation
async def list_service_quotas(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    require_service(params)
    code = params.get("QuotaCode")
    quotas = call.serving.book.all() if code is None else [get_quota(call, params)]
    if params.get("QuotaAppliedAtLevel") == "RESOURCE":
        quotas = []  # Every quota of Bedrock holds for the account.
    return page_of(call, params, [_applied(call, quota) for quota in quotas])


@operation
async def get_service_quota(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    quota = get_quota(call, params)
    if "ContextId" in params:
        raise no_such_resource(
            "The request failed because applied value for the specified context Id do not exist."
        )
    return {"Quota": _applied(call, quota)}


@operation
async def list_aws_default_service_quotas(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    require_service(params)
    return page_of(call, params, [_default(call, quota) for quota in call.serving.book.all()])


@operation
async def get_aws_default_service_quota(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"Quota": _default(call, get_quota(call, params))}


def get_quota(call: Call, params: Mapping[str, Any]) -> Quota:
    require_service(params)
    quota = call.serving.book.find(params["QuotaCode"])
    if quota is None:
        raise no_such_resource("The request failed because the specified quota does not exist.")
    return quota


def require_service(params: Mapping[str, Any]) -> None:
    if params.get("ServiceCode", SERVICE_CODE) != SERVICE_CODE:
        raise no_such_resource("The request failed because the specified service does not exist.")


def no_such_resource(message: str) -> ServiceError:
    return ServiceError("NoSuchResourceException", message)


def page_of(call: Call, params: Mapping[str, Any], items: Sequence[Any]) -> dict[str, Any]:
    try:
        return page(call.operation, params, items)
    except ValidationException as error:
        raise ServiceError("InvalidPaginationTokenException", error.message) from error


def quota_arn(region: str, account: str, code: str) -> str:
    return f"arn:aws:servicequotas:{region}:{account}:{SERVICE_CODE}/{code}"


def _applied(call: Call, quota: Quota) -> dict[str, Any]:
    return {
        **_facts(quota),
        "QuotaArn": quota_arn(call.region, call.account, quota.code),
        "Value": call.serving.book.value(call.account, call.region, quota.key),
        "QuotaAppliedAtLevel": "ACCOUNT",
    }


def _default(call: Call, quota: Quota) -> dict[str, Any]:
    """What AWS gives everybody is no account's: its ARN names none."""
    return {
        **_facts(quota),
        "QuotaArn": quota_arn(call.region, "", quota.code),
        "Value": quota.default_in(call.region),
    }


def _facts(quota: Quota) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "ServiceCode": SERVICE_CODE,
        "ServiceName": SERVICE_NAME,
        "QuotaCode": quota.code,
        "QuotaName": quota.name,
        "Unit": quota.unit,
        "Adjustable": quota.adjustable,
        "GlobalQuota": False,
    }
    if quota.period is not None:
        facts["Period"] = {"PeriodValue": 1, "PeriodUnit": quota.period}
    return facts
