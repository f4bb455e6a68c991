"""Access, quotas, support, profiles and provisioned throughput as users meet them: unmodified
clients, and AWS's own defaults, under which an account begins with nothing."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import botocore.auth
import botocore.awsrequest
import botocore.httpsession
import pytest
from botocore.credentials import Credentials
from running_gateways import ACCESS_KEY, ACCOUNT, SCRIPTED, SECRET_KEY, Gateway, start_gateway

DEFAULTS = {"OUTCROP_ACCESS_DEFAULT": "none", "OUTCROP_QUOTAS_PROFILE": "aws"}
TITAN = "amazon.titan-text-express-v1"
CLAUDE = {"aws_v1": "anthropic.claude-v2", "aws_v2": "anthropic.claude-3-sonnet-20240229-v1:0"}
MISTRAL = "mistral.mistral-7b-instruct-v0:2"
NOVA = "amazon.nova-lite-v1:0"
COMMAND = "cohere.command-r-v1:0"
UNITS = "L-B826AE6A"
OREGON = """
[engines.oregon]
kind = "scripted"

[[bind]]
pattern = "meta.llama2-*"
engine = "oregon"
regions = ["us-west-2"]
"""
NO_ACCESS = "You don't have access to the model with the specified model ID."
MESSAGES = '[{"role":"user","content":[{"text":"Hello"}]}]'
WAIT_S = 60


@dataclass(frozen=True)
class Cli:
    """An AWS CLI in the shell of a user of the gateway."""

    aws: Path
    gateway: Gateway

    def run(self, *arguments: str) -> Any:
        done = self._done(arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refused(self, *arguments: str) -> str:
        """What the user reads."""
        done = self._done(arguments)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def says(self, model: str) -> str:
        answer = self.run(*_converse(model))
        return answer["output"]["message"]["role"]

    def _done(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return _run([str(self.aws), *arguments, "--output", "json"], self.gateway.environment)


def _converse(model: str) -> tuple[str, ...]:
    return ("bedrock-runtime", "converse", "--model-id", model, "--messages", MESSAGES)


def _run(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, timeout=120, check=False
    )


def operator(gateway: Gateway, *arguments: str) -> str:
    command = [sys.executable, "-m", "outcrop", *arguments, "--data-dir", str(gateway.data_dir)]
    done = _run(command, {name: value for name, value in os.environ.items() if "AWS" not in name})
    assert done.returncode == 0, done.stderr
    return done.stdout


def entitlement(gateway: Gateway, method: str, path: str, body: bytes) -> tuple[int, Any]:
    """The console's operation, by a request that is signed as public clients sign theirs."""
    request: Any = cast(Any, botocore.awsrequest).AWSRequest(
        method=method,
        url=f"{gateway.url}/foundation-model-entitlement{path}",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    signer = cast(Any, botocore.auth).SigV4Auth
    signer(Credentials(ACCESS_KEY, SECRET_KEY), "bedrock", "us-east-1").add_auth(request)
    answer = cast(Any, botocore.httpsession).URLLib3Session().send(request.prepare())
    return answer.status_code, json.loads(answer.content)


def entitle(gateway: Gateway, model: str) -> None:
    asked = json.dumps({"modelId": model}).encode()
    answer = entitlement(gateway, "POST", "", asked)
    assert answer == (201, {"status": "SUCCESS"})


def is_served(gateway: Gateway, model: str) -> bool:
    """Whatever refuses it but the lack of access is an error here."""
    runtime = gateway.client("bedrock-runtime")
    try:
        runtime.converse(modelId=model, messages=json.loads(MESSAGES))
    except runtime.exceptions.AccessDeniedException as error:
        if NO_ACCESS not in str(error.response):
            raise
        return False
    return True


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A server as it is started for the first time."""
    folder = tmp_path_factory.mktemp("defaults")
    gateway = start_gateway(folder, SCRIPTED + OREGON, variables=DEFAULTS)
    yield gateway
    gateway.stop()


@pytest.fixture(params=["aws_v1", "aws_v2"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cli(untouched: Gateway, version: str, request: pytest.FixtureRequest) -> Cli:
    return Cli(request.getfixturevalue(version), untouched)


@pytest.fixture
def aws(untouched: Gateway, aws_v1: Path) -> Cli:
    return Cli(aws_v1, untouched)


def test_the_server_says_that_no_model_may_be_used_and_what_to_do(untouched: Gateway) -> None:
    told = (untouched.data_dir.parent / "server.log").read_text()
    assert f"Account {ACCOUNT} may use no model yet. Grant access:" in told
    assert f"outcrop access grant --all --account {ACCOUNT}" in told


def test_the_server_says_which_engines_serve_in_which_regions(untouched: Gateway) -> None:
    told = (untouched.data_dir.parent / "server.log").read_text()
    assert " model IDs are served by: script\n" in told
    assert "  6 model IDs in us-west-2 are served by: oregon\n" in told


def test_the_cli_agrees_to_an_offer_uses_the_model_and_gives_it_up(
    cli: Cli, version: str, tmp_path: Path
) -> None:
    model = ("--model-id", CLAUDE[version])
    told = cli.refused(*_converse(CLAUDE[version]))
    assert "(AccessDeniedException)" in told
    assert NO_ACCESS in told
    form = tmp_path / "form.json"
    form.write_text('{"companyName": "Acme"}')
    cli.run("bedrock", "put-use-case-for-model-access", "--form-data", f"fileb://{form}")
    (offer,) = cli.run("bedrock", "list-foundation-model-agreement-offers", *model)["offers"]
    token = ("--offer-token", offer["offerToken"])
    cli.run("bedrock", "create-foundation-model-agreement", *model, *token)
    found = cli.run("bedrock", "get-foundation-model-availability", *model)
    assert found == {
        "modelId": CLAUDE[version],
        "agreementAvailability": {"status": "AVAILABLE"},
        "authorizationStatus": "AUTHORIZED",
        "entitlementAvailability": "AVAILABLE",
        "regionAvailability": "AVAILABLE",
    }
    assert is_served(cli.gateway, CLAUDE[version])
    cli.run("bedrock", "delete-foundation-model-agreement", *model)
    assert not is_served(cli.gateway, CLAUDE[version])


def test_the_console_s_operation_is_called_with_a_signature_alone(untouched: Gateway) -> None:
    model = "amazon.titan-text-lite-v1"
    for _ in range(2):
        assert not is_served(untouched, model)
        entitle(untouched, model)
        assert is_served(untouched, model)
        answer = entitlement(untouched, "DELETE", f"/{model}", b"")
        assert answer == (200, {"status": "SUCCESS"})


@pytest.fixture(scope="module")
def bought(untouched: Gateway, aws_v2: Path) -> str:
    """The ARN of an account's first provisioned throughput, as it comes by it with the CLI."""
    cli = Cli(aws_v2, untouched)
    entitle(untouched, TITAN)
    buy = (
        *("bedrock", "create-provisioned-model-throughput", "--provisioned-model-name", "first"),
        *("--model-id", f"{TITAN}:0:8k", "--model-units", "1", "--commitment-duration", "OneMonth"),
    )
    assert "(ServiceQuotaExceededException)" in cli.refused(*buy)
    _units_are_given(untouched, cli)
    arn = cli.run(*buy)["provisionedModelArn"]
    get = ("bedrock", "get-provisioned-model-throughput", "--provisioned-model-id", "first")
    deadline = time.monotonic() + WAIT_S
    while (found := cli.run(*get))["status"] != "InService":
        assert found["status"] == "Creating"
        assert time.monotonic() < deadline
    assert found["provisionedModelArn"] == arn
    return arn


def _units_are_given(gateway: Gateway, cli: Cli) -> None:
    service = ("--service-code", "bedrock")
    quota = (*service, "--quota-code", UNITS)
    listed = cli.run("service-quotas", "list-service-quotas", *service)["Quotas"]
    assert [each["Value"] for each in listed if each["QuotaCode"] == UNITS] == [0.0]
    more = ("service-quotas", "request-service-quota-increase", *quota, "--desired-value", "2")
    request = cli.run(*more)["RequestedQuota"]
    assert request["Status"] == "PENDING"
    waiting = operator(gateway, "quotas", "requests")
    assert request["Id"] in waiting
    told = operator(gateway, "quotas", "approve", request["Id"])
    assert told.endswith(f": 2 for {ACCOUNT} in us-east-1.\n")
    client = gateway.client("service-quotas")
    # A running server reads what another process wrote within half a second; each call asks.
    values = (
        client.get_service_quota(ServiceCode="bedrock", QuotaCode=UNITS)["Quota"]["Value"]
        for _ in range(2000)
    )
    assert 2.0 in values
    asked = ("service-quotas", "list-requested-service-quota-change-history", *service)
    (found,) = cli.run(*asked)["RequestedQuotas"]
    assert (found["Id"], found["Status"]) == (request["Id"], "APPROVED")


def test_throughput_is_invoked_by_its_arn_and_its_name(
    untouched: Gateway, bought: str, aws_v2: Path
) -> None:
    cli = Cli(aws_v2, untouched)
    for identifier in (bought, "first"):
        assert cli.says(identifier) == "assistant"


def test_access_stays_while_there_is_throughput_of_the_model(
    untouched: Gateway, bought: str, aws: Cli
) -> None:
    told = aws.refused("bedrock", "delete-foundation-model-agreement", "--model-id", TITAN)
    assert "(ConflictException)" in told
    assert bought in told
    status, answer = entitlement(untouched, "DELETE", f"/{TITAN}", b"")
    assert status == 400
    assert bought in answer["message"]
    assert aws.says(TITAN) == "assistant"


def test_the_cli_tags_throughput(bought: str, aws: Cli) -> None:
    named = ("--resource-arn", bought)
    aws.run("bedrock", "tag-resource", *named, "--tags", "key=Cost,value=7", "key=Stage,value=")
    listed = aws.run("bedrock", "list-tags-for-resource", *named)
    assert listed == {"tags": [{"key": "Cost", "value": "7"}, {"key": "Stage", "value": ""}]}
    aws.run("bedrock", "untag-resource", *named, "--tag-keys", "Cost", "Stage")
    left = aws.gateway.client("bedrock").list_tags_for_resource(resourceARN=bought)
    assert left["tags"] == []


def test_the_cli_opens_a_case_that_the_operator_answers(untouched: Gateway, aws: Cli) -> None:
    made = aws.run(
        *("support", "create-case", "--subject", "Access", "--communication-body", "Please"),
        *("--issue-type", "customer-service", "--service-code", "account-activation"),
        *("--category-code", "bedrock-allowlisting"),
    )["caseId"]
    (case,) = aws.run("support", "describe-cases", "--case-id-list", made)["cases"]
    assert (case["subject"], case["status"]) == ("Access", "unassigned")
    operator(untouched, "support", "answer", case["displayId"], "Which one?")
    reply = ("add-communication-to-case", "--communication-body", "Nova", "--case-id", made)
    assert aws.run("support", *reply) == {"result": True}
    told = operator(untouched, "support", "show", case["displayId"])
    assert [text for text in ("Please", "Which one?", "Nova") if text in told] == [
        "Please",
        "Which one?",
        "Nova",
    ]
    ended = aws.run("support", "resolve-case", "--case-id", made)
    assert ended["finalCaseStatus"] == "resolved"


@pytest.fixture(scope="module")
def seen(untouched: Gateway, bought: str) -> dict[str, Any]:
    """What the AWS SDK for JavaScript saw."""
    entitle(untouched, NOVA)
    entitle(untouched, COMMAND)
    codes = json.loads(operator(untouched, "quotas", "list", "--json"))
    rate = "On-demand InvokeModel requests per minute for Cohere Command R"
    (code,) = [each["code"] for each in codes if each["name"] == rate]
    operator(untouched, "quotas", "set", code, "60")
    quotas = untouched.client("service-quotas")
    values = (
        quotas.get_service_quota(ServiceCode="bedrock", QuotaCode=code)["Quota"]["Value"]
        for _ in range(2000)
    )
    assert 60.0 in values
    program = Path(__file__).resolve().parent / "js" / "access.mjs"
    named = {"ACCESS_MODEL": MISTRAL, "LIMITED_MODEL": COMMAND, "BOUGHT": bought}
    done = _run(["node", str(program)], untouched.environment | named)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_javascript_agrees_to_an_offer_uses_the_model_and_gives_it_up(seen: dict[str, Any]) -> None:
    denied, closed = [True, 403, NO_ACCESS], ["NOT_AVAILABLE", "NOT_AVAILABLE"]
    opened = ["AVAILABLE", "AVAILABLE"]
    assert seen["access"] == [denied, closed, "assistant", opened, True, denied, closed]


def test_javascript_makes_calls_tags_and_deletes_a_profile(seen: dict[str, Any]) -> None:
    profiles = seen["profiles"]
    pages = profiles.pop("pages")
    assert len(pages) > 1
    assert set(pages[:-1]) == {20}
    assert profiles == {
        "answers": ["assistant"] * 4,
        "tags": [[["Team", "search"], ["Stage", ""]], [["Team", "search"]]],
        "listed": [True],
        "gone": True,
    }


def test_javascript_describes_calls_and_tags_throughput(seen: dict[str, Any], bought: str) -> None:
    assert seen["provisioned"] == {
        "status": "InService",
        "times": [True, True],
        "listed": [bought],
        "answers": ["assistant", 1],
        "tags": [[["Team", "search"], ["Stage", ""]], [["Team", "search"]]],
    }


def test_javascript_is_told_when_to_come_back_and_comes_back_then(seen: dict[str, Any]) -> None:
    throttling = seen["throttling"]
    assert throttling["names"] == ["ThrottlingException true"]
    assert throttling["message"] == "Too many requests, please wait before trying again."
    assert throttling["metadata"] == [429, 1, 36]
    assert throttling["seconds"] == 1
    assert 0 < throttling["hint"] <= 1000
    assert len(throttling["waits"]) == 3
    for role, answered, told, waited in throttling["waits"]:
        assert (role, answered) == ("assistant", 1)
        # The SDK reads its clock twice for each hint: a millisecond or two may pass in between.
        assert waited >= told - 10
