"""Access to models: who is served, who may add and remove it, and what stands against that."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from access_requests import (
    CLAUDE,
    INSTANT,
    JURASSIC,
    LLAMA,
    NO_ACCESS,
    NO_MARKETPLACE,
    NO_USE_CASE,
    TITAN,
    UNRESOLVED,
    agree,
    converse,
    disentitle,
    entitle,
    say_use_case,
)
from botocore.exceptions import ClientError
from in_process import ADMIN, Client, Inside, Keys, running_inside
from statements import ACCOUNT, OTHER, allow, document

from outcrop.config import ModelAccess as AccessConfig
from outcrop.errors import AccessDeniedException
from outcrop.services.model_access import require_access_in
from outcrop.stores.model_records import CustomModel, ModelAccess, ModelUnit, ProvisionedModel
from outcrop.stores.resources import Place

SEED = Path(__file__).resolve().parents[2] / "../shared/seed-examples"
CONSOLE = (SEED / "RUN-187.json").read_text(encoding="utf-8")
MARKETPLACE = (SEED / "RUN-189.json").read_text(encoding="utf-8")
REGIONAL = """
provider = "Acme"

[[models]]
id = "acme.chat-v1:0"
name = "Chat"
dialect = "openai_chat"
input_modalities = ["TEXT"]
output_modalities = ["TEXT"]
streaming = true
supports = ["converse"]
regions = ["eu-central-1"]
"""


@pytest.fixture
async def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """As AWS begins: no account has access to anything."""
    own = tmp_path / "acme.toml"
    own.write_text(REGIONAL, encoding="utf-8")
    none = AccessConfig(default="none")
    async with running_inside(tmp_path, monkeypatch, OTHER, access=none, catalog=(own,)) as inside:
        yield inside


@pytest.fixture
def boss(closed: Inside) -> Client:
    return closed.client(ADMIN)


async def someone(inside: Inside, name: str, *policies: str, account: str = ACCOUNT) -> Client:
    """A user with these policies together."""
    statements = [each for policy in policies for each in json.loads(policy)["Statement"]]
    return inside.client(await inside.user(account, name, document(*statements)))


async def availability(client: Client, model: str) -> dict[str, Any]:
    answer = await client.ask("bedrock", "GetFoundationModelAvailability", modelId=model)
    return {
        "agreement": answer["agreementAvailability"]["status"],
        "authorized": answer["authorizationStatus"],
        "entitlement": answer["entitlementAvailability"],
        "region": answer["regionAvailability"],
    }


async def refusal(asked: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        await asked
    answer: Any = caught.value.response
    error = answer["Error"]
    return answer["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


BODIES: dict[str, dict[str, Any]] = {
    TITAN: {"inputText": "Hello"},
    "amazon.titan-embed-text-v1": {"inputText": "Hello"},
    CLAUDE: {"prompt": "\n\nHuman: Hello\n\nAssistant:", "max_tokens_to_sample": 5},
}
MESSAGES = [{"role": "user", "content": [{"text": "Hello"}]}]


@pytest.mark.parametrize(
    ("operation", "model", "params"),
    [
        *(
            ("InvokeModel", model, {"body": json.dumps(body).encode()})
            for model, body in BODIES.items()
        ),
        ("InvokeModelWithResponseStream", TITAN, {"body": json.dumps(BODIES[TITAN]).encode()}),
        ("Converse", TITAN, {"messages": MESSAGES}),
        ("ConverseStream", TITAN, {"messages": MESSAGES}),
        ("Converse", "us.amazon.nova-lite-v1:0", {"messages": MESSAGES}),
        (
            "CountTokens",
            "anthropic.claude-3-5-haiku-20241022-v1:0",
            {"input": {"converse": {"messages": MESSAGES}}},
        ),
    ],
)
async def test_a_new_account_is_denied(
    boss: Client, operation: str, model: str, params: dict[str, Any]
) -> None:
    asked = boss.ask("bedrock-runtime", operation, modelId=model, **params)
    assert await refusal(asked) == (403, "AccessDeniedException", NO_ACCESS)


async def test_access_is_granted_to_the_account_and_removed_again(boss: Client) -> None:
    assert await entitle(boss, TITAN) == (201, {"status": "SUCCESS"})
    assert await converse(boss, TITAN)
    assert await disentitle(boss, TITAN) == (200, {"status": "SUCCESS"})
    assert (await refusal(converse(boss, TITAN)))[2] == NO_ACCESS
    assert await disentitle(boss, TITAN) == (200, {"status": "SUCCESS"})


async def test_an_agreement_gives_access_until_it_is_deleted(boss: Client) -> None:
    await agree(boss, JURASSIC)
    assert await converse(boss, JURASSIC)
    await boss.ask("bedrock", "DeleteFoundationModelAgreement", modelId=JURASSIC)
    assert (await refusal(converse(boss, JURASSIC)))[2] == NO_ACCESS
    again = boss.ask("bedrock", "DeleteFoundationModelAgreement", modelId=JURASSIC)
    assert (await refusal(again))[:2] == (404, "ResourceNotFoundException")


async def test_what_an_administrator_grants_is_for_all_users_of_the_account(
    closed: Inside, boss: Client
) -> None:
    await entitle(boss, TITAN)
    ann = await someone(closed, "ann", document(allow("bedrock:InvokeModel")))
    assert await converse(ann, TITAN)


async def test_other_accounts_and_regions_have_no_part_in_it(closed: Inside, boss: Client) -> None:
    await entitle(boss, TITAN)
    stranger = await someone(closed, "bob", document(allow("*")), account=OTHER)
    assert (await refusal(converse(stranger, TITAN)))[2] == NO_ACCESS
    elsewhere = Client(boss.app, boss.keys, region="eu-central-1")
    assert (await refusal(converse(elsewhere, TITAN)))[2] == NO_ACCESS
    assert await converse(boss, TITAN)


async def test_a_variant_goes_with_its_base_model(closed: Inside, boss: Client) -> None:
    await say_use_case(boss)
    await entitle(boss, f"{CLAUDE}:0:18k")
    assert await converse(boss, CLAUDE)
    assert (await availability(boss, f"{CLAUDE}:0:100k"))["entitlement"] == "AVAILABLE"
    await disentitle(boss, f"{CLAUDE}:0:100k")
    assert (await refusal(converse(boss, CLAUDE)))[2] == NO_ACCESS
    (item,) = closed.deployment.state.stores.models.list(ModelAccess)
    assert (item.name, item.record.status) == (CLAUDE, "removed")
    assert item.record.by.endswith(":user/admin")


async def test_removal_says_no_where_the_deployment_says_yes(inside: Inside, admin: Client) -> None:
    assert await converse(admin, TITAN)
    await disentitle(admin, TITAN)
    assert (await refusal(converse(admin, TITAN)))[2] == NO_ACCESS
    assert await converse(admin, JURASSIC)


async def test_a_policy_cuts_off_at_once_what_the_account_may_use(
    closed: Inside, boss: Client
) -> None:
    await entitle(boss, TITAN)
    deny = {"Effect": "Deny", "Action": "bedrock:InvokeModel", "Resource": "*"}
    ann = await someone(closed, "ann", document(allow("bedrock:*"), deny))
    assert "with an explicit deny" in (await refusal(converse(ann, TITAN)))[2]


async def test_anthropic_models_want_a_use_case_first(boss: Client) -> None:
    status, answer = await entitle(boss, CLAUDE)
    assert status == 404
    assert answer["message"].startswith(NO_USE_CASE)
    assert (await refusal(agree(boss, CLAUDE)))[:2] == (404, "ResourceNotFoundException")
    await say_use_case(boss)
    await agree(boss, CLAUDE)
    assert await converse(boss, CLAUDE)


async def test_a_use_case_is_the_account_s_and_kept_as_it_was_sent(
    closed: Inside, boss: Client
) -> None:
    asked = boss.ask("bedrock", "GetUseCaseForModelAccess")
    assert await refusal(asked) == (
        404,
        "ResourceNotFoundException",
        "You have not filled out the request form. Fill out the form before getting access.",
    )
    for form in (b'{"companyName": "Acme"}', bytes(range(256))):
        await boss.ask("bedrock", "PutUseCaseForModelAccess", formData=form)
        elsewhere = Client(boss.app, boss.keys, region="eu-central-1")
        assert (await elsewhere.ask("bedrock", "GetUseCaseForModelAccess"))["formData"] == form
    stranger = await someone(closed, "bob", document(allow("*")), account=OTHER)
    assert (await refusal(stranger.ask("bedrock", "GetUseCaseForModelAccess")))[0] == 404


async def test_who_may_not_add_access_is_told_so(closed: Inside, boss: Client) -> None:
    ann = await someone(closed, "ann", document(allow("bedrock:InvokeModel")))
    status, answer = await entitle(ann, TITAN)
    assert status == 403
    assert (
        "is not authorized to perform: bedrock:PutFoundationModelEntitlement" in answer["Message"]
    )
    await entitle(boss, TITAN)
    status, answer = await disentitle(ann, TITAN)
    assert status == 403
    assert "bedrock:PutFoundationModelEntitlement" in answer["Message"]


async def test_the_console_policy_authorizes_every_operation_of_model_access(
    closed: Inside, boss: Client
) -> None:
    console = await someone(closed, "console", CONSOLE)
    assert await entitle(console, TITAN) == (201, {"status": "SUCCESS"})
    assert (await availability(console, TITAN))["authorized"] == "AUTHORIZED"
    await agree(console, TITAN)
    await console.ask("bedrock", "DeleteFoundationModelAgreement", modelId=TITAN)
    assert await disentitle(console, TITAN) == (200, {"status": "SUCCESS"})
    await say_use_case(console)
    assert (await console.ask("bedrock", "GetUseCaseForModelAccess"))["formData"]


async def test_a_model_of_another_provider_takes_leave_of_the_marketplace(closed: Inside) -> None:
    console = await someone(closed, "console", CONSOLE)
    assert await entitle(console, LLAMA) == (403, {"message": NO_MARKETPLACE})
    assert await refusal(agree(console, JURASSIC)) == (
        403,
        "AccessDeniedException",
        NO_MARKETPLACE,
    )
    assert await availability(console, JURASSIC) == {
        "agreement": "NOT_AVAILABLE",
        "authorized": "NOT_AUTHORIZED",
        "entitlement": "NOT_AVAILABLE",
        "region": "AVAILABLE",
    }


SOLD = [
    JURASSIC,
    "ai21.j2-ultra-v1",
    CLAUDE,
    f"{CLAUDE}:0:100k",
    INSTANT,
    "stability.stable-diffusion-xl-v0",
    "cohere.command-text-v14",
]


async def test_subscriptions_are_limited_to_the_products_of_a_policy(closed: Inside) -> None:
    """RUN-189: seven products, and no other model's."""
    buyer = await someone(closed, "buyer", CONSOLE, MARKETPLACE)
    await say_use_case(buyer)
    for model in SOLD:
        assert await entitle(buyer, model) == (201, {"status": "SUCCESS"}), model
    others = ("anthropic.claude-3-haiku-20240307-v1:0", "cohere.command-light-text-v14", LLAMA)
    for model in others:
        assert (await refusal(agree(buyer, model)))[2] == NO_MARKETPLACE, model
    assert (await availability(buyer, INSTANT))["authorized"] == "AUTHORIZED"
    assert (await availability(buyer, LLAMA))["authorized"] == "NOT_AUTHORIZED"


async def test_the_products_of_the_policy_are_those_of_the_catalog(closed: Inside) -> None:
    condition = json.loads(MARKETPLACE)["Statement"][0]["Condition"]["ForAnyValue:StringEquals"]
    catalog = {model.id: model.product_id for model in closed.deployment.catalog.all()}
    assert {catalog[model] for model in SOLD} == set(condition["aws-marketplace:ProductId"])


async def test_a_variant_s_product_alone_does_not_open_its_base_model(closed: Inside) -> None:
    (long,) = (m for m in closed.deployment.catalog.all() if m.id == f"{CLAUDE}:0:100k")
    key = {"StringEquals": {"aws-marketplace:ProductId": long.product_id}}
    one_product = allow("aws-marketplace:Subscribe", Condition=key)
    views = allow("aws-marketplace:ViewSubscriptions")
    buyer = await someone(closed, "buyer", document(allow("bedrock:*"), one_product, views))
    await say_use_case(buyer)
    assert await entitle(buyer, long.id) == (403, {"message": NO_MARKETPLACE})


async def test_bedrock_subscribes_on_the_caller_s_behalf(closed: Inside) -> None:
    """The managed full-access policy allows it only when Bedrock does it."""
    via = {"StringEquals": {"aws:CalledViaLast": "bedrock.amazonaws.com"}}
    buyer = await someone(
        closed, "buyer", document(allow("bedrock:*"), allow("aws-marketplace:*", Condition=via))
    )
    assert await entitle(buyer, JURASSIC) == (201, {"status": "SUCCESS"})


async def test_removal_takes_leave_to_unsubscribe(closed: Inside, boss: Client) -> None:
    await entitle(boss, JURASSIC)
    await entitle(boss, TITAN)
    console = await someone(closed, "console", CONSOLE)
    status, answer = await disentitle(console, JURASSIC)
    assert status == 403
    assert "aws-marketplace:Unsubscribe" in answer["message"]
    assert (await disentitle(console, TITAN))[0] == 200
    assert await converse(boss, JURASSIC)
    buyer = await someone(closed, "buyer", CONSOLE, MARKETPLACE)
    assert (await disentitle(buyer, JURASSIC))[0] == 200


def bought(model: str, serves: str) -> ProvisionedModel:
    return ProvisionedModel(
        units=1,
        desired_units=1,
        model=serves,
        desired_model=serves,
        foundation_model=model,
        unit=ModelUnit(input_tokens=1, output_tokens=1),
        status="InService",
    )


async def test_access_stays_while_resources_use_the_model(closed: Inside, boss: Client) -> None:
    for model in (TITAN, JURASSIC):
        await entitle(boss, model)
    here = f"arn:aws:bedrock:us-east-1:{ACCOUNT}"
    custom, throughput = f"{here}:custom-model/{TITAN}/abc", f"{here}:provisioned-model/def"
    resources = closed.deployment.state.stores.resources
    async with resources.writing() as transaction:
        mine = Place(ACCOUNT, "us-east-1", "mine")
        await transaction.add(CustomModel(base_model=f"{TITAN}:0:8k"), mine, arn=custom)
        await transaction.add(bought(TITAN, custom), mine, arn=throughput)
        others = (Place(OTHER, "us-east-1", "mine"), Place(ACCOUNT, "eu-central-1", "mine"))
        for place in others:
            await transaction.add(bought(JURASSIC, JURASSIC), place, arn=f"arn:{place.region}")
    asked = boss.ask("bedrock", "DeleteFoundationModelAgreement", modelId=TITAN)
    status, code, message = await refusal(asked)
    assert (status, code) == (400, "ConflictException")
    assert message.endswith(f"{custom}, {throughput}")
    assert (await disentitle(boss, TITAN))[1]["message"] == message
    assert await converse(boss, TITAN)
    assert (await disentitle(boss, JURASSIC))[0] == 200
    for kind, left in ((CustomModel, 400), (ProvisionedModel, 200)):
        async with resources.writing() as transaction:
            await transaction.remove(kind, Place(ACCOUNT, "us-east-1", "mine"))
        assert (await disentitle(boss, TITAN))[0] == left


async def test_a_region_that_does_not_offer_a_model_cannot_grant_it(boss: Client) -> None:
    assert await entitle(boss, "acme.chat-v1:0") == (404, {"message": UNRESOLVED})
    assert (await refusal(agree(boss, "acme.chat-v1:0")))[2] == UNRESOLVED
    assert await availability(boss, "acme.chat-v1:0") == {
        "agreement": "AVAILABLE",
        "authorized": "AUTHORIZED",
        "entitlement": "NOT_AVAILABLE",
        "region": "NOT_AVAILABLE",
    }
    there = Client(boss.app, boss.keys, region="eu-central-1")
    assert await entitle(there, "acme.chat-v1:0") == (201, {"status": "SUCCESS"})
    assert (await availability(there, "acme.chat-v1:0"))["region"] == "AVAILABLE"


async def test_a_model_that_is_not_there_is_not_found(boss: Client) -> None:
    assert await entitle(boss, "acme.none-v1") == (404, {"message": UNRESOLVED})
    assert await disentitle(boss, "acme.none-v1") == (404, {"message": UNRESOLVED})
    for operation in ("GetFoundationModelAvailability", "ListFoundationModelAgreementOffers"):
        asked = boss.ask("bedrock", operation, modelId="acme.none-v1")
        assert await refusal(asked) == (404, "ResourceNotFoundException", UNRESOLVED)


async def test_availability_tells_what_still_stands_between(closed: Inside, boss: Client) -> None:
    assert await availability(boss, TITAN) == {
        "agreement": "AVAILABLE",
        "authorized": "AUTHORIZED",
        "entitlement": "NOT_AVAILABLE",
        "region": "AVAILABLE",
    }
    await agree(boss, JURASSIC)
    assert set((await availability(boss, JURASSIC)).values()) == {"AVAILABLE", "AUTHORIZED"}
    looks = document(allow("bedrock:Get*"))
    ann = await someone(closed, "ann", looks)
    assert (await availability(ann, JURASSIC))["authorized"] == "NOT_AUTHORIZED"


@pytest.mark.parametrize("times", [1, 4])
async def test_parallel_grants_and_removals_leave_one_answer(
    closed: Inside, boss: Client, times: int
) -> None:
    for _ in range(times):
        answers = await asyncio.gather(
            *(entitle(boss, TITAN) for _ in range(10)),
            *(disentitle(boss, TITAN) for _ in range(10)),
        )
        assert {status for status, _ in answers} == {200, 201}
        (item,) = closed.deployment.state.stores.models.list(ModelAccess)
        is_open = (await availability(boss, TITAN))["entitlement"] == "AVAILABLE"
        assert is_open == (item.record.status == "granted")


@pytest.mark.parametrize("removed_at", [0, 3, 6])
async def test_what_relies_on_access_and_its_removal_do_not_cross(
    closed: Inside, boss: Client, removed_at: int
) -> None:
    await entitle(boss, TITAN)
    call = closed.call(closed.caller(ADMIN))
    model = closed.deployment.catalog.get(TITAN, "us-east-1")

    async def rely(number: int) -> None:
        async with call.stores.resources.writing() as transaction:
            await require_access_in(transaction, call, model, "us-east-1")
            place = Place(ACCOUNT, "us-east-1", f"t{number}")
            await transaction.add(bought(TITAN, TITAN), place, arn=f"arn:t{number}")

    work: list[Any] = [rely(number) for number in range(6)]
    work.insert(removed_at, disentitle(boss, TITAN))
    outcomes: list[Any] = await asyncio.gather(*work, return_exceptions=True)
    status, _ = outcomes.pop(removed_at)
    made = [each for each in outcomes if each is None]
    assert status == (400 if made else 200)
    assert all(isinstance(each, AccessDeniedException) for each in outcomes if each is not None)
    is_open = (await availability(boss, TITAN))["entitlement"] == "AVAILABLE"
    assert is_open == bool(made)


async def test_one_of_many_agreements_is_made(boss: Client) -> None:
    outcomes = await asyncio.gather(
        *(agree(boss, JURASSIC) for _ in range(8)), return_exceptions=True
    )
    refused = [each for each in outcomes if isinstance(each, ClientError)]
    assert len(refused) == 7
    assert all("(ConflictException)" in str(each) for each in refused)


async def test_both_accounts_have_access_of_their_own(closed: Inside, boss: Client) -> None:
    stores = closed.deployment.state.stores
    root = await stores.identities.get_user(OTHER, "root")
    other = closed.client(Keys.of(await stores.keys.create_access_key(root)))
    await entitle(boss, TITAN)
    await entitle(other, JURASSIC)
    assert await converse(boss, TITAN)
    assert await converse(other, JURASSIC)
    assert (await refusal(converse(boss, JURASSIC)))[2] == NO_ACCESS
    assert (await refusal(converse(other, TITAN)))[2] == NO_ACCESS
