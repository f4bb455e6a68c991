"""AWS Support: the documents' cases, as a client of AWS opens them and an operator answers."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from botocore.exceptions import ClientError
from in_process import Client, Inside
from running_gateways import ACCESS_KEY, SECRET_KEY, Gateway
from statements import ACCOUNT, OTHER, allow, document

from outcrop.stores.support_cases import MOST_OPEN_CASES, answer, get_case, set_plan
from outcrop.stores.support_records import Plan, Status

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "seed-examples"

ALLOWLISTING = {
    "issueType": "customer-service",
    "serviceCode": "account-activation",
    "categoryCode": "bedrock-allowlisting",
}
TECHNICAL = {"issueType": "technical", "serviceCode": "amazon-bedrock"}


def template(name: str) -> dict[str, Any]:
    """A case of the documents, in Japanese."""
    case = cast(Any, yaml).safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    return {
        "subject": case["subject"],
        "communicationBody": case["description"],
        "language": "ja",
    }


async def subscribe(inside: Inside, plan: Plan | None, account: str = ACCOUNT) -> None:
    async with inside.deployment.state.stores.resources.writing() as transaction:
        await set_plan(transaction, account, plan)


async def create(client: Client, **params: Any) -> str:
    asked = {"subject": "s", "communicationBody": "b", **ALLOWLISTING, **params}
    return (await client.ask("support", "CreateCase", **asked))["caseId"]


async def cases(client: Client, **params: Any) -> list[dict[str, Any]]:
    return (await client.ask("support", "DescribeCases", **params))["cases"]


async def operator_answers(inside: Inside, case_id: str, status: Status) -> None:
    async with inside.deployment.state.stores.resources.writing() as transaction:
        case = await get_case(transaction, case_id)
        await answer(transaction, case, "Please tell us more.", "Outcrop Support", status)


async def refused(client: Client, operation: str, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        await client.ask("support", operation, **params)
    error: Any = caught.value.response
    return error["Error"]["Code"], error["Error"]["Message"]


async def test_an_account_without_a_plan_asks_to_be_allowlisted(admin: Client) -> None:
    case_id = await create(admin, **template("RUN-202"))
    (case,) = await cases(admin)
    assert case["caseId"] == case_id
    assert case["subject"] == "Amazon Bedrock でモデルアクセスの有効化ができない"
    assert (case["serviceCode"], case["categoryCode"]) == (
        "account-activation",
        "bedrock-allowlisting",
    )
    assert (case["status"], case["severityCode"], case["language"]) == ("unassigned", "low", "ja")
    assert case["displayId"].isdecimal()
    (written,) = case["recentCommunications"]["communications"]
    assert written["body"] == template("RUN-202")["communicationBody"]
    assert written["submittedBy"] == case["submittedBy"]
    assert written["submittedBy"].startswith(f"arn:aws:iam::{ACCOUNT}:user/")


@pytest.mark.parametrize("language", ["en", "ja", "ko", "zh"])
async def test_a_case_id_names_account_language_and_year(admin: Client, language: str) -> None:
    case_id = await create(admin, language=language)
    parts = case_id.split("-")
    assert parts[:3] == ["case", ACCOUNT, f"mu{language}"]
    assert int(parts[3]) >= 2026
    assert len(bytes.fromhex(parts[4])) == 8


@pytest.mark.parametrize("plan", ["developer", "business", "enterprise"])
@pytest.mark.parametrize("name", ["RUN-203", "RUN-204"])
async def test_an_account_with_a_plan_opens_the_documents_technical_cases(
    inside: Inside, admin: Client, plan: Plan, name: str
) -> None:
    await subscribe(inside, plan)
    case_id = await create(admin, **template(name), **TECHNICAL, categoryCode="throttling")
    (case,) = await cases(admin, caseIdList=[case_id])
    assert case["subject"] == template(name)["subject"]
    assert case["serviceCode"] == "amazon-bedrock"


async def test_a_technical_case_without_a_plan_is_refused_in_awss_words(admin: Client) -> None:
    code, message = await refused(
        admin, "CreateCase", subject="s", communicationBody="b", **TECHNICAL
    )
    assert code == "SubscriptionRequiredException"
    assert message == (
        "Amazon Web Services Premium Support Subscription is required to use this service."
    )


async def test_technical_services_are_listed_where_there_is_a_plan(
    inside: Inside, admin: Client
) -> None:
    async def codes(**params: Any) -> list[str]:
        answered = await admin.ask("support", "DescribeServices", **params)
        return [each["code"] for each in answered["services"]]

    assert await codes() == ["account-activation", "billing", "customer-account"]
    await subscribe(inside, "developer")
    assert "amazon-bedrock" in await codes()
    assert await codes(serviceCodeList=["amazon-bedrock", "x"]) == ["amazon-bedrock"]
    await subscribe(inside, None)
    assert await codes(serviceCodeList=["amazon-bedrock"]) == []


@pytest.mark.parametrize(
    ("plan", "levels"),
    [
        (None, ["low"]),
        ("developer", ["low", "normal"]),
        ("business", ["low", "normal", "high", "urgent"]),
        ("enterprise", ["low", "normal", "high", "urgent", "critical"]),
    ],
)
async def test_severities_go_as_far_as_the_plan(
    inside: Inside, admin: Client, plan: Plan | None, levels: list[str]
) -> None:
    await subscribe(inside, plan)
    answered = await admin.ask("support", "DescribeSeverityLevels", language="ja")
    assert [each["code"] for each in answered["severityLevels"]] == levels
    for severity in ("low", "normal", "high", "urgent", "critical"):
        if severity in levels:
            await create(admin, severityCode=severity)
        else:
            asked = {"subject": "s", "communicationBody": "b", **ALLOWLISTING}
            code, _ = await refused(admin, "CreateCase", **asked, severityCode=severity)
            assert code == "ValidationException"


@pytest.mark.parametrize(
    "wrong",
    [
        {"serviceCode": "amazon-bedrock"},
        {"serviceCode": "service-limit-increase"},
        {"categoryCode": "throttling"},
        {"issueType": "praise"},
        {"language": "tlh"},
        {"subject": " "},
        {"subject": "x" * 1001},
    ],
    ids=str,
)
async def test_what_a_case_cannot_be_about_is_refused(admin: Client, wrong: dict[str, str]) -> None:
    asked = {"subject": "s", "communicationBody": "b", **ALLOWLISTING, **wrong}
    code, _ = await refused(admin, "CreateCase", **asked)
    assert code == "ValidationException"
    assert await cases(admin) == []


async def test_a_conversation_goes_through_its_statuses(inside: Inside, admin: Client) -> None:
    case_id = await create(admin)

    async def status() -> str:
        (case,) = await cases(admin, caseIdList=[case_id], includeResolvedCases=True)
        return case["status"]

    async def write(body: str) -> None:
        reply = {"caseId": case_id, "communicationBody": body}
        answered = await admin.ask("support", "AddCommunicationToCase", **reply)
        assert answered["result"] is True

    await write("more")
    assert await status() == "unassigned"
    await operator_answers(inside, case_id, "pending-customer-action")
    assert await status() == "pending-customer-action"
    await write("here it is")
    assert await status() == "customer-action-completed"
    resolved = await admin.ask("support", "ResolveCase", caseId=case_id)
    assert resolved["initialCaseStatus"] == "customer-action-completed"
    assert resolved["finalCaseStatus"] == "resolved"
    assert await cases(admin) == []
    await write("it is back")
    assert await status() == "reopened"
    answered = await admin.ask("support", "DescribeCommunications", caseId=case_id)
    bodies = [each["body"] for each in answered["communications"]]
    assert bodies == ["it is back", "here it is", "Please tell us more.", "more", "b"]


async def test_cases_are_found_by_id_number_language_and_time(admin: Client) -> None:
    english, japanese = await create(admin), await create(admin, language="ja")
    found = {each["caseId"]: each for each in await cases(admin)}
    assert list(found) == [japanese, english]
    by_number = await cases(admin, displayId=found[english]["displayId"])
    assert [each["caseId"] for each in by_number] == [english]
    assert [each["caseId"] for each in await cases(admin, language="ja")] == [japanese]
    created = found[english]["timeCreated"]
    assert datetime.fromisoformat(created).tzinfo == UTC
    assert english in [each["caseId"] for each in await cases(admin, beforeTime=created)]
    assert await cases(admin, beforeTime="2020-01-01") == []
    assert len(await cases(admin, afterTime="2020-01-01T00:00:00.000Z")) == 2
    (bare,) = await cases(admin, caseIdList=[english], includeCommunications=False)
    assert "recentCommunications" not in bare


@pytest.mark.parametrize("time", ["yesterday", "2024-13-01", "2024-11-12 00:00"])
async def test_what_is_no_time_is_refused(admin: Client, time: str) -> None:
    assert (await refused(admin, "DescribeCases", afterTime=time))[0] == "ValidationException"


async def test_long_lists_come_in_pages(admin: Client) -> None:
    made = [await create(admin, subject=f"s{number}") for number in range(12)]
    first = await admin.ask("support", "DescribeCases", maxResults=10)
    rest = await admin.ask("support", "DescribeCases", maxResults=10, nextToken=first["nextToken"])
    found = [each["caseId"] for each in (*first["cases"], *rest["cases"])]
    assert found == made[::-1]
    assert "nextToken" not in rest


async def test_an_account_has_so_many_open_cases(admin: Client) -> None:
    made = [await create(admin) for _ in range(MOST_OPEN_CASES)]
    asked = {"subject": "s", "communicationBody": "b", **ALLOWLISTING}
    assert (await refused(admin, "CreateCase", **asked))[0] == "CaseCreationLimitExceeded"
    await admin.ask("support", "ResolveCase", caseId=made[0])
    await create(admin)


async def test_cases_of_other_accounts_are_not_there(inside: Inside, admin: Client) -> None:
    case_id = await create(admin)
    (own,) = await cases(admin)
    stranger = inside.client(await inside.user(OTHER, "eve", document(allow("*"))))
    assert await cases(stranger) == []
    for operation, params in (
        ("DescribeCases", {"caseIdList": [case_id]}),
        ("DescribeCases", {"displayId": own["displayId"]}),
        ("DescribeCommunications", {"caseId": case_id}),
        ("AddCommunicationToCase", {"caseId": case_id, "communicationBody": "b"}),
        ("AddCommunicationToCase", {"communicationBody": "b"}),
        ("ResolveCase", {"caseId": case_id}),
        ("ResolveCase", {}),
    ):
        assert (await refused(stranger, operation, **params))[0] == "CaseIdNotFound"


async def test_policies_decide_who_may_open_cases(inside: Inside) -> None:
    reader = await inside.user(ACCOUNT, "rea", document(allow("support:Describe*")))
    client = inside.client(reader)
    assert await cases(client) == []
    asked = {"subject": "s", "communicationBody": "b", **ALLOWLISTING}
    code, message = await refused(client, "CreateCase", **asked)
    assert code == "AccessDeniedException"
    assert "is not authorized to perform: support:CreateCase because no identity" in message


async def test_a_trial_run_checks_and_changes_nothing(admin: Client) -> None:
    case_id = await create(admin)
    asked = {"subject": "s", "communicationBody": "b", **ALLOWLISTING, "dryRun": True}
    trials: tuple[tuple[str, dict[str, Any]], ...] = (
        ("CreateCase", asked),
        ("DescribeCases", {"dryRun": True}),
        ("DescribeServices", {"dryRun": True}),
        ("DescribeSeverityLevels", {"dryRun": True}),
        ("DescribeCommunications", {"caseId": case_id, "dryRun": True}),
        ("ResolveCase", {"caseId": case_id, "dryRun": True}),
        (
            "AddCommunicationToCase",
            {"caseId": case_id, "communicationBody": "more", "dryRun": True},
        ),
        ("AddAttachmentsToSet", {"attachments": [], "dryRun": True}),
    )
    for operation, params in trials:
        assert (await refused(admin, operation, **params))[0] == "DryRunOperationException"
    code, _ = await refused(admin, "ResolveCase", caseId="case-x", dryRun=True)
    assert code == "CaseIdNotFound"
    (case,) = await cases(admin)
    assert case["status"] == "unassigned"
    assert len(case["recentCommunications"]["communications"]) == 1


async def test_copies_go_on_the_case_and_are_no_more_than_ten(admin: Client) -> None:
    case_id = await create(admin, ccEmailAddresses=["a@example.com"])
    reply = {"caseId": case_id, "communicationBody": "b"}
    more = [f"{number}@example.com" for number in range(9)]
    await admin.ask(
        "support", "AddCommunicationToCase", **reply, ccEmailAddresses=["a@example.com", *more]
    )
    (case,) = await cases(admin)
    assert case["ccEmailAddresses"] == ["a@example.com", *more]
    again = {**reply, "ccEmailAddresses": ["late@example.com"]}
    assert (await refused(admin, "AddCommunicationToCase", **again))[0] == "ValidationException"


async def test_languages_and_ways_to_write_are_told(admin: Client) -> None:
    about = {
        "issueType": "customer-service",
        "serviceCode": "account-activation",
        "categoryCode": "bedrock-allowlisting",
    }
    answered = await admin.ask("support", "DescribeSupportedLanguages", **about)
    assert [each["code"] for each in answered["supportedLanguages"]] == ["en", "ja", "ko", "zh"]
    options = await admin.ask("support", "DescribeCreateCaseOptions", **about, language="ja")
    assert options["languageAvailability"] == "available"
    assert [each["type"] for each in options["communicationTypes"]] == ["web"]


def test_a_real_client_opens_the_documents_case_and_pages_through(
    scripted_gateway: Gateway,
) -> None:
    client = scripted_gateway.client("support", key=ACCESS_KEY, secret=SECRET_KEY)
    case_id = client.create_case(**template("RUN-202"), **ALLOWLISTING)["caseId"]
    try:
        pages = client.get_paginator("describe_cases").paginate(language="ja")
        assert case_id in [each["caseId"] for page in pages for each in page["cases"]]
    finally:
        client.resolve_case(caseId=case_id)
