from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from outcrop.catalog.arns import foundation_model_arn, inference_profile_arn
from outcrop.catalog.catalog import Catalog, NoSuchModel, WrongRegion
from outcrop.catalog.geographies import destinations, regions_of
from outcrop.catalog.load import load_catalog
from outcrop.catalog.model import Model
from outcrop.config import DOCUMENTED_REGIONS, Binding, Config, ConfigError

CATALOG = load_catalog(Config())
ACCOUNT = "123456789012"
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
PARTS = [
    *(model.id for model in CATALOG.all()),
    *("us.", "eu.", "arn:aws:bedrock:", "us-east-1", ":", "::", "foundation-model/"),
    *("inference-profile/", ACCOUNT, ":0", ":100K", "/", "%2F", "\x00", "é"),
]


def small_model(model_id: str, **facts: object) -> Model:
    # A test states only the facts it is about.
    return Model(model_id, "Small", "Acme", "llama", ("TEXT",), ("TEXT",), **facts)  # pyright: ignore[reportArgumentType]


def test_every_model_answers_to_its_id_and_its_arn() -> None:
    for model in CATALOG.all():
        assert CATALOG.get(model.id, "eu-central-1") is model
        assert CATALOG.get(foundation_model_arn("us-west-2", model.id), "us-west-2") is model


def test_every_profile_answers_by_id_and_arn_in_its_geography() -> None:
    home = {
        "us": "us-west-2",
        "eu": "eu-west-3",
        "apac": "ap-south-1",
        "jp": "ap-northeast-1",
        "au": "ap-southeast-2",
        "global": "sa-east-1",
    }
    profiles = [(each, model) for model in CATALOG.all() for each in model.profiles]
    assert {geography for geography, _ in profiles} == set(home)
    for geography, model in profiles:
        region = home[geography]
        profile_id = f"{geography}.{model.id}"
        profile_arn = inference_profile_arn(region, ACCOUNT, profile_id)
        for identifier in (profile_id, profile_arn):
            assert CATALOG.get(identifier, region) is model
            assert CATALOG.find_profile_id(identifier) == profile_id
        assert CATALOG.find_profile_id(model.id) is None


@pytest.mark.parametrize(
    ("identifier", "region"),
    [
        ("us.anthropic.claude-sonnet-4-6", "eu-central-1"),
        ("us.anthropic.claude-sonnet-4-6", "us-gov-west-1"),
        ("eu.anthropic.claude-sonnet-4-6", "us-east-1"),
        ("jp.anthropic.claude-sonnet-4-6", "ap-southeast-2"),
        ("au.anthropic.claude-sonnet-4-6", "ap-northeast-1"),
        ("apac.anthropic.claude-sonnet-4-6", "eu-west-1"),
    ],
)
def test_a_profile_is_unknown_outside_its_geography(identifier: str, region: str) -> None:
    with pytest.raises(NoSuchModel):
        CATALOG.get(identifier, region)


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "anthropic.claude-v3",
        "Anthropic.Claude-V2",
        "us.anthropic.claude-v2",
        "eu.meta.llama3-3-70b-instruct-v1:0",
        "us.us.amazon.nova-lite-v1:0",
        "us.anthropic.claude-3-haiku-20240307-v1:0:48k",
        "arn:aws:bedrock:us-east-1::foundation-model/us.amazon.nova-lite-v1:0",
        f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/amazon.nova-lite-v1:0",
        f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/1arbu5hu2sjr",
        f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/abcdefghijkl",
    ],
)
def test_what_is_no_model_is_named_in_the_error(identifier: str) -> None:
    assert CATALOG.find(identifier, "us-east-1") is None
    with pytest.raises(NoSuchModel) as caught:
        CATALOG.get(identifier, "us-east-1")
    assert caught.value.identifier == identifier


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-v2",
        "arn:aws-cn:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
        f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/us.{SONNET}",
    ],
)
def test_an_arn_of_another_region_or_partition_is_an_error_of_its_own(arn: str) -> None:
    with pytest.raises(WrongRegion):
        CATALOG.get(arn, "us-east-1")


def test_the_documents_capital_k_is_an_alias_of_the_recorded_id() -> None:
    found = CATALOG.get("anthropic.claude-instant-v1:2:100K", "us-east-1")
    assert found.id == "anthropic.claude-instant-v1:2:100k"
    arn = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-instant-v1:2:100K"
    assert CATALOG.get(arn, "us-east-1") is found
    assert sum(model.id.startswith("anthropic.claude-instant") for model in CATALOG.all()) == 2


def test_a_foundation_model_is_not_found_by_a_profile() -> None:
    assert CATALOG.find_foundation_model(f"us.{SONNET}", "us-east-1") is None
    profile = inference_profile_arn("us-east-1", ACCOUNT, f"us.{SONNET}")
    assert CATALOG.find_foundation_model(profile, "us-east-1") is None
    assert CATALOG.find_foundation_model(SONNET, "us-east-1") is not None


@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=9), max_size=6).map("".join), st.text())
def test_no_identifier_raises_anything_else(identifier: str, region: str) -> None:
    for place in ("us-east-1", region):
        with suppress(NoSuchModel, WrongRegion):
            assert CATALOG.get(identifier, place) in CATALOG.all()


def test_a_model_with_regions_is_there_only() -> None:
    here = small_model("acme.here-v1", regions=("eu-west-1",))
    catalog = Catalog([here, small_model("acme.everywhere-v1")], engines=())
    assert catalog.find("acme.here-v1", "eu-west-1") is here
    assert catalog.find("acme.here-v1", "us-east-1") is None
    assert [model.id for model in catalog.all("us-east-1")] == ["acme.everywhere-v1"]


def test_the_last_binding_that_matches_wins_and_the_store_wins_over_the_file() -> None:
    catalog = Catalog(
        [small_model("acme.chat-v1"), small_model("acme.code-v1"), small_model("other.chat-v1")],
        engines=("one", "two", "three"),
        bindings=[
            Binding(pattern="*", engine="one"),
            Binding(pattern="acme.*", engine="two", model="m"),
        ],
    )
    stored = catalog.with_bindings([Binding(pattern="*.code-v?", engine="three")])
    assert [model.engine for model in catalog.all()] == ["two", "two", "one"]
    assert [model.engine for model in stored.all()] == ["two", "three", "one"]
    assert [model.engine_model for model in stored.all()] == ["m", None, None]
    assert stored.get("acme.code-v1", "us-east-1").engine == "three"


def test_new_bindings_replace_the_stored_ones_and_leave_the_old_catalog_alone() -> None:
    catalog = Catalog([small_model("acme.chat-v1", engine="one")], engines=("one", "two"))
    bound = catalog.with_bindings([Binding(pattern="acme.*", engine="two")])
    assert bound.all()[0].engine == "two"
    assert bound.with_bindings([]).all()[0].engine == "one"
    assert catalog.all()[0].engine == "one"


def test_a_variant_follows_the_binding_of_its_model() -> None:
    binding = Binding(pattern="anthropic.claude-v2", engine="minilm")
    catalog = load_catalog(Config(bind=(binding,)))
    engines = {model.id: model.engine for model in catalog.all()}
    assert engines["anthropic.claude-v2"] == engines["anthropic.claude-v2:0:18k"] == "minilm"
    assert engines["anthropic.claude-v2:1"] == "smollm2"


def test_a_bound_engine_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match="'vllm'"):
        load_catalog(Config(bind=(Binding(pattern="anthropic.*", engine="vllm"),)))
    with pytest.raises(ConfigError, match="'vllm'"):
        CATALOG.with_bindings([Binding(pattern="anthropic.*", engine="vllm")])
    with pytest.raises(ConfigError, match=r"acme\.chat-v1.*'gone'"):
        Catalog([small_model("acme.chat-v1", engine="gone")], engines=("one",))


def test_a_binding_that_matches_no_model_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"'antropic\.\*'"):
        load_catalog(Config(bind=(Binding(pattern="antropic.*", engine="smollm2"),)))


def test_a_binding_of_a_region_holds_there_only() -> None:
    catalog = Catalog(
        [small_model("acme.chat-v1", profiles=("us",)), small_model("acme.code-v1")],
        engines=("one", "two", "three"),
        bindings=[
            Binding(pattern="*", engine="one"),
            Binding(pattern="acme.chat*", engine="two", standby=("one",), regions=("us-west-2",)),
        ],
        regions=("us-east-1", "us-west-2"),
    )
    for identifier in ("acme.chat-v1", "us.acme.chat-v1"):
        assert catalog.get(identifier, "us-east-1").engine == "one"
        west = catalog.get(identifier, "us-west-2")
        assert (west.engine, west.standby) == ("two", ("one",))
    assert catalog.get("acme.code-v1", "us-west-2").engine == "one"
    assert [model.engine for model in catalog.all()] == ["one", "one"]
    assert [model.engine for model in catalog.all("us-west-2")] == ["two", "one"]
    assert [(model.id, model.engine) for model in catalog.bound()] == [
        ("acme.chat-v1", "one"),
        ("acme.chat-v1", "two"),
        ("acme.code-v1", "one"),
    ]
    stored = catalog.with_bindings([Binding(pattern="*", engine="three")])
    assert stored.get("acme.chat-v1", "us-west-2").engine == "three"
    assert stored.regions == catalog.regions


def test_the_ways_that_a_model_is_bound_name_their_regions() -> None:
    catalog = Catalog(
        [
            small_model("acme.chat-v1"),
            small_model("acme.code-v1"),
            small_model("acme.west-v1", regions=("us-west-2",)),
        ],
        engines=("one", "two"),
        bindings=[
            Binding(pattern="*", engine="one"),
            Binding(pattern="acme.chat*", engine="two", regions=("us-west-2", "eu-west-1")),
            Binding(pattern="acme.west*", engine="two", regions=("us-west-2", "eu-west-1")),
        ],
    )
    assert [(model.id, model.engine, regions) for model, regions in catalog.ways()] == [
        ("acme.chat-v1", "one", ()),
        ("acme.chat-v1", "two", ("us-west-2", "eu-west-1")),
        ("acme.code-v1", "one", ()),
        ("acme.west-v1", "two", ("us-west-2",)),
    ]
    assert [(model, ()) for model in CATALOG.all()] == list(CATALOG.ways())


def test_without_bindings_of_regions_each_region_has_the_same_models() -> None:
    assert CATALOG.bound() == CATALOG.all()
    for region in CATALOG.regions:
        assert CATALOG.get(SONNET, region) is CATALOG.get(SONNET, "us-east-1")


def test_a_binding_names_engines_and_regions_that_there_can_be() -> None:
    with pytest.raises(ConfigError, match="'us-east1'"):
        load_catalog(Config(bind=(Binding(pattern="*", engine="smollm2", regions=("us-east1",)),)))
    with pytest.raises(ConfigError, match="'vllm'"):
        load_catalog(Config(bind=(Binding(pattern="*", engine="vllm", regions=("eu-west-1",)),)))


@pytest.mark.parametrize(
    ("geography", "region", "expected"),
    [
        ("us", "us-east-1", ("us-east-1", "us-west-2")),
        ("us", "us-west-2", ("us-west-2", "us-east-1")),
        # A source that the deployment does not name: it sends away what it is asked.
        ("us", "ca-central-1", ("us-east-1", "us-west-2")),
        ("apac", "ap-northeast-1", ("ap-northeast-1", "ap-southeast-1")),
        ("jp", "ap-northeast-3", ("ap-northeast-1",)),
        # None of the deployment's regions is in the geography: who is asked serves.
        ("au", "ap-southeast-2", ("ap-southeast-2",)),
        ("eu", "us-east-1", ()),
        (
            "global",
            "eu-central-1",
            ("eu-central-1", "us-east-1", "us-west-2", "ap-southeast-1", "ap-northeast-1"),
        ),
    ],
)
def test_a_profile_goes_to_the_regions_of_its_geography_the_calling_one_first(
    geography: str, region: str, expected: tuple[str, ...]
) -> None:
    model = CATALOG.get("anthropic.claude-opus-4-7", region)
    assert destinations(model, geography, region, DOCUMENTED_REGIONS) == expected


def test_a_profile_goes_only_where_its_model_is() -> None:
    model = small_model("acme.chat-v1", profiles=("us",), regions=("us-west-2", "eu-west-1"))
    catalog = Catalog([model], engines=(), regions=DOCUMENTED_REGIONS)
    assert destinations(model, "us", "us-east-1", DOCUMENTED_REGIONS) == ("us-west-2",)
    assert catalog.find("us.acme.chat-v1", "us-east-1") is model
    assert catalog.find("acme.chat-v1", "us-east-1") is None
    assert destinations(model, "eu", "eu-west-1", DOCUMENTED_REGIONS) == ()


def test_models_named_without_a_region_may_run_in_all() -> None:
    regional = foundation_model_arn("eu-central-1", SONNET)
    everywhere = f"arn:aws:bedrock:::foundation-model/{SONNET}"
    assert regions_of([regional], "us-east-1", DOCUMENTED_REGIONS) == ("eu-central-1",)
    found = regions_of([everywhere, regional], "eu-central-1", DOCUMENTED_REGIONS)
    assert found[0] == "eu-central-1"
    assert set(found) == set(DOCUMENTED_REGIONS)
