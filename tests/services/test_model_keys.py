"""The keys that custom models are encrypted with: what their makers must be allowed, what Bedrock
and nobody else may by its grant, and when a model can no longer be opened."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from in_process import ADMIN, REGION, Client, Inside
from kms_requests import make_key, owned, refusal, user
from statements import ACCOUNT, OTHER, allow, root_arn, to, user_arn

from outcrop.errors import (
    AccessDeniedException,
    AWSError,
    ServiceError,
    ThrottlingException,
    ValidationException,
)
from outcrop.services.bedrock.customization.keys import (
    KeyUnavailable,
    drop_data_key,
    make_data_key,
    open_data_key,
    require_decrypt,
    require_model_key,
)
from outcrop.services.call import RawAnswer
from outcrop.services.service_callers import service_caller
from outcrop.stores.kms_records import KmsGrant
from outcrop.stores.model_records import CustomModel, DataKey, TrainedAdapter
from outcrop.stores.resources import Change

SEED = Path(__file__).resolve().parents[2] / "../shared/seed-examples"
BUILDER = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey", "kms:CreateGrant"]
SENTENCE = (SEED / "RUN-180.txt").read_text().strip()


def job_arn(job: str = "abcdefghijkl", account: str = ACCOUNT) -> str:
    base = "amazon.titan-text-express-v1"
    return f"arn:aws:bedrock:{REGION}:{account}:model-customization-job/{base}/{job}"


JOB = job_arn()


async def made(
    inside: Inside, client: Client, key: str | None = None, context: str = JOB
) -> DataKey:
    call = inside.call(inside.caller(client.keys))
    return await make_data_key(call, context, key)


async def opened(inside: Inside, data_key: DataKey) -> bytes:
    return await open_data_key(inside.deployment.records.observing.background, data_key)


async def dropped(inside: Inside, data_key: DataKey) -> None:
    await drop_data_key(inside.deployment.records.observing.background, data_key)


def model_of(data_key: DataKey, kms_key: str | None) -> CustomModel:
    adapter = TrainedAdapter(folder="f", base="b", size_bytes=1, data_key=data_key)
    return CustomModel(base_model="amazon.titan-text-express-v1", kms_key=kms_key, adapter=adapter)


def seed(name: str, *mends: tuple[str, str]) -> list[dict[str, Any]]:
    """The statements of a policy of the documents, with what its JSON lacks."""
    text = (SEED / name).read_text().replace("111122223333", ACCOUNT)
    for printed, meant in mends:
        assert printed in text
        text = text.replace(printed, meant)
    return json.loads(text)["Statement"]


async def grants_of(client: Client, key: str) -> list[dict[str, Any]]:
    return (await client.ask("kms", "ListGrants", KeyId=key))["Grants"]


async def test_the_documents_key_policy_suffices_for_makers_and_for_users(
    inside: Inside, admin: Client
) -> None:
    builder = await user(inside, "CustomModelBuilder")
    invoker = await user(inside, "CustomModelCaller")
    policy = owned(*seed("RUN-177.json", ("        }\n}", "        }\n    ]\n}")))
    key = await make_key(admin, Policy=policy)
    data_key = await made(inside, builder, key)
    assert data_key.kms_key == key
    assert len(await opened(inside, data_key)) == 32
    model = model_of(data_key, key)
    await require_model_key(inside.call(inside.caller(invoker.keys)), model)
    stranger = await user(inside, "stranger", allow("bedrock:*"))
    with pytest.raises(AccessDeniedException) as refused:
        await require_model_key(inside.call(inside.caller(stranger.keys)), model)
    assert refused.value.message == SENTENCE


async def test_the_documents_identity_policies_suffice(inside: Inside, admin: Client) -> None:
    key = await make_key(admin)
    mends = (f"arn:aws:kms:region:{ACCOUNT}:key/key id", key)
    comma = ('"kms:GenerateDataKey"\n', '"kms:GenerateDataKey",\n')
    builder = await user(inside, "builder", *seed("RUN-178.json", mends, comma))
    invoker = await user(inside, "invoker", *seed("RUN-179.json", mends))
    data_key = await made(inside, builder, key)
    call = inside.call(inside.caller(invoker.keys))
    await require_decrypt(call, key, data_key)
    await require_decrypt(call, key)


@pytest.mark.parametrize("missing", BUILDER)
async def test_whoever_makes_a_model_needs_each_of_four_permissions(
    inside: Inside, admin: Client, missing: str
) -> None:
    key = await make_key(admin)
    builder = await user(inside, "builder", allow([each for each in BUILDER if each != missing]))
    with pytest.raises(AccessDeniedException) as refused:
        await made(inside, builder, key)
    assert refused.value.status == 403
    assert refused.value.message == (
        f"User: {user_arn('builder')} is not authorized to perform: {missing} on resource: {key} "
        f"because no identity-based policy allows the {missing} action"
    )
    assert await grants_of(admin, key) == []


@pytest.mark.parametrize("name", ["id", "arn", "alias", "alias arn"])
async def test_a_customer_s_key_is_named_by_id_arn_or_alias(
    inside: Inside, admin: Client, name: str
) -> None:
    key = await make_key(admin)
    await admin.ask("kms", "CreateAlias", AliasName="alias/models", TargetKeyId=key)
    prefix, _, key_id = key.rpartition(":key/")
    names = {"id": key_id, "arn": key, "alias": "alias/models"}
    names["alias arn"] = f"{prefix}:alias/models"
    data_key = await made(inside, admin, names[name])
    assert data_key.kms_key == key
    assert len(await opened(inside, data_key)) == 32


@pytest.mark.parametrize(
    ("operation", "params"),
    [("DisableKey", {}), ("ScheduleKeyDeletion", {"PendingWindowInDays": 7})],
)
async def test_a_key_that_cannot_be_used_makes_no_model_and_opens_none(
    inside: Inside, admin: Client, operation: str, params: dict[str, Any]
) -> None:
    key = await make_key(admin)
    data_key = await made(inside, admin, key)
    await admin.ask("kms", operation, KeyId=key, **params)
    with pytest.raises(ValidationException, match="It must be Enabled"):
        await made(inside, admin, key)
    state = "is disabled" if operation == "DisableKey" else "is pending deletion"
    with pytest.raises(KeyUnavailable, match=state):
        await opened(inside, data_key)
    with pytest.raises(AccessDeniedException, match=state):
        await require_model_key(inside.call(inside.caller(ADMIN)), model_of(data_key, key))
    await dropped(inside, data_key)
    assert operation == "ScheduleKeyDeletion" or await grants_of(admin, key) == []


@pytest.mark.parametrize(
    "name",
    [
        "alias/none",
        "12345678-1234-1234-1234-123456789012",
        f"arn:aws:kms:{REGION}:{ACCOUNT}:key/12345678-1234-1234-1234-123456789012",
        f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/12345678-1234-1234-1234-123456789012",
        "arn:aws:s3:::bucket",
        "alias/aws/bedrock",
    ],
)
async def test_what_is_no_customer_s_key_of_the_region_is_refused(
    inside: Inside, admin: Client, name: str
) -> None:
    with pytest.raises(ValidationException, match="KMS key"):
        await made(inside, admin, name)


async def test_a_key_of_another_account_is_used_where_both_sides_let_it(
    inside: Inside, admin: Client
) -> None:
    builder = await user(inside, "builder", allow(BUILDER), account=OTHER)
    context = job_arn(account=OTHER)
    closed = await make_key(admin)
    with pytest.raises(AccessDeniedException):
        await made(inside, builder, closed, context)
    shared = await make_key(admin, Policy=owned(to(root_arn(OTHER), BUILDER)))
    data_key = await made(inside, builder, shared, context)
    assert len(await opened(inside, data_key)) == 32
    await require_model_key(inside.call(inside.caller(builder.keys)), model_of(data_key, shared))


async def test_without_a_key_of_their_own_all_share_their_account_s(inside: Inside) -> None:
    poor = await user(inside, "poor", allow("bedrock:*"))
    stranger = await user(inside, "stranger", allow("kms:*"), account=OTHER)
    data_key = await made(inside, poor)
    described = await inside.client(ADMIN).ask("kms", "DescribeKey", KeyId="alias/aws/bedrock")
    assert data_key.kms_key == described["KeyMetadata"]["Arn"]
    assert described["KeyMetadata"]["KeyManager"] == "AWS"
    assert len(await opened(inside, data_key)) == 32
    await require_model_key(inside.call(inside.caller(poor.keys)), model_of(data_key, None))
    for client in (poor, stranger):
        code, _ = await refusal(
            client,
            "kms",
            "Decrypt",
            KeyId=data_key.kms_key,
            CiphertextBlob=data_key.ciphertext,
            EncryptionContext={"aws:bedrock:arn": JOB},
        )
        assert code == "AccessDeniedException"


async def test_the_grant_is_shown_as_aws_shows_those_of_its_services(
    inside: Inside, admin: Client
) -> None:
    key = await make_key(admin)
    data_key = await made(inside, admin, key)
    [grant] = await grants_of(admin, key)
    assert grant.pop("CreationDate")
    assert grant == {
        "KeyId": key,
        "GrantId": data_key.grant,
        "GranteePrincipal": "bedrock.amazonaws.com",
        "RetiringPrincipal": "bedrock.amazonaws.com",
        "IssuingAccount": root_arn(),
        "Operations": ["Decrypt"],
        "Constraints": {
            "EncryptionContextEquals": {"aws:bedrock:arn": JOB},
            "SourceArn": JOB,
        },
    }
    found = await admin.ask(
        "kms", "ListGrants", KeyId=key, GranteePrincipal="bedrock.amazonaws.com"
    )
    assert len(found["Grants"]) == 1


async def test_a_revoked_grant_closes_the_model_and_says_so(inside: Inside, admin: Client) -> None:
    key = await make_key(admin)
    data_key = await made(inside, admin, key)
    other = await made(inside, admin, key, job_arn("other"))
    await admin.ask("kms", "RevokeGrant", KeyId=key, GrantId=data_key.grant)
    with pytest.raises(KeyUnavailable, match="the grant was revoked"):
        await opened(inside, data_key)
    with pytest.raises(AccessDeniedException, match="it was revoked"):
        await require_model_key(inside.call(inside.caller(ADMIN)), model_of(data_key, key))
    assert len(await opened(inside, other)) == 32
    await dropped(inside, data_key)


async def test_the_grant_is_retired_with_its_model_and_no_other(
    inside: Inside, admin: Client
) -> None:
    key = await make_key(admin)
    data_key = await made(inside, admin, key)
    other = await made(inside, admin, key, job_arn("other"))
    for _ in range(2):
        await dropped(inside, data_key)
    assert [grant["GrantId"] for grant in await grants_of(admin, key)] == [other.grant]
    with pytest.raises(KeyUnavailable):
        await opened(inside, data_key)


async def test_whoever_leaves_while_the_grant_is_made_leaves_none(
    inside: Inside, admin: Client
) -> None:
    key = await make_key(admin)
    making = asyncio.ensure_future(made(inside, admin, key))

    granted: list[str] = []

    def cut_off(changes: Sequence[Change]) -> None:
        new = [each.place.name for each in changes if each.type is KmsGrant and each.item]
        if new:
            granted.extend(new)
            making.cancel()

    async def nothing() -> None:
        """Nobody else writes."""

    inside.deployment.state.stores.resources.listen("kms", cut_off, nothing)
    with pytest.raises(asyncio.CancelledError):
        await making
    assert len(granted) == 1
    assert await grants_of(admin, key) == []


@dataclass(frozen=True)
class Failing:
    """A background whose KMS answers with ``error``."""

    error: AWSError

    async def perform(self, *_: Any, **__: Any) -> Mapping[str, Any]:
        raise self.error

    async def fetch(self, *_: Any, **__: Any) -> RawAnswer:
        raise self.error

    async def may(self, *_: Any, **__: Any) -> bool:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        ServiceError("KMSInternalException", "Not now.", status=500),
        ServiceError("DependencyTimeoutException", "Not now.", status=503),
        ThrottlingException("Rate exceeded"),
    ],
)
async def test_what_kms_fails_at_by_itself_may_be_asked_again(error: AWSError) -> None:
    data_key = DataKey(kms_key="arn:key", ciphertext=b"", context=JOB, grant="grant")
    with pytest.raises(AWSError) as raised:
        await drop_data_key(Failing(error), data_key)
    assert raised.value is error
    with pytest.raises(KeyUnavailable) as unavailable:
        await open_data_key(Failing(error), data_key)
    assert unavailable.value.may_pass


async def test_a_grant_that_is_gone_is_no_reason_to_ask_again() -> None:
    data_key = DataKey(kms_key="arn:key", ciphertext=b"", context=JOB, grant="grant")
    gone = Failing(ServiceError("NotFoundException", "There is no such grant."))
    await drop_data_key(gone, data_key)
    with pytest.raises(KeyUnavailable, match="no longer exists") as unavailable:
        await open_data_key(gone, data_key)
    assert not unavailable.value.may_pass


@pytest.mark.parametrize("source", [job_arn("other"), job_arn(account=OTHER)])
@pytest.mark.parametrize("context", [JOB, job_arn("other"), None])
@pytest.mark.parametrize("service", ["bedrock.amazonaws.com", "s3.amazonaws.com"])
async def test_no_service_opens_a_key_on_behalf_of_anything_else(
    inside: Inside, admin: Client, source: str, context: str | None, service: str
) -> None:
    key = await make_key(admin)
    data_key = await made(inside, admin, key)
    background = inside.deployment.records.observing.background
    asked = {
        "KeyId": key,
        "CiphertextBlob": data_key.ciphertext,
        "EncryptionContext": {"aws:bedrock:arn": context} if context else {},
    }
    with pytest.raises(AWSError) as refused:
        await background.perform(service_caller(service, source), "kms", "Decrypt", asked)
    assert refused.value.code == "AccessDeniedException"


async def test_bedrock_opens_a_key_in_its_own_context_only(inside: Inside, admin: Client) -> None:
    key = await make_key(admin)
    data_key = await made(inside, admin, key)
    other = await made(inside, admin, key, job_arn("other"))
    swapped = replace_context(data_key, other.context)
    with pytest.raises(KeyUnavailable):
        await opened(inside, swapped)


def replace_context(data_key: DataKey, context: str) -> DataKey:
    return msgspec.structs.replace(data_key, context=context)


async def test_a_denial_in_the_key_s_policy_outweighs_the_grant(
    inside: Inside, admin: Client
) -> None:
    key = await make_key(admin)
    data_key = await made(inside, admin, key)
    deny = allow("kms:Decrypt", Principal={"Service": "bedrock.amazonaws.com"}) | {"Effect": "Deny"}
    await admin.ask("kms", "PutKeyPolicy", KeyId=key, Policy=owned(deny))
    with pytest.raises(KeyUnavailable, match="a policy denies it"):
        await opened(inside, data_key)


async def test_a_grant_for_the_whole_account_is_none_for_a_service_that_acts_for_it(
    inside: Inside, admin: Client
) -> None:
    key = await make_key(admin)
    await admin.ask(
        "kms", "CreateGrant", KeyId=key, GranteePrincipal=root_arn(), Operations=["Decrypt"]
    )
    data_key = await made(inside, admin, key)
    await admin.ask("kms", "RevokeGrant", KeyId=key, GrantId=data_key.grant)
    with pytest.raises(KeyUnavailable):
        await opened(inside, data_key)


async def test_makers_may_be_held_to_keys_and_grants_through_bedrock(
    inside: Inside, admin: Client
) -> None:
    key = await make_key(admin)
    through = {"kms:ViaService": f"bedrock.{REGION}.amazonaws.com"}
    context = {"kms:EncryptionContext:aws:bedrock:arn": f"arn:aws:bedrock:*:{ACCOUNT}:*"}
    uses = ["kms:Decrypt", "kms:GenerateDataKey"]
    builder = await user(
        inside,
        "builder",
        allow("kms:DescribeKey", Condition={"StringEquals": through}),
        allow(uses, Condition={"StringEquals": through, "StringLike": context}),
        allow(
            "kms:CreateGrant",
            Condition={
                "Bool": {"kms:GrantIsForAWSResource": "true", "aws:ViaAWSService": "true"},
                "StringEquals": {"kms:GranteePrincipal": "bedrock.amazonaws.com"},
                "ForAllValues:StringEquals": {"kms:GrantOperations": ["Decrypt", "DescribeKey"]},
            },
        ),
    )
    data_key = await made(inside, builder, key)
    call = inside.call(inside.caller(builder.keys))
    await require_model_key(call, model_of(data_key, key))
    elsewhere = replace_context(data_key, job_arn(account=OTHER))
    with pytest.raises(AccessDeniedException, match="sufficient access"):
        await require_decrypt(call, key, elsewhere)
    for operation in ("DescribeKey", "GenerateDataKey"):
        more = {"KeySpec": "AES_256"} if operation == "GenerateDataKey" else {}
        code, _ = await refusal(builder, "kms", operation, KeyId=key, **more)
        assert code == "AccessDeniedException"


@pytest.mark.parametrize(
    "params",
    [
        {"GranteePrincipal": "bedrock.amazonaws.com"},
        {"GranteePrincipal": user_arn("ann"), "RetiringPrincipal": "bedrock.amazonaws.com"},
        {"GranteePrincipal": user_arn("ann"), "Constraints": {"SourceArn": JOB}},
    ],
)
async def test_nobody_but_a_service_gets_a_service_s_grant(
    admin: Client, params: dict[str, Any]
) -> None:
    key = await make_key(admin)
    code, _ = await refusal(
        admin, "kms", "CreateGrant", KeyId=key, Operations=["Decrypt"], **params
    )
    assert code in ("InvalidArnException", "ValidationException")


async def test_a_service_gets_grants_for_itself_alone(inside: Inside, admin: Client) -> None:
    key = await make_key(admin)
    call = inside.call(inside.caller(ADMIN))
    params = {"KeyId": key, "GranteePrincipal": "bedrock.amazonaws.com", "Operations": ["Decrypt"]}
    with pytest.raises(AWSError, match="valid principal"):
        await call.perform("kms", "CreateGrant", params, via=f"sns.{REGION}.amazonaws.com")


async def test_every_use_of_the_key_is_in_the_trail(inside: Inside, admin: Client) -> None:
    key = await make_key(admin)
    data_key = await made(inside, admin, key)
    await opened(inside, data_key)
    await dropped(inside, data_key)
    await inside.deployment.records.observing.catch_up()
    found = await admin.ask(
        "cloudtrail",
        "LookupEvents",
        LookupAttributes=[{"AttributeKey": "EventSource", "AttributeValue": "kms.amazonaws.com"}],
    )
    events = [json.loads(event["CloudTrailEvent"]) for event in found["Events"]]
    seen = [
        (event["eventName"], event["userIdentity"].get("invokedBy"), event["userIdentity"]["type"])
        for event in reversed(events)
        if event["eventName"] not in ("CreateKey", "DescribeKey")
    ]
    bedrock = "bedrock.amazonaws.com"
    assert seen == [
        ("GenerateDataKey", bedrock, "IAMUser"),
        ("Decrypt", bedrock, "IAMUser"),
        ("CreateGrant", bedrock, "IAMUser"),
        ("Decrypt", bedrock, "AWSService"),
        ("RetireGrant", bedrock, "AWSService"),
    ]
