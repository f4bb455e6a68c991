"""Everything that an account does about access, quotas and capacity, at the same time: what was
acknowledged is there, once, also after kill -9, and nothing fails that should not."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from operator_commands import outcrop
from running_gateways import ACCOUNT, SCRIPTED, Gateway, start_gateway

from outcrop.quotas.book import BASE_MODEL_UNITS
from outcrop.stores.database import Database
from outcrop.stores.quota_records import QuotaValue
from outcrop.stores.resources import Place, Resources

DEFAULTS = {"OUTCROP_ACCESS_DEFAULT": "none", "OUTCROP_QUOTAS_PROFILE": "aws"}
TITAN, COMMAND = "amazon.titan-text-express-v1", "cohere.command-r-v1:0"
NOVA = "amazon.nova-lite-v1:0"
CALLS, MOST_TAGS = 8, 50
# Regions have quotas, access and names of their own: one for each contest of purchases.
QUOTA, TOKEN, NAME, ACCESS = "us-east-1", "us-west-2", "eu-central-1", "ap-northeast-1"
UNITS_IN = {QUOTA: 3, TOKEN: 1, NAME: CALLS, ACCESS: CALLS}
CASE = {
    "communicationBody": "Please",
    "issueType": "customer-service",
    "serviceCode": "account-activation",
    "categoryCode": "bedrock-allowlisting",
}

ACKNOWLEDGED = {
    "profiles": ["one name", "one token", "names"],
    "requests": ["one request", "requests"],
    "cases": ["cases"],
    QUOTA: ["units"],
    TOKEN: ["bought once"],
    NAME: ["bought by one name"],
    ACCESS: ["bought while access goes"],
}

Do = Callable[[], Any]


@dataclass
class Contest:
    """Calls that go out together, and what came of each."""

    calls: list[Do]
    answers: list[Any] = field(default_factory=list[Any])
    codes: Counter[str] = field(default_factory=Counter[str])

    def run(self, call: Do) -> None:
        try:
            self.answers.append(call())
        except ClientError as error:
            response = cast(Any, error.response)
            assert response["ResponseMetadata"]["HTTPStatusCode"] < 500, response
            self.codes[response["Error"]["Code"]] += 1


@dataclass
class Account:
    gateway: Gateway
    month: str
    profile_arns: dict[str, str] = field(default_factory=dict[str, str])

    def client(self, service: str, region: str = QUOTA) -> Any:
        return self.gateway.client(service, region, max_pool_connections=32)

    def prepare(self) -> None:
        asyncio.run(self._allow_units())
        outcrop(self.gateway, "access", "grant", TITAN, NOVA)
        # A running server reads what another process wrote within half a second; each call asks.
        assert any(self.is_granted(NOVA, QUOTA) for _ in range(2000))

    async def _allow_units(self) -> None:
        database = await Database.open(self.gateway.data_dir / "outcrop.db")
        async with Resources(database).writing() as transaction:
            for region, units in UNITS_IN.items():
                place = Place(ACCOUNT, region, BASE_MODEL_UNITS)
                await transaction.add(QuotaValue(value=units), place)
        await database.close()

    def profile(self, name: str, **params: Any) -> str:
        made = self.client("bedrock").create_inference_profile(
            inferenceProfileName=name,
            modelSource={"copyFrom": f"arn:aws:bedrock:{QUOTA}::foundation-model/{TITAN}"},
            **params,
        )
        return made["inferenceProfileArn"]

    def buyer(self, region: str) -> Callable[..., str]:
        client = self.client("bedrock", region)

        def buy(name: str, **params: Any) -> str:
            return client.create_provisioned_model_throughput(
                provisionedModelName=name,
                modelId=f"{TITAN}:0:8k",
                modelUnits=1,
                commitmentDuration="OneMonth",
                **params,
            )["provisionedModelArn"]

        return buy

    def held(self) -> dict[str, Any]:
        """All that the account has, as it is listed."""
        bedrock = self.client("bedrock")
        found: dict[str, Any] = {
            "profiles": sorted(
                each["inferenceProfileArn"]
                for page in bedrock.get_paginator("list_inference_profiles").paginate(
                    typeEquals="APPLICATION", PaginationConfig={"PageSize": 3}
                )
                for each in page["inferenceProfileSummaries"]
            ),
            "tags": {
                each: bedrock.list_tags_for_resource(resourceARN=each)["tags"]
                for each in sorted(self.profile_arns.values())
            },
            "requests": sorted(
                each["Id"]
                for page in self.client("service-quotas")
                .get_paginator("list_requested_service_quota_change_history")
                .paginate(ServiceCode="bedrock")
                for each in page["RequestedQuotas"]
            ),
            "cases": sorted(
                each["caseId"]
                for page in self.client("support").get_paginator("describe_cases").paginate()
                for each in page["cases"]
            ),
            "agreement": self.is_granted(COMMAND, QUOTA),
            "access": self.is_granted(TITAN, ACCESS),
        }
        for region in UNITS_IN:
            listed = self.client("bedrock", region).list_provisioned_model_throughputs()
            summaries = listed["provisionedModelSummaries"]
            found[region] = sorted(each["provisionedModelArn"] for each in summaries)
        return found

    def is_granted(self, model: str, region: str) -> bool:
        found = self.client("bedrock", region).get_foundation_model_availability(modelId=model)
        return found["entitlementAvailability"] == "AVAILABLE"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("at-once")
    account = Account(start_gateway(folder, SCRIPTED, variables=DEFAULTS), _this_month())
    account.prepare()
    yield account
    account.gateway.stop()


@pytest.fixture(scope="module")
def ran(account: Account) -> dict[str, Contest]:
    """All contests, when all of their calls have been answered."""
    found = contests(account)
    # The first call of each contest, then the second of each: all of them run side by side.
    rounds = range(max(len(each.calls) for each in found.values()))
    calls = [
        (each, each.calls[n]) for n in rounds for each in found.values() if n < len(each.calls)
    ]
    with ThreadPoolExecutor(24) as pool:
        for done in [pool.submit(contest.run, call) for contest, call in calls]:
            done.result()
    return found


def contests(account: Account) -> dict[str, Contest]:
    bedrock, quotas = account.client("bedrock"), account.client("service-quotas")
    support, runtime = account.client("support"), account.client("bedrock-runtime")
    tagged = {name: account.profile(name) for name in ("tagged", "full", "doomed")}
    account.profile_arns = {name: tagged[name] for name in ("tagged", "full")}
    (offer,) = bedrock.list_foundation_model_agreement_offers(modelId=COMMAND)["offers"]
    rates = _adjustable(quotas)[:4]

    def tag(name: str, key: str) -> None:
        tags = [{"key": key, "value": name}]
        bedrock.tag_resource(resourceARN=tagged[name], tags=tags)

    def ask_more(code: str) -> str:
        asked = {"ServiceCode": "bedrock", "QuotaCode": code, "DesiredValue": 1e9}
        return quotas.request_service_quota_increase(**asked)["RequestedQuota"]["Id"]

    def agree() -> None:
        token = offer["offerToken"]
        bedrock.create_foundation_model_agreement(modelId=COMMAND, offerToken=token)

    def call() -> dict[str, int]:
        messages = [{"role": "user", "content": [{"text": "Hello"}]}]
        return runtime.converse(modelId=NOVA, messages=messages)["usage"]

    def many(do: Callable[[int], Any], times: int = CALLS) -> Contest:
        return Contest([lambda n=n: do(n) for n in range(times)])

    buy = {region: account.buyer(region) for region in UNITS_IN}
    removing = account.client("bedrock", ACCESS)
    return {
        "one name": many(lambda _: account.profile("one")),
        "one token": many(lambda _: account.profile("once", clientRequestToken="t")),
        "names": many(lambda n: account.profile(f"profile-{n}")),
        "deletion": many(
            lambda _: bedrock.delete_inference_profile(inferenceProfileIdentifier=tagged["doomed"])
        ),
        "tags": many(lambda n: tag("tagged", f"key-{n}")),
        "too many tags": many(lambda n: tag("full", f"key-{n}"), MOST_TAGS + 6),
        "one request": many(lambda _: ask_more(rates[0])),
        "requests": many(lambda n: ask_more(rates[1:][n]), 3),
        "agreements": many(lambda _: agree()),
        "removals": many(lambda _: bedrock.delete_foundation_model_agreement(modelId=COMMAND)),
        "units": many(lambda n: buy[QUOTA](f"unit-{n}")),
        "bought once": many(lambda _: buy[TOKEN]("once", clientRequestToken="t")),
        "bought by one name": many(lambda _: buy[NAME]("one")),
        "bought while access goes": many(lambda n: buy[ACCESS](f"unit-{n}")),
        "access that goes": many(
            lambda _: removing.delete_foundation_model_agreement(modelId=TITAN), 3
        ),
        "cases": many(lambda n: support.create_case(subject=f"Case {n}", **CASE)["caseId"]),
        "calls": many(lambda _: call(), 3 * CALLS),
    }


def _adjustable(quotas: Any) -> list[str]:
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock")
    found = [each for page in pages for each in page["Quotas"]]
    return [
        each["QuotaCode"]
        for each in found
        if each["Adjustable"] and each["QuotaName"].startswith("On-demand")
    ]


def test_of_parallel_calls_as_many_win_as_may(ran: dict[str, Contest]) -> None:
    won = {name: len(contest.answers) for name, contest in ran.items()}
    codes = {name: dict(contest.codes) for name, contest in ran.items()}
    for name, wins, code in (
        ("one name", 1, "ConflictException"),
        ("deletion", 1, "ResourceNotFoundException"),
        ("one request", 1, "ResourceAlreadyExistsException"),
        ("too many tags", MOST_TAGS, "TooManyTagsException"),
        ("units", UNITS_IN[QUOTA], "ServiceQuotaExceededException"),
        ("bought by one name", 1, "ValidationException"),
    ):
        expected = {code: len(ran[name].calls) - wins}
        assert (won[name], codes[name]) == (wins, expected), name
    for name in ("one token", "names", "tags", "requests", "bought once", "cases", "calls"):
        assert (won[name], codes[name]) == (len(ran[name].calls), {}), name
    for name in ("one token", "bought once"):
        assert len(set(ran[name].answers)) == 1, name
    assert set(codes["agreements"]) <= {"ConflictException"}
    assert set(codes["removals"]) <= {"ResourceNotFoundException"}
    # Either somebody bought, and access stays, or it went, and nobody bought.
    assert (won["bought while access goes"] > 0) != (won["access that goes"] > 0)


def test_what_was_acknowledged_is_listed_also_after_kill_9(
    account: Account, ran: dict[str, Contest]
) -> None:
    held = account.held()
    won = {name: len(contest.answers) for name, contest in ran.items()}
    assert held["agreement"] == won["agreements"] - won["removals"]
    assert held["access"] == (won["bought while access goes"] > 0)
    for listed, names in ACKNOWLEDGED.items():
        answers = {each for name in names for each in ran[name].answers}
        if listed == "profiles":
            answers |= set(account.profile_arns.values())
        assert held[listed] == sorted(answers), listed
    counts = {name: len(held["tags"][arn]) for name, arn in account.profile_arns.items()}
    assert counts == {"tagged": CALLS, "full": MOST_TAGS}

    used = _used(ran["calls"].answers)
    assert any(_billed(account) == used for _ in range(30))
    account.gateway.process.kill()
    account.gateway.process.wait(timeout=60)
    folder = account.gateway.data_dir.parent
    account.gateway = start_gateway(folder, SCRIPTED, variables=DEFAULTS)
    assert account.held() == held
    assert _billed(account) == used


def _used(usages: list[dict[str, int]]) -> list[int]:
    counts = ((each["inputTokens"], each["outputTokens"]) for each in usages)
    return [len(usages), *(sum(each) for each in zip(*counts, strict=True))]


def _this_month() -> str:
    return f"{datetime.now(UTC):%Y-%m}"


def _billed(account: Account) -> list[int]:
    months = {account.month, _this_month()}
    bills = [
        json.loads(outcrop(account.gateway, "billing", "--month", month, "--json"))["total"]
        for month in months
    ]
    figures = ("requests", "input_tokens", "output_tokens")
    return [sum(bill[each] for bill in bills) for each in figures]
