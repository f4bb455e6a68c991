"""Service Quotas as clients of AWS see it: what there is, asking for more, what was decided."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from botocore.exceptions import ClientError
from in_process import ADMIN, Client, Inside
from running_gateways import Gateway
from statements import ACCOUNT, OTHER, allow, document

from outcrop.quotas.requests import approve, deny
from outcrop.stores.support_cases import get_case, resolve

SHARED = Path(__file__).resolve().parents[2] / "../shared"
SERVICE = "service-quotas"
REGION = "us-east-1"
LITE = "On-demand InvokeModel requests per minute for Amazon Titan Text Lite"
LITE_CODE = "L-C5E8EDF3"
V2_CODE = "L-9815D423"
NOT_ADJUSTABLE = "The request failed because the specified quota is not adjustable."
NO_QUOTA = "The request failed because the specified quota does not exist."
NO_SERVICE = "The request failed because the specified service does not exist."


async def ask(client: Client, operation: str, **params: Any) -> dict[str, Any]:
    return await client.ask(SERVICE, operation, **params)


async def bedrock(client: Client, operation: str, **params: Any) -> dict[str, Any]:
    return await ask(client, operation, ServiceCode="bedrock", **params)


async def refused(client: Client, operation: str, **params: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        await ask(client, operation, **{"ServiceCode": "bedrock", **params})
    error: Any = caught.value.response
    status = error["ResponseMetadata"]["HTTPStatusCode"]
    return error["Error"]["Code"], error["Error"]["Message"], status


async def request_more(
    client: Client, value: float = 1000, code: str = LITE_CODE
) -> dict[str, Any]:
    answered = await bedrock(
        client, "RequestServiceQuotaIncrease", QuotaCode=code, DesiredValue=value
    )
    return answered["RequestedQuota"]


async def value_of(client: Client, code: str = LITE_CODE) -> float:
    return (await bedrock(client, "GetServiceQuota", QuotaCode=code))["Quota"]["Value"]


async def change(client: Client, request_id: str) -> dict[str, Any]:
    answered = await ask(client, "GetRequestedServiceQuotaChange", RequestId=request_id)
    return answered["RequestedQuota"]


async def approved(inside: Inside, request_id: str, value: float | None = None) -> None:
    deployment = inside.deployment
    await approve(
        deployment.state.stores.resources, deployment.serving.book, request_id, "olga", value
    )


async def test_su_03_the_quotas_of_amazon_bedrock_are_found_by_its_service(admin: Client) -> None:
    services = (await ask(admin, "ListServices"))["Services"]
    assert {"ServiceCode": "bedrock", "ServiceName": "Amazon Bedrock"} in services
    names = {each["QuotaName"] for each in (await bedrock(admin, "ListServiceQuotas"))["Quotas"]}
    assert LITE in names
    assert "Custom models per account" in names


async def test_a_quota_is_told_in_full(admin: Client) -> None:
    got = (await bedrock(admin, "GetServiceQuota", QuotaCode=LITE_CODE))["Quota"]
    assert got == {
        "ServiceCode": "bedrock",
        "ServiceName": "Amazon Bedrock",
        "QuotaArn": f"arn:aws:servicequotas:{REGION}:{ACCOUNT}:bedrock/{LITE_CODE}",
        "QuotaCode": LITE_CODE,
        "QuotaName": LITE,
        "Value": 800.0,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
        "Period": {"PeriodValue": 1, "PeriodUnit": "MINUTE"},
        "QuotaAppliedAtLevel": "ACCOUNT",
    }
    listed = (await bedrock(admin, "ListServiceQuotas", QuotaCode=LITE_CODE))["Quotas"]
    assert listed == [got]
    assert (await bedrock(admin, "ListServiceQuotas", QuotaAppliedAtLevel="RESOURCE"))[
        "Quotas"
    ] == []


async def test_a_default_is_no_account_s(admin: Client, inside: Inside) -> None:
    await approved(inside, (await request_more(admin))["Id"])
    got = (await bedrock(admin, "GetAWSDefaultServiceQuota", QuotaCode=LITE_CODE))["Quota"]
    assert got["Value"] == 800.0
    assert got["QuotaArn"] == f"arn:aws:servicequotas:{REGION}::bedrock/{LITE_CODE}"
    assert await value_of(admin) == 1000.0
    listed = (await bedrock(admin, "ListAWSDefaultServiceQuotas"))["Quotas"]
    assert got in listed
    assert len(listed) == len(inside.deployment.serving.book.all())


async def test_su_01_and_02_values_and_defaults_are_those_of_the_region(
    admin: Client, inside: Inside
) -> None:
    haiku = {"QuotaCode": code_of(inside, "requests per minute for Anthropic Claude 3 Haiku")}
    tokyo = Client(inside.app, ADMIN, region="ap-northeast-1")
    for client, default in ((admin, 1000.0), (tokyo, 200.0)):
        got = (await bedrock(client, "GetAWSDefaultServiceQuota", **haiku))["Quota"]
        assert got["Value"] == default
    await approved(inside, (await request_more(tokyo))["Id"])
    assert await value_of(tokyo) == 1000.0
    assert await value_of(admin) == 800.0


def code_of(inside: Inside, end: str) -> str:
    (code,) = [q.code for q in inside.deployment.serving.book.all() if q.name.endswith(end)]
    return code


async def test_pages_join_to_the_whole(admin: Client) -> None:
    whole = (await bedrock(admin, "ListServiceQuotas"))["Quotas"]
    joined: list[Any] = []
    more: dict[str, Any] = {}
    while True:
        page = await bedrock(admin, "ListServiceQuotas", MaxResults=7, **more)
        assert len(page["Quotas"]) <= 7
        joined += page["Quotas"]
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
    assert joined == whole
    code, _, status = await refused(admin, "ListServiceQuotas", NextToken="bm8=")
    assert (code, status) == ("InvalidPaginationTokenException", 400)


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        ("GetServiceQuota", {"QuotaCode": "L-00000000"}, NO_QUOTA),
        ("GetAWSDefaultServiceQuota", {"QuotaCode": "L-00000000"}, NO_QUOTA),
        ("RequestServiceQuotaIncrease", {"QuotaCode": "L-00000000", "DesiredValue": 1}, NO_QUOTA),
        ("ListRequestedServiceQuotaChangeHistoryByQuota", {"QuotaCode": "L-00000000"}, NO_QUOTA),
        ("ListServiceQuotas", {"ServiceCode": "Bedrock"}, NO_SERVICE),
        ("ListAWSDefaultServiceQuotas", {"ServiceCode": "ec2"}, NO_SERVICE),
        ("ListRequestedServiceQuotaChangeHistory", {"ServiceCode": "ec2"}, NO_SERVICE),
        (
            "GetServiceQuota",
            {"QuotaCode": LITE_CODE, "ContextId": "x"},
            "The request failed because applied value for the specified context Id do not exist.",
        ),
    ],
)
async def test_what_is_not_there_is_told_as_aws_tells_it(
    admin: Client, operation: str, params: Mapping[str, Any], message: str
) -> None:
    assert await refused(admin, operation, **params) == ("NoSuchResourceException", message, 400)


async def test_su_04_more_is_asked_for_and_given(admin: Client, inside: Inside) -> None:
    made = await request_more(admin)
    assert await change(admin, made["Id"]) == made
    assert await value_of(admin) == 800.0
    await approved(inside, made["Id"])
    assert await value_of(admin) == 1000.0
    later = await change(admin, made["Id"])
    assert later["Status"] == "APPROVED"
    assert later["LastUpdated"] >= later["Created"]
    # It is open no longer: the next one can be asked for.
    assert (await request_more(admin, 2000))["Status"] == "PENDING"


async def test_qu_02_and_su_11_what_is_not_adjustable_cannot_be_asked_for(
    admin: Client, inside: Inside
) -> None:
    quotas = (await bedrock(admin, "ListServiceQuotas"))["Quotas"]
    fixed = [each["QuotaCode"] for each in quotas if not each["Adjustable"]]
    assert V2_CODE in fixed
    for code in fixed:
        told = await refused(
            admin, "RequestServiceQuotaIncrease", QuotaCode=code, DesiredValue=9_999_999
        )
        assert told == ("IllegalArgumentException", NOT_ADJUSTABLE, 400)


async def test_su_12_the_quota_of_the_documents_case_is_there_and_not_adjustable(
    admin: Client,
) -> None:
    text = (SHARED / "seed-examples/RUN-204.yaml").read_text(encoding="utf-8")
    subject: str = cast(Any, yaml).safe_load(text)["subject"]
    quotas = (await bedrock(admin, "ListServiceQuotas"))["Quotas"]
    (named,) = [each for each in quotas if f"“{each['QuotaName']}”" in subject]
    assert named["Adjustable"] is False


async def test_su_13_a_request_is_not_necessarily_granted(admin: Client, inside: Inside) -> None:
    made = await request_more(admin)
    await deny(inside.deployment.state.stores.resources, made["Id"], "olga", "no room")
    assert (await change(admin, made["Id"]))["Status"] == "DENIED"
    assert await value_of(admin) == 800.0


@pytest.mark.parametrize("value", [0, 1, 799, 800])
async def test_more_is_more_than_there_is(admin: Client, value: float) -> None:
    told = await refused(
        admin, "RequestServiceQuotaIncrease", QuotaCode=LITE_CODE, DesiredValue=value
    )
    message = "You must provide a quota value greater than the current quota value"
    assert told == ("IllegalArgumentException", message, 400)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 1e11])
async def test_a_value_that_is_none_is_refused(admin: Client, value: float) -> None:
    code, _, status = await refused(
        admin, "RequestServiceQuotaIncrease", QuotaCode=LITE_CODE, DesiredValue=value
    )
    assert (code, status) in {("ValidationException", 400), ("SerializationException", 400)}


async def test_a_part_of_one_is_not_asked_for(admin: Client) -> None:
    told = await refused(
        admin, "RequestServiceQuotaIncrease", QuotaCode=LITE_CODE, DesiredValue=800.5
    )
    message = "The value of a quota is a whole number, 0 to 10000000000, not 800.5."
    assert told == ("IllegalArgumentException", message, 400)


async def test_of_parallel_requests_for_a_quota_one_is_open(admin: Client) -> None:
    asked = await asyncio.gather(
        *(request_more(admin, 1000 + number) for number in range(12)), return_exceptions=True
    )
    errors = [cast(Any, each).response["Error"] for each in asked if isinstance(each, ClientError)]
    assert len(errors) == 11
    assert {(each["Code"], each["Message"]) for each in errors} == {
        (
            "ResourceAlreadyExistsException",
            "Only one open service quota increase request is allowed per quota.",
        )
    }
    history = await ask(admin, "ListRequestedServiceQuotaChangeHistory", Status="PENDING")
    assert len(history["RequestedQuotas"]) == 1


async def test_open_requests_of_an_account_are_bounded(admin: Client, inside: Inside) -> None:
    book = inside.deployment.serving.book
    adjustable = [quota for quota in book.all() if quota.adjustable]
    for quota in adjustable[:20]:
        await request_more(admin, 9_999_999, quota.code)
    code, _, status = await refused(
        admin,
        "RequestServiceQuotaIncrease",
        QuotaCode=adjustable[20].code,
        DesiredValue=9_999_999,
    )
    assert (code, status) == ("QuotaExceededException", 400)


async def test_history_is_the_account_s_in_the_region_the_newest_first(
    admin: Client, inside: Inside
) -> None:
    first = await request_more(admin)
    second = await request_more(admin, 5, code_of(inside, "Scheduled customization jobs"))
    await approved(inside, first["Id"])
    third = await request_more(admin, 2000)

    async def ids(operation: str, **params: Any) -> list[str]:
        return await ids_for(admin, operation, **params)

    async def ids_for(client: Client, operation: str, **params: Any) -> list[str]:
        answered = await ask(client, operation, **params)
        return [each["Id"] for each in answered["RequestedQuotas"]]

    every = "ListRequestedServiceQuotaChangeHistory"
    assert set(await ids(every)) == {first["Id"], second["Id"], third["Id"]}
    assert await ids(every, Status="APPROVED", ServiceCode="bedrock") == [first["Id"]]
    assert await ids(every, QuotaRequestedAtLevel="RESOURCE") == []
    by_quota = {"ServiceCode": "bedrock", "QuotaCode": LITE_CODE}
    assert set(await ids(f"{every}ByQuota", **by_quota)) == {first["Id"], third["Id"]}
    assert await ids_for(Client(inside.app, ADMIN, region="eu-central-1"), every) == []
    theirs = inside.client(await inside.user(OTHER, "eve", document(allow("servicequotas:*"))))
    assert await ids_for(theirs, every) == []
    code, _, _ = await refused_by_id(theirs, first["Id"])
    assert code == "NoSuchResourceException"


async def refused_by_id(
    client: Client, request_id: str, operation: str = "GetRequestedServiceQuotaChange"
) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        await ask(client, operation, RequestId=request_id)
    error: Any = caught.value.response
    status = error["ResponseMetadata"]["HTTPStatusCode"]
    return error["Error"]["Code"], error["Error"]["Message"], status


async def test_a_support_case_goes_with_its_request(admin: Client, inside: Inside) -> None:
    made = await request_more(admin)
    await ask(admin, "CreateSupportCase", RequestId=made["Id"])
    opened = await change(admin, made["Id"])
    assert opened["Status"] == "CASE_OPENED"
    code, _, _ = await refused_by_id(admin, made["Id"], "CreateSupportCase")
    assert code == "ResourceAlreadyExistsException"
    resources = inside.deployment.state.stores.resources
    async with resources.reading() as view:
        case = await get_case(view, opened["CaseId"])
    assert LITE in case.record.subject
    await approved(inside, made["Id"])
    assert (await change(admin, made["Id"]))["Status"] == "APPROVED"
    async with resources.reading() as view:
        case = await get_case(view, opened["CaseId"])
    assert (case.record.status, case.record.communications) == ("resolved", 2)


async def test_a_case_that_is_closed_first_ends_its_request(admin: Client, inside: Inside) -> None:
    made = await request_more(admin)
    await ask(admin, "CreateSupportCase", RequestId=made["Id"])
    case_id = (await change(admin, made["Id"]))["CaseId"]
    async with inside.deployment.state.stores.resources.writing() as transaction:
        await resolve(transaction, await get_case(transaction, case_id))
    assert (await change(admin, made["Id"]))["Status"] == "CASE_CLOSED"
    assert (await request_more(admin))["Status"] == "PENDING"


async def test_there_is_a_case_only_about_an_open_request(admin: Client, inside: Inside) -> None:
    made = await request_more(admin)
    await approved(inside, made["Id"])
    code, _, _ = await refused_by_id(admin, made["Id"], "CreateSupportCase")
    assert code == "InvalidResourceStateException"
    code, _, _ = await refused_by_id(admin, "nothing", "CreateSupportCase")
    assert code == "NoSuchResourceException"


async def test_leave_to_ask_can_be_for_one_quota(inside: Inside) -> None:
    arn = f"arn:aws:servicequotas:{REGION}:{ACCOUNT}:bedrock/{LITE_CODE}"
    policy = document(allow("servicequotas:RequestServiceQuotaIncrease", arn))
    user = inside.client(await inside.user(ACCOUNT, "ann", policy))
    requester = json.loads((await request_more(user))["Requester"])
    assert requester == {
        "accountId": ACCOUNT,
        "callerArn": f"arn:aws:iam::{ACCOUNT}:user/ann",
    }
    other = code_of(inside, "Custom models per account")
    code, message, _ = await refused(
        user, "RequestServiceQuotaIncrease", QuotaCode=other, DesiredValue=200
    )
    assert code == "AccessDeniedException"
    assert message.startswith(
        f"User: arn:aws:iam::{ACCOUNT}:user/ann is not authorized to perform: "
        f"servicequotas:RequestServiceQuotaIncrease on resource: "
        f"arn:aws:servicequotas:{REGION}:{ACCOUNT}:bedrock/{other} because"
    )
    code, message, _ = await refused(user, "ListServiceQuotas")
    assert code == "AccessDeniedException"


@pytest.mark.parametrize(("service", "may"), [("bedrock", True), ("ec2", False)])
async def test_leave_to_ask_can_be_for_one_service(inside: Inside, service: str, may: bool) -> None:
    condition = {"StringEquals": {"servicequotas:service": service}}
    statement = {**allow("servicequotas:RequestServiceQuotaIncrease"), "Condition": condition}
    user = inside.client(await inside.user(ACCOUNT, "ann", document(statement)))
    if may:
        assert (await request_more(user))["Status"] == "PENDING"
    else:
        asked = {"QuotaCode": LITE_CODE, "DesiredValue": 1000}
        code, _, _ = await refused(user, "RequestServiceQuotaIncrease", **asked)
        assert code == "AccessDeniedException"


def recordings() -> list[Any]:
    lines = (SHARED / "real-control-plane.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        pytest.param(row["op"], row["data"], id=f"{row['op']}-{row['id']}")
        for row in rows
        if row["service"] == "servicequotas"
    ]


# Of a quota whose use CloudWatch counts; of a request that AWS's support has closed.
NOT_HERE = {"UsageMetric", "CaseId", "LastUpdated"}


@pytest.mark.parametrize(("operation", "recorded"), recordings())
async def test_recorded_answers_have_the_members_of_ours(
    admin: Client, operation: str, recorded: Mapping[str, Any]
) -> None:
    params: dict[str, Any] = {"ServiceCode": "bedrock"}
    if operation == "ListServices":
        params = {}
    if operation == "RequestServiceQuotaIncrease":
        params |= {"QuotaCode": LITE_CODE, "DesiredValue": 1000}
    elif "History" in operation:
        await request_more(admin)
    ours = await ask(admin, operation, **params)
    for member, value in recorded.items():
        if member == "ResponseMetadata":
            continue
        for each in _listed(value):
            assert any(_has(one, each) for one in _listed(ours[member])), each


def _listed(value: Any) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", value if isinstance(value, list) else [value])


def _has(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Every member of theirs, of the same type."""
    wanted = theirs.keys() - NOT_HERE
    return wanted <= ours.keys() and all(
        isinstance(ours[name], type(theirs[name])) or name == "Created" for name in wanted
    )


def test_an_unmodified_client_pages_and_asks(scripted_gateway: Gateway) -> None:
    client = scripted_gateway.client(SERVICE, "sa-east-1")
    pages = client.get_paginator("list_service_quotas").paginate(
        ServiceCode="bedrock", PaginationConfig={"PageSize": 10}
    )
    quotas = [each for page in pages for each in page["Quotas"]]
    assert len(quotas) > 20
    (lite,) = [each for each in quotas if each["QuotaName"] == LITE]
    wanted = {"ServiceCode": "bedrock", "QuotaCode": lite["QuotaCode"]}
    client.request_service_quota_increase(**wanted, DesiredValue=lite["Value"] + 1)
    with pytest.raises(client.exceptions.ResourceAlreadyExistsException):
        client.request_service_quota_increase(**wanted, DesiredValue=lite["Value"] + 1)
    with pytest.raises(client.exceptions.NoSuchResourceException):
        client.get_service_quota(ServiceCode="bedrock", QuotaCode="L-00000000")
