"""What each Bedrock operation asks leave for."""

from typing import Any, cast

import pytest

from outcrop.authorization.access import Access, Asked
from outcrop.authorization.bedrock import RULES, SERVICES
from outcrop.catalog.load import load_catalog
from outcrop.config import Config
from outcrop.identity import Caller, Principal
from outcrop.wire.spec import load_service

ACCOUNT = "123456789012"
CALLER = Caller(
    Principal(ACCOUNT, "ann", f"arn:aws:iam::{ACCOUNT}:user/ann", "user"),
    "AKIAOUTCROPTESTS0001",
    "us-east-1",
    "header",
)
CATALOG = load_catalog(Config())
CLAUDE = "anthropic.claude-v2"
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
HERE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}"
MODELS = "arn:aws:bedrock:us-east-1::foundation-model"


def asked(operation: str, **params: Any) -> list[Access]:
    service = next(name for name in SERVICES if operation in RULES[name])
    nobody = cast(Any, None)
    return list(RULES[service][operation](Asked(params, CALLER, "us-east-1", CATALOG, nobody)))


def places(operation: str, **params: Any) -> list[tuple[str, str]]:
    return [(access.action, access.resource) for access in asked(operation, **params)]


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_has_its_row(service: str) -> None:
    assert RULES[service].keys() == load_service(service).operations.keys()


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("InvokeModel", "bedrock:InvokeModel"),
        ("Converse", "bedrock:InvokeModel"),
        ("InvokeModelWithResponseStream", "bedrock:InvokeModelWithResponseStream"),
        ("ConverseStream", "bedrock:InvokeModelWithResponseStream"),
        ("CountTokens", "bedrock:CountTokens"),
    ],
)
def test_inference_asks_for_the_model(operation: str, action: str) -> None:
    assert places(operation, modelId=CLAUDE) == [(action, f"{MODELS}/{CLAUDE}")]


def test_a_profile_needs_itself_and_the_model_behind_it() -> None:
    profile = f"{HERE}:inference-profile/us.{SONNET}"
    of_profile, of_model = asked("Converse", modelId=f"us.{SONNET}")
    assert (of_profile.resource, of_model.resource) == (profile, f"{MODELS}/{SONNET}")
    assert "bedrock:inferenceprofilearn" not in of_profile.keys
    assert of_model.keys["bedrock:inferenceprofilearn"] == profile


@pytest.mark.parametrize("kind", ["custom-model/amazon.titan/abc", "provisioned-model/abc"])
def test_an_arn_stands_for_itself(kind: str) -> None:
    assert places("InvokeModel", modelId=f"{HERE}:{kind}") == [
        ("bedrock:InvokeModel", f"{HERE}:{kind}")
    ]


def test_a_guardrail_of_the_request_is_a_condition_key() -> None:
    config = {"guardrailIdentifier": "gr1", "guardrailVersion": "3"}
    for access in (
        *asked("Converse", modelId=CLAUDE, guardrailConfig=config),
        *asked("InvokeModel", modelId=CLAUDE, **config),
    ):
        assert access.keys["bedrock:guardrailidentifier"] == f"{HERE}:guardrail/gr1:3"


@pytest.mark.parametrize(
    ("operation", "params", "resource"),
    [
        ("CreateAgent", {}, "*"),
        ("ListAgents", {}, "*"),
        ("UpdateAgent", {"agentId": "A1"}, f"{HERE}:agent/A1"),
        ("GetAgent", {"agentId": "A1"}, f"{HERE}:agent/A1"),
        ("GetAgentVersion", {"agentId": "A1", "agentVersion": "1"}, f"{HERE}:agent/A1"),
        ("CreateAgentAlias", {"agentId": "A1"}, f"{HERE}:agent/A1"),
        ("ListAgentAliases", {"agentId": "A1"}, f"{HERE}:agent/A1"),
        (
            "UpdateAgentAlias",
            {"agentId": "A1", "agentAliasId": "B2"},
            f"{HERE}:agent-alias/A1/B2",
        ),
        ("GetAgentAlias", {"agentId": "A1", "agentAliasId": "B2"}, f"{HERE}:agent-alias/A1/B2"),
        ("InvokeAgent", {"agentId": "A1", "agentAliasId": "B2"}, f"{HERE}:agent-alias/A1/B2"),
        ("Retrieve", {"knowledgeBaseId": "K1"}, f"{HERE}:knowledge-base/K1"),
        ("GetGuardrail", {"guardrailIdentifier": f"{HERE}:guardrail/g"}, f"{HERE}:guardrail/g"),
        ("GetFoundationModel", {"modelIdentifier": CLAUDE}, f"{MODELS}/{CLAUDE}"),
    ],
)
def test_agents_and_others_are_named_by_their_arn(
    operation: str, params: dict[str, str], resource: str
) -> None:
    assert places(operation, **params) == [(f"bedrock:{operation}", resource)]


@pytest.mark.parametrize(
    ("operation", "former"),
    [
        ("CreateAgentActionGroup", "bedrock:CreateActionGroup"),
        ("ListAgentActionGroups", "bedrock:ListActionGroups"),
        ("PrepareAgent", "bedrock:CreateAgentDraftSnapshot"),
    ],
)
def test_actions_of_the_user_guide_keep_their_name(operation: str, former: str) -> None:
    (access,) = asked(operation, agentId="A1", agentVersion="DRAFT")
    assert access.former == former


@pytest.mark.parametrize("tags", [[{"key": "Team", "value": "ore"}], {"Team": "ore"}])
def test_tags_of_the_request_are_condition_keys(tags: Any) -> None:
    (access,) = asked("CreateAgent", tags=tags)
    assert access.keys == {"aws:requesttag/team": "ore", "aws:tagkeys": ("Team",)}


def test_tags_that_go_are_condition_keys() -> None:
    (access,) = asked("UntagResource", resourceARN=f"{HERE}:agent/A1", tagKeys=["Team"])
    assert access.keys == {"aws:tagkeys": ("Team",)}
    assert access.resource == f"{HERE}:agent/A1"
