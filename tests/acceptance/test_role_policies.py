"""The permission documents of the guide's roles, met by sessions of roles that hold them: what each
allows is done, what it does not name is refused."""

from typing import Any

import pytest
from principals import (
    CLAUDE,
    MODELS,
    REGION,
    TITAN,
    Account,
    Person,
    assume,
    example,
    may,
    simulated,
    turn,
    unique,
)
from statements import allow, document

EMBEDDING = "amazon.titan-embed-text-v1"


def session(account: Account, number: str, **placeholders: str) -> Person:
    return account.session(example(number, **placeholders))


@pytest.fixture(scope="module")
def buckets(account: Account) -> dict[str, str]:
    """Buckets for the guide's names, which are none today: each with objects in a folder and out
    of it."""
    made: dict[str, str] = {}
    for name in ("training_data", "validation_data", "validation", "output"):
        bucket = made[f"my_{name}_bucket"] = unique(name.replace("_", "-"))
        account.admin.ask("s3:create_bucket", Bucket=bucket)
        for key in ("myfolder", "myfolder/train.jsonl", "elsewhere/train.jsonl"):
            account.admin.ask("s3:put_object", Bucket=bucket, Key=key, Body=b"{}")
    return made


def reads(person: Person, bucket: str, key: str) -> bool:
    return may(person.refusal("s3:get_object", Bucket=bucket, Key=key))


def writes(person: Person, bucket: str, key: str) -> bool:
    return may(person.refusal("s3:put_object", Bucket=bucket, Key=key, Body=b"{}"))


@pytest.mark.parametrize(
    ("number", "named", "within"),
    [
        ("098", ["my_training_data_bucket", "my_validation_data_bucket"], True),
        ("099", ["my_output_bucket"], True),
        # This one names the folders themselves and nothing in them.
        ("191", ["my_training_data_bucket", "my_validation_bucket", "my_output_bucket"], False),
    ],
)
def test_a_job_s_role_has_its_locations(
    account: Account, buckets: dict[str, str], number: str, named: list[str], within: bool
) -> None:
    person = session(account, number, **{name: buckets[name] for name in named})
    for name, bucket in buckets.items():
        assert reads(person, bucket, "myfolder") is (name in named)
        assert reads(person, bucket, "myfolder/train.jsonl") is (within and name in named)
        assert writes(person, bucket, "myfolder/out.jsonl") is (within and name in named)
        assert not reads(person, bucket, "elsewhere/train.jsonl")
        # As printed the documents let nobody list: s3:ListBucket is asked of the bucket itself.
        assert not may(person.refusal("s3:list_objects_v2", Bucket=bucket, Prefix="myfolder/"))
        key = {"Bucket": bucket, "Key": "myfolder/train.jsonl"}
        assert not may(person.refusal("s3:delete_object", **key))


def test_a_knowledge_base_s_role_reads_its_source_as_its_own_account(
    account: Account, buckets: dict[str, str]
) -> None:
    folder = f"{buckets['my_training_data_bucket']}/myfolder"
    here = {"bucket/path/to/folder": folder}
    person = session(account, "145", **here, account_id=account.id)
    bucket = buckets["my_training_data_bucket"]
    assert reads(person, bucket, "myfolder/train.jsonl")
    assert not reads(person, bucket, "elsewhere/train.jsonl")
    assert not writes(person, bucket, "myfolder/train.jsonl")
    stranger = session(account, "145", **here, account_id="999999999999")
    assert not reads(stranger, bucket, "myfolder/train.jsonl")


def test_an_agent_s_role_reads_its_schema(account: Account, buckets: dict[str, str]) -> None:
    bucket = buckets["my_output_bucket"]
    schema = {"path/to/schema": f"{bucket}/myfolder/train.jsonl"}
    person = session(account, "155", **schema, account_id=account.id)
    assert reads(person, bucket, "myfolder/train.jsonl")
    assert not reads(person, bucket, "myfolder")
    stranger = session(account, "155", **schema, account_id="999999999999")
    assert not reads(stranger, bucket, "myfolder/train.jsonl")


def test_a_knowledge_base_s_role_embeds_with_its_model(account: Account) -> None:
    person = session(account, "144", region=REGION, foundation_model_id=EMBEDDING)
    embed = {"body": '{"inputText": "Hello"}'}
    code = person.refusal("bedrock-runtime:invoke_model", modelId=EMBEDDING, **embed)
    # The scripted engine writes text only: the request came through to it.
    assert code != "AccessDeniedException"
    assert person.ask("bedrock:list_foundation_models")
    assert may(person.refusal("bedrock:list_custom_models"))
    assert not person.invokes(CLAUDE)
    assert not may(person.refusal("bedrock:get_foundation_model", modelIdentifier=EMBEDDING))


def test_an_agent_s_role_invokes_its_three_models(account: Account) -> None:
    person = session(account, "154")
    for model in ("anthropic.claude-v2", "anthropic.claude-instant-v1"):
        assert person.invokes(model)
    assert not person.invokes(TITAN)
    streamed = person.refusal("bedrock-runtime:converse_stream", **turn())
    assert not may(streamed)
    first = f"{MODELS}/anthropic.claude-v1"
    role = account.arn("role", person.arn.split("/")[1])
    decided = simulated(account, role, "bedrock:InvokeModel", ResourceArns=[first])
    assert decided == {"bedrock:InvokeModel": "allowed"}


def test_an_agent_s_role_queries_its_knowledge_base(account: Account) -> None:
    person = session(account, "157", account_id=account.id, knowledge_base_id="KB12345678")
    asked: dict[str, Any] = {"retrievalQuery": {"text": "What?"}}
    operation = "bedrock-agent-runtime:retrieve"
    assert may(person.refusal(operation, knowledgeBaseId="KB12345678", **asked))
    assert not may(person.refusal(operation, knowledgeBaseId="KB87654321", **asked))
    assert not person.invokes()


@pytest.fixture(scope="module")
def keys(account: Account) -> list[str]:
    return [account.admin.ask("kms:create_key")["KeyMetadata"]["KeyId"] for _ in range(2)]


KEY_USES: dict[str, dict[str, Any]] = {
    "describe_key": {},
    "generate_data_key": {"KeySpec": "AES_256"},
    "encrypt": {"Plaintext": b"x"},
}


@pytest.mark.parametrize(
    ("number", "placeholder", "allowed"),
    [
        ("149", "keyId", {"decrypt"}),
        ("150", "key-id", {"decrypt", "generate_data_key"}),
        ("178", "key id", {"decrypt", "describe_key", "generate_data_key", "create_grant"}),
        ("179", "key id", {"decrypt"}),
    ],
)
def test_a_role_uses_its_key_as_far_as_its_document_goes(
    account: Account, keys: list[str], number: str, placeholder: str, allowed: set[str]
) -> None:
    owner = "account-id" if number in ("149", "150") else "111122223333"
    here = {"region": REGION, owner: account.id, placeholder: keys[0]}
    person = session(account, number, **here)
    role = account.arn("role", person.arn.split("/")[1])
    grant = {"GranteePrincipal": role, "Operations": ["Decrypt"]}
    for key in keys:
        sealed = account.admin.ask("kms:encrypt", KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        uses = KEY_USES | {"decrypt": {"CiphertextBlob": sealed}, "create_grant": grant}
        done = {
            use
            for use, params in uses.items()
            if may(person.refusal(f"kms:{use}", KeyId=key, **params))
        }
        assert done == (allowed if key == keys[0] else set[str]())


def test_the_key_of_a_source_is_for_s3_alone(account: Account, keys: list[str]) -> None:
    here = {"region": REGION, "account_id": account.id, "key_id": keys[0]}
    # The region stands in the key's ARN and in the service's name.
    person = session(account, "146", **here)
    sealed = account.admin.ask("kms:encrypt", KeyId=keys[0], Plaintext=b"x")["CiphertextBlob"]
    assert not may(person.refusal("kms:decrypt", KeyId=keys[0], CiphertextBlob=sealed))
    bucket = unique("sealed")
    account.admin.ask("s3:create_bucket", Bucket=bucket)
    account.admin.ask(
        "s3:put_object",
        Bucket=bucket,
        Key="k",
        Body=b"sealed",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=keys[0],
    )
    role = person.arn.split("/")[1]
    reading = document(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*"))
    account.iam.put_role_policy(RoleName=role, PolicyName="reading", PolicyDocument=reading)
    assert person.ask("s3:get_object", Bucket=bucket, Key="k")["Body"].read() == b"sealed"
    account.iam.delete_role_policy(RoleName=role, PolicyName="granted-0")
    assert not reads(person, bucket, "k")


def test_the_key_policy_separates_callers_and_builders_of_custom_models(account: Account) -> None:
    caller, builder = unique("CustomModelCaller"), unique("CustomModelBuilder")
    people = {name: account.user(name=name) for name in (caller, builder)}
    policy = example(
        "177",
        **{"111122223333": account.id, "CustomModelCaller": caller, "CustomModelBuilder": builder},
    )
    # The document leaves out who administers the key; without a lockout check it is kept.
    key = account.admin.ask("kms:create_key", Policy=policy, BypassPolicyLockoutSafetyCheck=True)[
        "KeyMetadata"
    ]["KeyId"]
    data = people[builder].ask("kms:generate_data_key", KeyId=key, KeySpec="AES_256")
    blob = {"CiphertextBlob": data["CiphertextBlob"]}
    assert people[builder].ask("kms:describe_key", KeyId=key)
    for person in people.values():
        assert person.ask("kms:decrypt", **blob)["Plaintext"] == data["Plaintext"]
    assert not may(people[caller].refusal("kms:generate_data_key", KeyId=key, KeySpec="AES_256"))
    grant = {"GranteePrincipal": people[caller].arn, "Operations": ["DescribeKey"]}
    assert not may(people[caller].refusal("kms:create_grant", KeyId=key, **grant))
    assert may(people[builder].refusal("kms:create_grant", KeyId=key, **grant))
    assert not may(people[builder].refusal("kms:disable_key", KeyId=key))
    # The key's policy names neither the account nor its administrator.
    assert not may(account.admin.refusal("kms:decrypt", **blob))


def test_a_role_reads_the_secret_of_its_vector_store(account: Account) -> None:
    arns = [
        account.admin.ask("secretsmanager:create_secret", Name=unique("store"), SecretString="s")[
            "ARN"
        ]
        for _ in range(2)
    ]
    here = {"region": REGION, "account_id": account.id}
    person = session(account, "148", **here, secret_id=arns[0].rpartition(":")[2])
    answer = person.ask("secretsmanager:get_secret_value", SecretId=arns[0])
    assert answer["SecretString"] == "s"
    assert not may(person.refusal("secretsmanager:get_secret_value", SecretId=arns[1]))
    change = {"SecretId": arns[0], "SecretString": "t"}
    assert not may(person.refusal("secretsmanager:put_secret_value", **change))


SIMULATED: list[tuple[str, dict[str, str], str, str, str]] = [
    (
        "147",
        {"region": REGION, "account-id": "123456789012", "collection-id": "c1"},
        "aoss:APIAccessAll",
        f"arn:aws:aoss:{REGION}:123456789012:collection/c1",
        f"arn:aws:aoss:{REGION}:123456789012:collection/c2",
    ),
    (
        "004",
        {"region": REGION, "accountId": "123456789012", "logGroupName": "bedrock"},
        "logs:PutLogEvents",
        f"arn:aws:logs:{REGION}:123456789012:log-group:bedrock:log-stream:"
        "aws/bedrock/modelinvocations",
        f"arn:aws:logs:{REGION}:123456789012:log-group:bedrock:log-stream:other",
    ),
]


@pytest.mark.parametrize(("number", "here", "action", "own", "another"), SIMULATED)
def test_documents_for_services_to_come_decide_in_the_simulator(
    account: Account, number: str, here: dict[str, str], action: str, own: str, another: str
) -> None:
    role = account.role(example(number, **here))
    for resource, decision in ((own, "allowed"), (another, "implicitDeny")):
        assert simulated(account, role, action, ResourceArns=[resource]) == {action: decision}


def test_a_third_party_knowledge_base_needs_its_secret(account: Account) -> None:
    base = f"arn:aws:bedrock:{REGION}:{account.id}:knowledge-base/KB12345678"
    secret = f"arn:aws:secretsmanager:{REGION}:{account.id}:secret:pinecone"
    role = account.role(example("152", knowledge_base_arn=base, secret_arn=secret))
    action = "bedrock:AssociateThirdPartyKnowledgeBase"
    key = "bedrock:ThirdPartyKnowledgeBaseCredentialsSecretArn"
    for context, decision in (
        ({key: secret}, "allowed"),
        ({key: f"{secret}-2"}, "implicitDeny"),
        ({}, "implicitDeny"),
    ):
        decided = simulated(account, role, action, context=context, ResourceArns=[base])
        assert decided == {action: decision}


def vpc_policy(account: Account) -> str:
    """The document's bare statements, in a document."""
    subnets = {"{subnet-Id}": "subnet-1", "{subnet-Id2}": "subnet-2"}
    groups = {"{sg-Id}": "sg-1", "{sg-Id2}": "sg-2"}
    here = {"{region}": REGION, "{AccountId}": account.id}
    statements = example("182", **here, **subnets, **groups)
    return f'{{"Version": "2012-10-17", "Statement": [{statements}]}}'


def test_a_vpc_job_s_role_makes_tagged_interfaces_in_its_subnets(account: Account) -> None:
    role = account.role(vpc_policy(account))
    person = assume(account.admin, role)
    assert person.ask("ec2:describe_vpcs")["Vpcs"] is not None
    assert person.ask("ec2:describe_subnets")["Subnets"] is not None
    assert not may(person.refusal("ec2:delete_vpc", VpcId="vpc-12345678"))
    here = f"arn:aws:ec2:{REGION}:{account.id}"
    job = f"arn:aws:bedrock:{REGION}:{account.id}:model-customization-job/one"
    tags = {
        "aws:RequestTag/BedrockManaged": "true",
        "aws:RequestTag/BedrockModelCustomizationJobArn": job,
    }

    def decided(action: str, resource: str, context: dict[str, Any]) -> bool:
        found = simulated(account, role, action, context=context, ResourceArns=[resource])
        return found[action] == "allowed"

    create = "ec2:CreateNetworkInterface"
    interface = f"{here}:network-interface/*"
    assert decided(create, interface, tags)
    assert not decided(create, interface, tags | {"aws:RequestTag/BedrockManaged": "false"})
    assert not decided(create, interface, {})
    for resource in ("subnet/subnet-1", "subnet/subnet-2", "security-group/sg-2"):
        assert decided(create, f"{here}:{resource}", {})
    assert not decided(create, f"{here}:subnet/subnet-3", {})
    own = {
        "ec2:Subnet": f"{here}:subnet/subnet-1",
        "ec2:ResourceTag/BedrockModelCustomizationJobArn": job,
        "ec2:ResourceTag/BedrockManaged": "true",
    }
    delete = "ec2:DeleteNetworkInterface"
    assert decided(delete, interface, own)
    assert not decided(delete, interface, own | {"ec2:Subnet": f"{here}:subnet/subnet-3"})
    assert not decided(delete, interface, own | {"ec2:ResourceTag/BedrockManaged": "no"})
    tagging: dict[str, Any] = {
        "ec2:CreateAction": "CreateNetworkInterface",
        "aws:TagKeys": ["BedrockManaged"],
    }
    assert decided("ec2:CreateTags", interface, tagging)
    assert not decided("ec2:CreateTags", interface, tagging | {"aws:TagKeys": ["Other"]})
    assert not decided("ec2:CreateTags", interface, {"aws:TagKeys": ["BedrockManaged"]})
