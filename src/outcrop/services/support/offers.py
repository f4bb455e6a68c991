"""What cases can be about, how severe and in which language: by the support plan of the account.

Without a plan an account asks about itself and its bill, and to be let in to Bedrock; technical
cases need a plan. AWS asks for one before anything else; the documents let such accounts in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from outcrop.errors import ServiceError, ValidationException
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.support.requests import refuse_dry_run
from outcrop.stores.support_cases import find_plan
from outcrop.stores.support_records import IssueType, Plan, Severity


@dataclass(frozen=True, slots=True)
class Topic:
    """A service of the list, with its categories by code."""

    code: str
    name: str
    issue_type: IssueType
    categories: Mapping[str, str]


GENERAL: Final = "general-info"

_TOPICS: Final = (
    Topic(
        "account-activation",
        "Account Activation",
        "customer-service",
        {"bedrock-allowlisting": "Bedrock Allowlisting", "other": "Other Activation Questions"},
    ),
    Topic(
        "billing",
        "Billing",
        "customer-service",
        {"charge-inquiry": "Charge Inquiry", "other": "Other Billing Questions"},
    ),
    Topic(
        "customer-account",
        "Account",
        "customer-service",
        {"close-account": "Close Account", "other": "Other Account Questions"},
    ),
    Topic(
        "amazon-bedrock",
        "Amazon Bedrock",
        "technical",
        {
            "general-guidance": "General Guidance",
            "model-access": "Model Access",
            "throttling": "Throttling and Quotas",
            "inference": "Model Inference",
            "provisioned-throughput": "Provisioned Throughput",
            "customization": "Model Customization",
            "agents": "Agents",
            "knowledge-bases": "Knowledge Bases",
            "feature-request": "Feature Request",
        },
    ),
    Topic(GENERAL, "General Info and Getting Started", "technical", {"using-aws": "Using AWS"}),
)

_SEVERITIES: Final[Mapping[Severity, str]] = {
    "low": "Low",
    "normal": "Normal",
    "high": "High",
    "urgent": "Urgent",
    "critical": "Critical",
}
_MOST_SEVERE: Final[Mapping[Plan | None, Severity]] = {
    None: "low",
    "developer": "normal",
    "business": "urgent",
    "enterprise": "critical",
}

LANGUAGES: Final = {
    "en": ("English", "English"),
    "ja": ("Japanese", "日本語"),
    "ko": ("Korean", "한국어"),
    "zh": ("Chinese", "中文"),
}
"""Names in English and in itself. An operator answers in whichever the case is written."""


@operation
async def describe_services(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    check_language(params)
    plan = await plan_of(call)
    codes: Sequence[str] = params.get("serviceCodeList", ())
    refuse_dry_run(params)
    return {
        "services": [
            _described(topic)
            for topic in _TOPICS
            if _may_ask(topic, plan) and (not codes or topic.code in codes)
        ]
    }


@operation
async def describe_severity_levels(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    check_language(params)
    levels = severities(await plan_of(call))
    refuse_dry_run(params)
    return {"severityLevels": [{"code": code, "name": _SEVERITIES[code]} for code in levels]}


@operation
async def describe_supported_languages(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    issue_type = find_issue_type(params)
    get_topic(await plan_of(call), issue_type, params["serviceCode"], params["categoryCode"])
    refuse_dry_run(params)
    return {
        "supportedLanguages": [
            {"code": code, "language": name, "display": own}
            for code, (name, own) in LANGUAGES.items()
        ]
    }


@operation
async def describe_create_case_options(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """Cases are read by whoever operates the deployment, whenever that is: in writing only."""
    check_language(params)
    issue_type = find_issue_type(params)
    get_topic(await plan_of(call), issue_type, params["serviceCode"], params["categoryCode"])
    refuse_dry_run(params)
    always = [{"startTime": "00:00", "endTime": "23:59"}]
    return {
        "languageAvailability": "available",
        "communicationTypes": [
            {"type": "web", "supportedHours": always, "datesWithoutSupport": []}
        ],
    }


async def plan_of(call: Call) -> Plan | None:
    async with call.stores.resources.reading() as view:
        return await find_plan(view, call.account)


def severities(plan: Plan | None) -> list[Severity]:
    known = list(_SEVERITIES)
    return known[: known.index(_MOST_SEVERE[plan]) + 1]


def get_severity(plan: Plan | None, params: Mapping[str, Any]) -> Severity:
    """The least one where none is asked for."""
    asked = params.get("severityCode", "low")
    for severity in severities(plan):
        if severity == asked:
            return severity
    allowed = ", ".join(severities(plan))
    raise ValidationException(
        f"Invalid severity code: {asked}. The support plan of this account has {allowed}."
    )


def find_issue_type(params: Mapping[str, Any]) -> IssueType:
    match params.get("issueType", "technical"):
        case "technical":
            return "technical"
        case "customer-service" | "account-and-billing":
            return "customer-service"
        case other:
            raise ValidationException(
                f"Invalid issue type: {other}. It is technical or customer-service."
            )


def get_topic(
    plan: Plan | None, issue_type: IssueType, service: str, category: str | None
) -> tuple[str, str]:
    """Codes of service and category; the first category where none is asked for."""
    if issue_type == "technical" and plan is None:
        # AWS's words, as accounts without a plan get them.
        raise ServiceError(
            "SubscriptionRequiredException",
            "Amazon Web Services Premium Support Subscription is required to use this service.",
            status=400,
        )
    topic = next((each for each in _TOPICS if each.code == service), None)
    if topic is None or topic.issue_type != issue_type:
        raise ValidationException(
            f"Invalid service code: {service}. DescribeServices lists those of {issue_type} cases."
        )
    chosen = category if category is not None else next(iter(topic.categories))
    if chosen not in topic.categories:
        raise ValidationException(
            f"Invalid category code: {chosen}. {service} has {', '.join(topic.categories)}."
        )
    return topic.code, chosen


def check_language(params: Mapping[str, Any]) -> str:
    language = params.get("language", "en")
    if language not in LANGUAGES:
        raise ValidationException(
            f"Invalid language: {language}. It is one of {', '.join(LANGUAGES)}."
        )
    return language


def _may_ask(topic: Topic, plan: Plan | None) -> bool:
    return plan is not None or topic.issue_type == "customer-service"


def _described(topic: Topic) -> dict[str, Any]:
    categories = [{"code": code, "name": name} for code, name in topic.categories.items()]
    return {"code": topic.code, "name": topic.name, "categories": categories}
