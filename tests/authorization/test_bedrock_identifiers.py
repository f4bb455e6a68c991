"""Whatever a request calls a model, authorization answers with what to ask leave for."""

from typing import Any, cast

from hypothesis import given, strategies as st

from outcrop.authorization.access import Access, Asked
from outcrop.authorization.bedrock import RULES
from outcrop.authorization.bedrock_models import find_facts, region_key
from outcrop.catalog.load import load_catalog
from outcrop.config import Config
from outcrop.identity import Caller, Principal
from outcrop.stores.mirror import Mirror
from outcrop.stores.model_records import MIRRORED, TOPIC
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Resources

ACCOUNT = "123456789012"
CALLER = Caller(
    Principal(ACCOUNT, "ann", f"arn:aws:iam::{ACCOUNT}:user/ann", "user"),
    "AKIAOUTCROPTESTS0001",
    "us-east-1",
    "header",
)
CATALOG = load_catalog(Config())
NOTHING = cast(Any, None)
MODELS = Mirror(Resources(NOTHING), TOPIC, MIRRORED)
STORES = Stores(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, MODELS)
PARTS = st.sampled_from(
    [
        *("arn:", "arn:aws:", "bedrock:", "sagemaker:", "us-east-1:", "us-west-2:", ":", "::"),
        *("us.", "global.", "eu.", "anthropic.claude-v2", "amazon.nova-lite-v1:0", ACCOUNT),
        *("foundation-model/", "inference-profile/", "application-inference-profile/"),
        *("provisioned-model/", "custom-model/", "/", "*", "\x00", "é", "%2F"),
    ]
)
IDENTIFIERS = st.lists(PARTS | st.text(max_size=5), max_size=7).map("".join)


@given(IDENTIFIERS, st.sampled_from(["us-east-1", "eu-central-1", "us-gov-west-1"]))
async def test_every_identifier_stands_for_something(identifier: str, region: str) -> None:
    asked = Asked({"modelId": identifier}, CALLER, region, CATALOG, NOTHING, MODELS)
    accesses = list(RULES["bedrock-runtime"]["InvokeModel"](asked))
    assert accesses
    for access in accesses:
        assert access.resource.startswith("arn:")
        facts = await find_facts(STORES, access)
        assert facts is None or not facts.tags


@given(IDENTIFIERS)
async def test_operations_on_what_an_account_owns_name_it(identifier: str) -> None:
    for operation, parameter in (
        ("GetProvisionedModelThroughput", "provisionedModelId"),
        ("GetCustomModel", "modelIdentifier"),
        ("GetInferenceProfile", "inferenceProfileIdentifier"),
        ("DeleteInferenceProfile", "inferenceProfileIdentifier"),
    ):
        asked = Asked({parameter: identifier}, CALLER, "us-east-1", CATALOG, NOTHING, MODELS)
        (access,) = RULES["bedrock"][operation](asked)
        assert access.action == f"bedrock:{operation}"
        assert access.resource.startswith("arn:")
        await find_facts(STORES, access)


@given(IDENTIFIERS)
async def test_nothing_is_owned_by_what_is_no_arn(resource: str) -> None:
    facts = await find_facts(STORES, Access("bedrock:InvokeModel", resource))
    assert facts is None or resource.split(":")[4] == facts.account


def test_the_region_of_a_call_is_told_where_it_is_not_the_caller_s() -> None:
    model = "arn:aws:bedrock:{}::foundation-model/m"
    assert region_key(model.format("us-east-1"), "us-east-1") == {}
    assert region_key(model.format("us-west-2"), "us-east-1") == {
        "aws:requestedregion": "us-west-2"
    }
    assert region_key(model.format(""), "us-east-1") == {"aws:requestedregion": "unspecified"}
