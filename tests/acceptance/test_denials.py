"""AWS's sentence in each of its variants, and the form in which each service sends it."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from operator_commands import outcrop
from principals import (
    CLAUDE,
    MODELS,
    REGION,
    Account,
    Person,
    assume,
    deny,
    of_session,
    refused,
    turn,
)
from statements import allow, document

LIST = "bedrock:ListFoundationModels"
INVOKE = "bedrock:InvokeModel"
EVERYTHING = document(allow("*"))


def sentence(person: Person, action: str, resource: str, because: str) -> str:
    place = f" on resource: {resource}" if resource else ""
    return f"User: {person.arn} is not authorized to perform: {action}{place} {because}"


def no(layer: str, action: str) -> str:
    return f"because no {layer} allows the {action} action"


def explicit(layer: str, name: str = "") -> str:
    article = "an" if layer.startswith("identity") else "a"
    return f"with an explicit deny in {article} {layer}" + (f": {name}" if name else "")


def told(person: Person) -> str:
    """What Converse says to who may not."""
    return person.message("bedrock-runtime:converse", **turn())


def test_no_identity_based_policy_allows(account: Account) -> None:
    person = account.user()
    reason = no("identity-based policy", INVOKE)
    assert told(person) == sentence(person, INVOKE, f"{MODELS}/{CLAUDE}", reason)
    listing = person.message("bedrock:list_foundation_models")
    # Without a resource the sentence names none.
    assert listing == sentence(person, LIST, "", no("identity-based policy", LIST))
    operation = "bedrock-runtime:converse_stream"
    action = "bedrock:InvokeModelWithResponseStream"
    streamed = person.message(operation, **turn())
    reason = no("identity-based policy", action)
    assert streamed == sentence(person, action, f"{MODELS}/{CLAUDE}", reason)


def test_an_explicit_deny_in_an_inline_or_a_managed_policy(account: Account) -> None:
    inline = account.user(EVERYTHING, document(deny(INVOKE)))
    assert told(inline).endswith(explicit("identity-based policy"))
    managed = account.user(EVERYTHING)
    arn = account.policy(document(deny(INVOKE)))
    account.iam.attach_user_policy(UserName=managed.name, PolicyArn=arn)
    reason = explicit("identity-based policy", arn)
    assert told(managed) == sentence(managed, INVOKE, f"{MODELS}/{CLAUDE}", reason)


def test_a_permissions_boundary_bounds_and_denies(account: Account) -> None:
    """The intersection of both; a deny in either wins."""
    boundary = account.policy(document(allow(LIST), deny("bedrock:GetFoundationModel")))
    person = account.user(EVERYTHING, PermissionsBoundary=boundary)
    assert person.ask("bedrock:list_foundation_models")
    assert told(person).endswith(no("permissions boundary", INVOKE))
    getting = person.message("bedrock:get_foundation_model", modelIdentifier=CLAUDE)
    assert getting.endswith(explicit("permissions boundary", boundary))
    # A boundary grants nothing by itself.
    bare = account.user(PermissionsBoundary=boundary)
    listing = bare.message("bedrock:list_foundation_models")
    assert listing.endswith(no("identity-based policy", LIST))


def test_a_session_policy_bounds_and_denies(account: Account) -> None:
    role = account.role(EVERYTHING)
    policy = document(allow(LIST), deny("bedrock:GetFoundationModel"))
    person = assume(account.admin, role, Policy=policy)
    assert person.ask("bedrock:list_foundation_models")
    assert told(person).endswith(no("session policy", INVOKE))
    getting = person.message("bedrock:get_foundation_model", modelIdentifier=CLAUDE)
    assert getting.endswith(explicit("session policy"))
    by_arn = account.policy(policy)
    managed = assume(account.admin, role, PolicyArns=[{"arn": by_arn}])
    getting = managed.message("bedrock:get_foundation_model", modelIdentifier=CLAUDE)
    assert getting.endswith(explicit("session policy", by_arn))
    # Nor does a session policy grant what the role's policies do not.
    bare = assume(account.admin, account.role(), Policy=EVERYTHING)
    assert told(bare).endswith(no("identity-based policy", INVOKE))


@pytest.fixture
def bounded(other: Account, tmp_path: Any) -> Any:
    """Bounds the other account by service control policies for as long as a test runs."""
    gateway, attached = other.admin.gateway, list[str]()

    def bound(name: str, text: str) -> None:
        file = tmp_path / f"{name}.json"
        file.write_text(text, encoding="utf-8")
        outcrop(gateway, "accounts", "scp", "create", name, str(file))
        outcrop(gateway, "accounts", "scp", "attach", name, other.id)
        attached.append(name)
        if name == "only-some":
            outcrop(gateway, "accounts", "scp", "detach", "FullAWSAccess", other.id)

    yield bound
    if "only-some" in attached:
        outcrop(gateway, "accounts", "scp", "attach", "FullAWSAccess", other.id)
    for name in attached:
        outcrop(gateway, "accounts", "scp", "detach", name, other.id)
        outcrop(gateway, "accounts", "scp", "delete", name)


def test_a_service_control_policy_bounds_everyone_the_root_user_included(
    other: Account, bounded: Any
) -> None:
    root, person = other.admin, other.user(EVERYTHING)
    assert root.invokes()
    assert person.invokes()
    bounded("no-models", document(deny(INVOKE)))
    _wait_for_denial(root)
    for each in (root, person):
        message = told(each)
        assert message == sentence(
            each, INVOKE, f"{MODELS}/{CLAUDE}", explicit("service control policy")
        )
    assert root.ask("bedrock:list_foundation_models")


def test_what_service_control_policies_do_not_allow_nobody_may(
    other: Account, bounded: Any
) -> None:
    root, person = other.admin, other.user(EVERYTHING)
    bounded("only-some", document(allow(["iam:*", LIST])))
    _wait_for_denial(root)
    for each in (root, person):
        assert told(each) == sentence(
            each, INVOKE, f"{MODELS}/{CLAUDE}", no("service control policy", INVOKE)
        )
        assert each.ask("bedrock:list_foundation_models")


def _wait_for_denial(person: Person) -> None:
    """A running server reads what another process wrote within a second; each request asks."""
    for _ in range(2000):
        if not person.invokes():
            return
    pytest.fail("the policy has no effect")


def test_kms_answers_400_and_names_the_resource_s_policy(account: Account) -> None:
    person = account.user(EVERYTHING)
    statements = [allow("kms:*", Principal={"AWS": account.admin.arn})]
    made = account.admin.ask("kms:create_key", Policy=document(*statements))
    key = made["KeyMetadata"]["Arn"]
    with pytest.raises(ClientError) as caught:
        person.ask("kms:encrypt", KeyId=key, Plaintext=b"x")
    assert refused(caught.value) == (
        400,
        "AccessDeniedException",
        sentence(person, "kms:Encrypt", key, no("resource-based policy", "kms:Encrypt")),
    )
    statements.append(deny("kms:Encrypt", Principal={"AWS": person.arn}))
    account.admin.ask(
        "kms:put_key_policy", KeyId=key, PolicyName="default", Policy=document(*statements)
    )
    message = person.message("kms:encrypt", KeyId=key, Plaintext=b"x")
    assert message == sentence(person, "kms:Encrypt", key, explicit("resource-based policy"))


def test_a_secret_s_policy_denies(account: Account) -> None:
    person = account.user(EVERYTHING)
    account.admin.ask("secretsmanager:create_secret", Name="denied", SecretString="x")
    policy = document(deny("secretsmanager:GetSecretValue", Principal={"AWS": person.arn}))
    account.admin.ask(
        "secretsmanager:put_resource_policy", SecretId="denied", ResourcePolicy=policy
    )
    with pytest.raises(ClientError) as caught:
        person.ask("secretsmanager:get_secret_value", SecretId="denied")
    assert refused(caught.value)[:2] == (400, "AccessDeniedException")
    assert refused(caught.value)[2] == sentence(
        person, "secretsmanager:GetSecretValue", "denied", explicit("resource-based policy")
    )
    assert account.admin.ask("secretsmanager:get_secret_value", SecretId="denied")


def test_iam_answers_access_denied_in_xml(account: Account) -> None:
    person = account.user()
    with pytest.raises(ClientError) as caught:
        person.ask("iam:list_users")
    action = "iam:ListUsers"
    resource = f"arn:aws:iam::{account.id}:user/"
    assert refused(caught.value) == (
        403,
        "AccessDenied",
        sentence(person, action, resource, no("identity-based policy", action)),
    )


def test_sts_does_not_say_why_a_role_may_not_be_assumed(account: Account) -> None:
    person, role = account.user(), account.role()
    with pytest.raises(ClientError) as caught:
        person.ask("sts:assume_role", RoleArn=role, RoleSessionName="me")
    told = f"User: {person.arn} is not authorized to perform: sts:AssumeRole on resource: {role}"
    assert refused(caught.value) == (403, "AccessDenied", told)


def test_bedrock_spells_the_member_message_with_a_capital(account: Account) -> None:
    person = account.user()
    answers: list[dict[str, Any]] = []

    def keep(response_dict: dict[str, Any], **_: Any) -> None:
        answers.append(dict(response_dict))

    client = person.client("bedrock-runtime")
    client.meta.events.register("before-parse.bedrock-runtime.*", keep)
    with pytest.raises(client.exceptions.AccessDeniedException):
        client.converse(**turn())
    (answer,) = answers
    assert answer["status_code"] == 403
    assert answer["headers"]["x-amzn-ErrorType"].startswith("AccessDeniedException")
    assert json.loads(answer["body"]).keys() == {"Message"}


def test_s3_answers_access_denied_in_xml(account: Account) -> None:
    person = account.user()
    bucket = "a-bucket-that-nobody-made"
    for operation, params, action, resource in (
        ("list_buckets", {}, "s3:ListAllMyBuckets", ""),
        (
            "get_object",
            {"Bucket": bucket, "Key": "k"},
            "s3:GetObject",
            f"arn:aws:s3:::{bucket}/k",
        ),
    ):
        with pytest.raises(ClientError) as caught:
            person.ask(f"s3:{operation}", **params)
        told = sentence(person, action, resource, no("identity-based policy", action))
        assert refused(caught.value) == (403, "AccessDenied", told)


def test_ec2_answers_unauthorized_operation(account: Account) -> None:
    person = account.user()
    action = "ec2:DescribeVpcs"
    with pytest.raises(ClientError) as caught:
        person.ask("ec2:describe_vpcs")
    told = sentence(person, action, "", no("identity-based policy", action))
    assert refused(caught.value) == (
        403,
        "UnauthorizedOperation",
        f"You are not authorized to perform this operation. {told}",
    )


def test_a_profile_needs_itself_and_the_model_in_every_region_of_it(account: Account) -> None:
    model = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    asked = turn(f"us.{model}")
    profile = f"arn:aws:bedrock:{REGION}:{account.id}:inference-profile/us.{model}"
    of_model = f"{MODELS}/{model}"
    elsewhere = of_model.replace(REGION, "us-west-2")
    reason = no("identity-based policy", INVOKE)
    expected: list[tuple[list[str], str]] = [
        ([of_model, elsewhere], profile),
        ([profile, elsewhere], of_model),
        ([profile, of_model], elsewhere),
    ]
    for granted, missing in expected:
        person = account.user(document(allow(INVOKE, granted)))
        message = person.message("bedrock-runtime:converse", **asked)
        assert message == sentence(person, INVOKE, missing, reason)
    all_three = account.user(document(allow(INVOKE, [profile, of_model, elsewhere])))
    assert all_three.refusal("bedrock-runtime:converse", **asked) == ""
    only = {"StringEquals": {"bedrock:InferenceProfileArn": profile}}
    through = account.user(
        document(allow(INVOKE, profile), allow(INVOKE, [of_model, elsewhere], Condition=only))
    )
    assert through.refusal("bedrock-runtime:converse", **asked) == ""
    message = through.message("bedrock-runtime:converse", **turn(model))
    assert message == sentence(through, INVOKE, of_model, reason)


def test_sessions_are_named_by_their_session(account: Account) -> None:
    session = account.session()
    role = session.arn.split("/")[1]
    assert told(session).startswith(
        f"User: arn:aws:sts::{account.id}:assumed-role/{role}/me is not authorized to perform: "
    )
    person = account.user(document(allow("sts:GetFederationToken")))
    answer = person.ask("sts:get_federation_token", Name="visitor", Policy=EVERYTHING)
    federated = of_session(person.gateway, answer["FederatedUser"]["Arn"], answer)
    assert told(federated).startswith(
        f"User: arn:aws:sts::{account.id}:federated-user/visitor is not authorized to perform: "
    )
