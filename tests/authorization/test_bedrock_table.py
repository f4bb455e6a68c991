"""What each Bedrock operation asks leave for."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest

from outcrop.authorization import bedrock
from outcrop.authorization.access import Access, Asked
from outcrop.authorization.bedrock import RULES, SERVICES
from outcrop.catalog.load import load_catalog
from outcrop.config import Config
from outcrop.identity import Caller, Principal
from outcrop.stores.mirror import Mirror
from outcrop.stores.model_records import MIRRORED, TOPIC
from outcrop.stores.resources import Resources
from outcrop.wire.shapes import Shape
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
TABLE = Path(bedrock.__file__).with_suffix(".toml")
MODELS = "arn:aws:bedrock:us-east-1::foundation-model"
SEED = Path(__file__).resolve().parents[2] / "../shared/seed-examples"
MODEL_ACCESS = (
    "CreateFoundationModelAgreement",
    "DeleteFoundationModelAgreement",
    "DeleteFoundationModelEntitlement",
    "GetFoundationModelAvailability",
    "GetUseCaseForModelAccess",
    "ListFoundationModelAgreementOffers",
    "PutFoundationModelEntitlement",
    "PutUseCaseForModelAccess",
)
NO_MODELS = Mirror(Resources(cast(Any, None)), TOPIC, MIRRORED)


def asked(operation: str, **params: Any) -> list[Access]:
    service = next(name for name in SERVICES if operation in RULES[name])
    nobody = cast(Any, None)
    asked = Asked(params, CALLER, "us-east-1", CATALOG, nobody, NO_MODELS)
    return list(RULES[service][operation](asked))


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
        ("InvokeModelWithBidirectionalStream", "bedrock:InvokeModel"),
        ("CountTokens", "bedrock:CountTokens"),
    ],
)
def test_inference_asks_for_the_model(operation: str, action: str) -> None:
    assert places(operation, modelId=CLAUDE) == [(action, f"{MODELS}/{CLAUDE}")]


def test_a_profile_needs_itself_and_its_model_in_every_region_it_may_go_to() -> None:
    profile = f"{HERE}:inference-profile/us.{SONNET}"
    for identifier in (f"us.{SONNET}", profile):
        of_profile, here, there = asked("Converse", modelId=identifier)
        assert of_profile.resource == profile
        assert "bedrock:inferenceprofilearn" not in of_profile.keys
        assert here.resource == f"{MODELS}/{SONNET}"
        assert there.resource == f"arn:aws:bedrock:us-west-2::foundation-model/{SONNET}"
        for model in (here, there):
            assert model.keys["bedrock:inferenceprofilearn"] == profile
        assert "aws:requestedregion" not in here.keys
        assert there.keys["aws:requestedregion"] == "us-west-2"


def test_a_global_profile_needs_the_model_without_a_region() -> None:
    profile, anywhere, here = asked("InvokeModel", modelId=f"global.{SONNET}")
    assert profile.resource == f"{HERE}:inference-profile/global.{SONNET}"
    assert anywhere.resource == f"arn:aws:bedrock:::foundation-model/{SONNET}"
    assert anywhere.keys["aws:requestedregion"] == "unspecified"
    assert here.resource == f"{MODELS}/{SONNET}"


def test_a_profile_of_elsewhere_is_asked_for_all_the_same() -> None:
    places_of = places("InvokeModel", modelId=f"eu.{SONNET}")
    assert [resource for _, resource in places_of] == [
        f"{HERE}:inference-profile/eu.{SONNET}",
        f"{MODELS}/{SONNET}",
    ]


@pytest.mark.parametrize("prefix", ["", "arn:aws:bedrock:us-east-1::foundation-model/"])
def test_another_spelling_of_a_model_is_that_model(prefix: str) -> None:
    (access,) = asked("InvokeModel", modelId=f"{prefix}anthropic.claude-instant-v1:2:100K")
    assert access.resource == f"{MODELS}/anthropic.claude-instant-v1:2:100k"


def test_the_console_s_policy_allows_what_model_access_asks_for() -> None:
    """RUN-187 names the actions, on every resource; removal has the action of granting."""
    policy = json.loads((SEED / "RUN-187.json").read_text(encoding="utf-8"))
    allowed = set(policy["Statement"][0]["Action"])
    for operation in MODEL_ACCESS:
        (place,) = places(operation, modelId=CLAUDE)
        assert place[1] == "*"
        assert place[0] in allowed
    (removal,) = places("DeleteFoundationModelEntitlement", modelId=CLAUDE)
    assert removal == ("bedrock:PutFoundationModelEntitlement", "*")


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
def test_tags_of_the_request_are_condition_keys_and_need_leave_of_their_own(tags: Any) -> None:
    create, tag = asked("CreateAgent", tags=tags)
    assert (create.action, create.resource) == ("bedrock:CreateAgent", "*")
    assert (tag.action, tag.resource) == ("bedrock:TagResource", f"{HERE}:agent/*")
    for access in (create, tag):
        assert access.keys == {"aws:requesttag/team": "ore", "aws:tagkeys": ("Team",)}


def test_tags_of_a_job_and_of_its_model_are_asked_for_each_on_its_own() -> None:
    create, job, model = asked(
        "CreateModelCustomizationJob",
        baseModelIdentifier=CLAUDE,
        jobTags=[{"key": "Team", "value": "ore"}],
        customModelTags=[{"key": "Stage", "value": "test"}],
    )
    assert create.resource == f"{MODELS}/{CLAUDE}"
    assert create.keys["aws:tagkeys"] == ("Team", "Stage")
    assert job.resource == f"{HERE}:model-customization-job/*"
    assert job.keys == {"aws:requesttag/team": "ore", "aws:tagkeys": ("Team",)}
    assert model.resource == f"{HERE}:custom-model/*"
    assert model.keys == {"aws:requesttag/stage": "test", "aws:tagkeys": ("Stage",)}


@pytest.mark.parametrize("tags", [None, [], {}])
def test_without_tags_nobody_needs_leave_to_tag(tags: Any) -> None:
    params = {} if tags is None else {"tags": tags}
    assert places("CreateProvisionedModelThroughput", modelId=CLAUDE, **params) == [
        ("bedrock:CreateProvisionedModelThroughput", f"{MODELS}/{CLAUDE}")
    ]


def test_every_operation_that_takes_tags_asks_for_them() -> None:
    tagged = tomllib.loads(TABLE.read_text(encoding="utf-8"))["tagged"]
    for service in SERVICES:
        for name, operation in load_service(service).operations.items():
            members = operation.input.members if operation.input else {}
            taken = {each for each in members if each == "tags" or each.endswith("Tags")}
            if name != "TagResource":
                assert set(tagged.get(name, {})) == taken, name


def test_tags_that_go_are_condition_keys() -> None:
    (access,) = asked("UntagResource", resourceARN=f"{HERE}:agent/A1", tagKeys=["Team"])
    assert access.keys == {"aws:tagkeys": ("Team",)}
    assert access.resource == f"{HERE}:agent/A1"


@pytest.mark.parametrize("service", SERVICES)
def test_every_parameter_of_the_table_is_one_of_the_operation(service: str) -> None:
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))[service]
    for name, resources in rows.items():
        for path in re.findall(r"\{([\w.]+)\}", resources):
            shape = load_service(service).operations[name].input
            for step in path.split("."):
                shape = _item(shape)
                assert shape is not None, (name, path)
                assert step in shape.members, (name, path)
                shape = shape.members[step].shape


def _item(shape: Shape | None) -> Shape | None:
    """Of a list, what its items are."""
    while shape is not None and shape.type == "list":
        shape = shape.item.shape
    return shape


SEVERAL: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "CreateInferenceProfile",
        {"modelSource": {"copyFrom": f"{MODELS}/{CLAUDE}"}},
        [f"{MODELS}/{CLAUDE}", f"{HERE}:application-inference-profile/*"],
    ),
    (
        "CreateModelInvocationJob",
        {"modelId": CLAUDE},
        [f"{MODELS}/{CLAUDE}", f"{HERE}:model-invocation-job/*"],
    ),
    (
        "CreatePromptRouter",
        {"models": [{"modelArn": f"{MODELS}/a"}, {"modelArn": f"{MODELS}/b"}]},
        [f"{MODELS}/a", f"{MODELS}/b"],
    ),
    (
        "CreateEvaluationJob",
        {"inferenceConfig": {"models": [{"bedrockModel": {"modelIdentifier": CLAUDE}}]}},
        [f"{MODELS}/{CLAUDE}"],
    ),
    ("CreateEvaluationJob", {"inferenceConfig": {"ragConfigs": [{}]}}, ["*"]),
    (
        "BatchDeleteEvaluationJob",
        {"jobIdentifiers": ["a", f"{HERE}:evaluation-job/b"]},
        [f"{HERE}:evaluation-job/a", f"{HERE}:evaluation-job/b"],
    ),
    (
        "UpdateProvisionedModelThroughput",
        {"provisionedModelId": "p", "desiredModelId": CLAUDE},
        [f"{HERE}:provisioned-model/p", f"{MODELS}/{CLAUDE}"],
    ),
    (
        "UpdateProvisionedModelThroughput",
        {"provisionedModelId": "p"},
        [f"{HERE}:provisioned-model/p"],
    ),
    (
        "AssociateAgentKnowledgeBase",
        {"agentId": "A", "agentVersion": "DRAFT", "knowledgeBaseId": "K"},
        [f"{HERE}:agent/A", f"{HERE}:knowledge-base/K"],
    ),
    ("ListGuardrails", {}, ["*"]),
    ("ListGuardrails", {"guardrailIdentifier": "g"}, [f"{HERE}:guardrail/g"]),
    ("GetPrompt", {"promptIdentifier": "P"}, [f"{HERE}:prompt/P"]),
    ("GetPrompt", {"promptIdentifier": "P", "promptVersion": "2"}, [f"{HERE}:prompt/P:2"]),
    (
        "GetInferenceProfile",
        {"inferenceProfileIdentifier": f"us.{SONNET}"},
        [f"{HERE}:inference-profile/us.{SONNET}"],
    ),
    (
        "GetInferenceProfile",
        {"inferenceProfileIdentifier": "mine"},
        [f"{HERE}:application-inference-profile/mine"],
    ),
    (
        "GetMarketplaceModelEndpoint",
        {"endpointArn": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/e"},
        [f"{HERE}:marketplace/model-endpoint/all-access"],
    ),
    (
        "InvokeModel",
        {"modelId": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/e"},
        [f"{HERE}:marketplace/model-endpoint/all-access"],
    ),
    (
        "GetFlowAlias",
        {"flowIdentifier": f"{HERE}:flow/F", "aliasIdentifier": f"{HERE}:flow/F/alias/L"},
        [f"{HERE}:flow/F/alias/L"],
    ),
    (
        "GetAsyncInvoke",
        {"invocationArn": f"{HERE}:async-invoke/x"},
        [f"{HERE}:async-invoke/x"],
    ),
    (
        "ApplyGuardrail",
        {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        [f"{HERE}:guardrail/g"],
    ),
]


@pytest.mark.parametrize(("operation", "params", "resources"), SEVERAL)
def test_operations_on_several_resources_ask_for_each(
    operation: str, params: dict[str, Any], resources: list[str]
) -> None:
    assert [access.resource for access in asked(operation, **params)] == resources


@pytest.mark.parametrize(
    ("operation", "params", "key", "value"),
    [
        ("InvokeModel", {"modelId": CLAUDE, "serviceTier": "flex"}, "servicetier", "flex"),
        ("Converse", {"modelId": CLAUDE, "serviceTier": {"type": "flex"}}, "servicetier", "flex"),
        ("InvokeInlineAgent", {"sessionId": "s", "agentName": "n"}, "inlineagentname", "n"),
    ],
)
def test_what_bedrock_s_own_keys_ask_is_in_the_request(
    operation: str, params: dict[str, Any], key: str, value: str
) -> None:
    assert all(access.keys[f"bedrock:{key}"] == value for access in asked(operation, **params))
