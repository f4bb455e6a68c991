"""The identity-based policies of the guide, as users who hold them meet them."""

import json
from typing import Any

import pytest
from principals import (
    CLAUDE,
    MODELS,
    REGION,
    TITAN,
    Account,
    Person,
    example,
    may,
    may_ask,
    simulated,
)
from statements import allow, document

LITE = "amazon.titan-text-lite-v1"
AGENT, ALIAS = "AGENT12345", "ALIAS67890"
OF_AGENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "CreateAgent": ("create_agent", {"agentName": "one"}),
    "UpdateAgent": (
        "update_agent",
        {
            "agentId": AGENT,
            "agentName": "one",
            "foundationModel": CLAUDE,
            "agentResourceRoleArn": "arn:aws:iam::123456789012:role/Agents",
        },
    ),
    "GetAgent": ("get_agent", {"agentId": AGENT}),
    "ListAgents": ("list_agents", {}),
    "CreateActionGroup": (
        "create_agent_action_group",
        {"agentId": AGENT, "agentVersion": "DRAFT", "actionGroupName": "group"},
    ),
    "UpdateActionGroup": (
        "update_agent_action_group",
        {
            "agentId": AGENT,
            "agentVersion": "DRAFT",
            "actionGroupId": "GROUP12345",
            "actionGroupName": "group",
        },
    ),
    "GetActionGroup": (
        "get_agent_action_group",
        {"agentId": AGENT, "agentVersion": "DRAFT", "actionGroupId": "GROUP12345"},
    ),
    "ListActionGroups": ("list_agent_action_groups", {"agentId": AGENT, "agentVersion": "DRAFT"}),
    "CreateAgentDraftSnapshot": ("prepare_agent", {"agentId": AGENT}),
    "GetAgentVersion": ("get_agent_version", {"agentId": AGENT, "agentVersion": "1"}),
    "ListAgentVersions": ("list_agent_versions", {"agentId": AGENT}),
    "CreateAgentAlias": ("create_agent_alias", {"agentId": AGENT, "agentAliasName": "live"}),
    "UpdateAgentAlias": (
        "update_agent_alias",
        {"agentId": AGENT, "agentAliasId": ALIAS, "agentAliasName": "live"},
    ),
    "GetAgentAlias": ("get_agent_alias", {"agentId": AGENT, "agentAliasId": ALIAS}),
    "ListAgentAliases": ("list_agent_aliases", {"agentId": AGENT}),
    "InvokeAgent": ("invoke_agent", {"agentId": AGENT, "agentAliasId": ALIAS, "sessionId": "me"}),
}
ALIAS_ACTIONS = {"UpdateAgentAlias", "GetAgentAlias", "InvokeAgent"}
NO_RESOURCE = {"CreateAgent", "ListAgents"}


def allowed_of_agents(person: Person) -> set[str]:
    """Which of the guide's actions of agents the gateway lets the person ask for."""
    runtime = {"InvokeAgent": "bedrock-agent-runtime"}
    return {
        action
        for action, (method, params) in OF_AGENTS.items()
        if may(person.refusal(f"{runtime.get(action, 'bedrock-agent')}:{method}", **params))
    }


def test_full_access_calls_every_operation_of_bedrock_and_nothing_else(account: Account) -> None:
    person = account.user(example("012"))
    assert person.invokes(CLAUDE)
    assert person.invokes(TITAN)
    assert person.ask("bedrock:list_foundation_models")["modelSummaries"]
    assert allowed_of_agents(person) == OF_AGENTS.keys()
    assert not may(person.refusal("iam:list_users"))
    assert not may(person.refusal("kms:list_keys"))
    assert not may(person.refusal("secretsmanager:list_secrets"))


def test_the_notebook_role_trusts_two_services_and_nobody_else(account: Account) -> None:
    role = account.role(example("012"), trust=example("013"))
    for person in (account.admin, account.user(document(allow("sts:AssumeRole")))):
        code = person.refusal("sts:assume_role", RoleArn=role, RoleSessionName="me")
        assert code == "AccessDenied"


def test_the_agents_console_policy_allows_its_sixteen_actions(account: Account) -> None:
    person = account.user(example("173"))
    assert allowed_of_agents(person) == OF_AGENTS.keys()
    assert not may(person.refusal("bedrock-agent:delete_agent", agentId=AGENT))
    assert not person.invokes()
    listed = json.loads(example("173"))["Statement"][0]["Action"]
    assert {action.partition(":")[2] for action in listed} == OF_AGENTS.keys()
    assert set(simulated(account, person.arn, *listed).values()) == {"allowed"}


def test_users_may_not_touch_agents_by_default(account: Account) -> None:
    assert allowed_of_agents(account.user()) == set()


def test_who_calls_only_the_api_needs_no_console_permissions(account: Account) -> None:
    person = account.user(document(allow("bedrock:GetAgent")))
    assert allowed_of_agents(person) == {"GetAgent"}


def test_actions_act_on_the_agent_or_on_the_alias(account: Account) -> None:
    agent = f"arn:aws:bedrock:{REGION}:{account.id}:agent/{AGENT}"
    alias = f"arn:aws:bedrock:{REGION}:{account.id}:agent-alias/{AGENT}/{ALIAS}"
    on_agent = account.user(document(allow("bedrock:*", agent)))
    assert allowed_of_agents(on_agent) == OF_AGENTS.keys() - ALIAS_ACTIONS - NO_RESOURCE
    on_alias = account.user(document(allow("bedrock:*", alias)))
    assert allowed_of_agents(on_alias) == ALIAS_ACTIONS


def test_the_policy_on_one_agent_and_one_alias_allows_these(account: Account) -> None:
    here = {"region": REGION, "account_id": account.id, "AGENTID": AGENT, "ALIASID": ALIAS}
    person = account.user(example("176", **here))
    assert allowed_of_agents(person) == {"GetAgent", "UpdateAgentAlias", "InvokeAgent"}
    other = {"agentId": "OTHER12345"}
    assert not may(person.refusal("bedrock-agent:get_agent", **other))
    params = OF_AGENTS["InvokeAgent"][1] | {"agentAliasId": "OTHER12345"}
    assert not may(person.refusal("bedrock-agent-runtime:invoke_agent", **params))
    agent = f"arn:aws:bedrock:{REGION}:{account.id}:agent/{AGENT}"
    decided = simulated(
        account, person.arn, "bedrock:GetAgent", "bedrock:UpdateAgent", ResourceArns=[agent]
    )
    assert decided == {"bedrock:GetAgent": "allowed", "bedrock:UpdateAgent": "implicitDeny"}


def test_a_deny_of_an_action_s_former_name_counts(account: Account) -> None:
    person = account.user(
        document(allow("bedrock:*"), allow("bedrock:GetActionGroup") | {"Effect": "Deny"})
    )
    assert allowed_of_agents(person) == OF_AGENTS.keys() - {"GetActionGroup"}


CONSOLE: dict[str, dict[str, Any]] = {
    "bedrock:list_foundation_models": {},
    "bedrock:get_foundation_model": {"modelIdentifier": CLAUDE},
    "bedrock:get_model_customization_job": {"jobIdentifier": "job"},
    "bedrock:get_foundation_model_availability": {"modelId": CLAUDE},
    "bedrock:list_model_customization_jobs": {},
    "bedrock:stop_model_customization_job": {"jobIdentifier": "job"},
    "bedrock:get_custom_model": {"modelIdentifier": "mine"},
    "bedrock:list_custom_models": {},
    "bedrock:delete_custom_model": {"modelIdentifier": "mine"},
    "bedrock:create_provisioned_model_throughput": {
        "modelUnits": 1,
        "provisionedModelName": "p",
        "modelId": CLAUDE,
    },
    "bedrock:update_provisioned_model_throughput": {"provisionedModelId": "p"},
    "bedrock:get_provisioned_model_throughput": {"provisionedModelId": "p"},
    "bedrock:delete_provisioned_model_throughput": {"provisionedModelId": "p"},
    "bedrock:list_provisioned_model_throughputs": {},
    "bedrock:get_model_invocation_logging_configuration": {},
    "bedrock:put_model_invocation_logging_configuration": {"loggingConfig": {}},
    # Not Claude's: whoever has no agreement about Amazon's model loses nothing by its end.
    "bedrock:create_foundation_model_agreement": {"offerToken": "offer", "modelId": LITE},
    "bedrock:delete_foundation_model_agreement": {"modelId": LITE},
    "bedrock:list_foundation_model_agreement_offers": {"modelId": CLAUDE},
    "bedrock:get_use_case_for_model_access": {},
    "bedrock:put_use_case_for_model_access": {"formData": b"e30=" * 8},
}


def test_the_console_user_s_policy_allows_its_28_actions(account: Account) -> None:
    person, nobody = account.user(example("187")), account.user()
    assert person.invokes()
    stream = person.ask(
        "bedrock-runtime:converse_stream",
        modelId=CLAUDE,
        messages=[{"role": "user", "content": [{"text": "Hello"}]}],
    )
    assert list(stream["stream"])
    for operation, params in CONSOLE.items():
        assert may_ask(person.refusal(operation, **params)), operation
        assert not may(nobody.refusal(operation, **params)), operation
    actions = json.loads(example("187"))["Statement"][0]["Action"]
    assert len(actions) == 28
    assert set(simulated(account, person.arn, *actions).values()) == {"allowed"}
    assert not may(person.refusal("bedrock:list_guardrails"))
    assert allowed_of_agents(person) == set()


@pytest.mark.parametrize("number", ["174", "188"])
def test_users_may_view_their_own_permissions_and_no_one_else_s(
    account: Account, number: str
) -> None:
    person, other = account.user(example(number)), account.user(document(allow("s3:*")))
    own: dict[str, Any] = {"UserName": person.name}
    assert person.ask("iam:get_user", **own)["User"]["Arn"] == person.arn
    assert person.ask("iam:list_user_policies", **own)["PolicyNames"] == ["granted-0"]
    policy = person.ask("iam:get_user_policy", PolicyName="granted-0", **own)
    assert policy["PolicyDocument"] == json.loads(example(number))
    for operation in ("list_attached_user_policies", "list_groups_for_user"):
        assert may(person.refusal(f"iam:{operation}", **own))
    assert person.name in {user["UserName"] for user in person.ask("iam:list_users")["Users"]}
    managed = "arn:aws:iam::aws:policy/AmazonBedrockReadOnly"
    assert person.ask("iam:get_policy", PolicyArn=managed)["Policy"]["Arn"] == managed
    for operation in ("get_user", "list_user_policies", "list_attached_user_policies"):
        assert not may(person.refusal(f"iam:{operation}", UserName=other.name)), operation
    change = {"PolicyName": "more", "PolicyDocument": document(allow("*"))}
    assert not may(person.refusal("iam:put_user_policy", **own, **change))


def test_subscriptions_are_allowed_by_product(account: Account) -> None:
    person = account.user(example("189"))
    statement = json.loads(example("189"))["Statement"][0]
    products = statement["Condition"]["ForAnyValue:StringEquals"]["aws-marketplace:ProductId"]
    assert len(products) == 7
    subscribe = "aws-marketplace:Subscribe"

    def decided(context: dict[str, Any]) -> str:
        return simulated(account, person.arn, subscribe, context=context)[subscribe]

    for product in products:
        assert decided({"aws-marketplace:ProductId": [product]}) == "allowed"
    another = "00000000-0000-0000-0000-000000000000"
    assert decided({"aws-marketplace:ProductId": [another]}) == "implicitDeny"
    assert decided({"aws-marketplace:ProductId": [another, products[0]]}) == "allowed"
    assert decided({}) == "implicitDeny"
    others = ("aws-marketplace:Unsubscribe", "aws-marketplace:ViewSubscriptions")
    assert set(simulated(account, person.arn, *others).values()) == {"allowed"}


def test_inference_with_one_model_is_denied_whatever_else_allows_it(account: Account) -> None:
    person = account.user(example("012"), example("190", model_id_of_model_to_deny=CLAUDE))
    assert person.invokes(TITAN)
    body = '{"prompt": "\\n\\nHuman: Hello\\n\\nAssistant:", "max_tokens_to_sample": 5}'
    for operation in ("invoke_model", "invoke_model_with_response_stream"):
        told = person.message(f"bedrock-runtime:{operation}", modelId=CLAUDE, body=body)
        action = "".join(word.title() for word in operation.split("_"))
        assert told == (
            f"User: {person.arn} is not authorized to perform: bedrock:{action} on resource: "
            f"{MODELS}/{CLAUDE} with an explicit deny in an identity-based policy"
        )
    assert not person.invokes(CLAUDE)
    assert person.ask("bedrock:get_foundation_model", modelIdentifier=CLAUDE)
    elsewhere = person.client("bedrock-runtime", region="us-west-2")
    with pytest.raises(elsewhere.exceptions.AccessDeniedException):
        elsewhere.invoke_model(modelId=CLAUDE, body=body)


def test_a_policy_on_one_model_allows_that_model_only(account: Account) -> None:
    person = account.user(document(allow("bedrock:InvokeModel", f"{MODELS}/{CLAUDE}")))
    assert person.invokes(CLAUDE)
    assert not person.invokes(TITAN)
    stream = {"modelId": CLAUDE, "messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
    assert not may(person.refusal("bedrock-runtime:converse_stream", **stream))


@pytest.mark.parametrize(("action", "resource"), [("171", "172"), ("185", "186")])
def test_the_fragments_make_a_statement(account: Account, action: str, resource: str) -> None:
    actions = example(
        action, **{"bedrock:action1": "bedrock:GetAgent", "bedrock:action2": "bedrock:InvokeModel"}
    )
    statement = f'{{"Effect": "Allow", {actions}, {example(resource)}}}'
    person = account.user(f'{{"Version": "2012-10-17", "Statement": [{statement}]}}')
    assert allowed_of_agents(person) == {"GetAgent"}
    assert person.invokes()
    assert not may(person.refusal("bedrock:list_foundation_models"))
    lacking = f'{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", {actions}}}]}}'
    with pytest.raises(account.iam.exceptions.MalformedPolicyDocumentException):
        account.user(lacking)
