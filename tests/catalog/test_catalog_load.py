from pathlib import Path
from textwrap import dedent

import pytest

from outcrop.catalog.load import load_catalog, load_models
from outcrop.catalog.model import Model, Parameter
from outcrop.config import Config, ConfigError

ACME = """
provider = "Acme"

[families.chat]
dialect = "openai_chat"
input_modalities = ["TEXT"]
output_modalities = ["TEXT"]
streaming = true
context_tokens = 1000
supports = ["converse"]
engine = "smollm2"

[families.chat.parameters]
temperature = { minimum = 0, maximum = 2, default = 1 }
max_tokens = { minimum = 1 }

[[models]]
id = "acme.chat-v1:0"
family = "chat"
name = "Acme Chat"
profiles = ["us"]
prices = { input = 0.5 }
parameters = { max_tokens = { minimum = 1, maximum = 99 } }
variants = [{ suffix = ":9k", context_tokens = 9000, customizations = ["FINE_TUNING"] }]
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "acme.toml"
    file.write_text(dedent(text), encoding="utf-8")
    return file


def load_acme(folder: Path, text: str) -> Model:
    return load_models([write(folder, text)]).by_id["acme.chat-v1:0"]


def test_a_model_takes_the_facts_of_its_family_and_its_own_win(tmp_path: Path) -> None:
    model = load_acme(tmp_path, ACME)
    assert (model.provider, model.dialect, model.context_tokens) == ("Acme", "openai_chat", 1000)
    assert model.parameters == {
        "temperature": Parameter(0, 2, 1),
        "max_tokens": Parameter(1, 99),
    }
    assert model.prices == {"input": 0.5}


def test_a_variant_is_provisioned_only_and_knows_its_base(tmp_path: Path) -> None:
    variant = load_models([write(tmp_path, ACME)]).by_id["acme.chat-v1:0:9k"]
    assert variant.base_id == "acme.chat-v1:0"
    assert variant.inference_types == ("PROVISIONED",)
    assert variant.customizations == ("FINE_TUNING",)
    assert (variant.context_tokens, variant.profiles, variant.prices) == (9000, (), {})
    assert variant.parameters["max_tokens"] == Parameter(1, 99)


def test_a_variant_is_sold_as_its_base_unless_it_says_otherwise(tmp_path: Path) -> None:
    sold = ACME.replace(
        "prices = { input = 0.5 }",
        "unit_prices = { none = 2, SixMonths = 1.5 }\nmodel_unit = { input_tokens = 90 }",
    )
    variant = load_models([write(tmp_path, sold)]).by_id["acme.chat-v1:0:9k"]
    assert variant.unit_prices == {"none": 2.0, "SixMonths": 1.5}
    assert variant.model_unit == {"input_tokens": 90}
    own = sold.replace("context_tokens = 9000", "unit_prices = { OneMonth = 7 }")
    variant = load_models([write(tmp_path, own)]).by_id["acme.chat-v1:0:9k"]
    assert variant.unit_prices == {"OneMonth": 7.0}


@pytest.mark.parametrize("stated", ["unit_prices = { none = inf }", "prices = { input = -1 }"])
def test_a_price_is_a_number_of_dollars(tmp_path: Path, stated: str) -> None:
    with pytest.raises(ConfigError):
        load_models([write(tmp_path, ACME.replace("prices = { input = 0.5 }", stated))])


def test_a_users_model_is_found_like_any_other(tmp_path: Path) -> None:
    catalog = load_catalog(Config(catalog=(write(tmp_path, ACME),)))
    assert catalog.get("us.acme.chat-v1:0", "us-east-1").name == "Acme Chat"


def test_a_users_file_may_replace_a_model_of_ours(tmp_path: Path) -> None:
    text = ACME.replace("acme.chat-v1:0", "anthropic.claude-v2")
    models = load_models([write(tmp_path, text)])
    assert models.by_id["anthropic.claude-v2"].name == "Acme Chat"
    assert len(models.by_id) == len(load_models().by_id) + 1


def test_whole_numbers_stay_whole() -> None:
    limit = load_models().by_id["meta.llama2-13b-chat-v1"].parameters["max_gen_len"]
    assert [repr(number) for number in (limit.minimum, limit.maximum, limit.default)] == [
        "1",
        "2048",
        "512",
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('provider = "Acme"', "", "`provider`"),
        ("streaming = true", 'streaming = "yes"', r"\$\.families\[\.\.\.\]\.streaming"),
        ("streaming = true", "steaming = true", "`steaming`"),
        ('"openai_chat"', '"openai"', r"'openai' - at `\$\.families\[\.\.\.\]\.dialect`"),
        ('["converse"]', '["converse", "song"]', "'song'"),
        ('["us"]', '["mars"]', r"'mars' - at `\$\.models\[0\]\.profiles"),
        ('family = "chat"', 'family = "chess"', "'chess'"),
        ('name = "Acme Chat"', "", "acme.chat-v1:0 has no 'name'"),
        ('"acme.chat-v1:0"', '"Acme chat"', "'Acme chat' is not a model ID"),
        ('":9k"', '"9k"', "'9k'"),
        ("context_tokens = 1000", "context_tokens = 0", "below 1"),
        ("maximum = 99", "maximum = 0", "'max_tokens' of acme.chat-v1:0"),
        ("default = 1 }", "default = 3 }", "'temperature'"),
        ("default = 1 }", "defualt = 1 }", "`defualt`"),
        ("{ input = 0.5 }", "{ inputs = 0.5 }", "`inputs`"),
        ('output_modalities = ["TEXT"]', 'output_modalities = ["EMBEDDING"]', "'dimensions'"),
        ('provider = "Acme"', "provider = ", "not valid TOML"),
        ("[[models]]", "[[models]]\nid = 'acme.x'\n[[models]]", "`name`|'name'"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    assert old in ACME
    with pytest.raises(ConfigError, match=told) as caught:
        load_acme(tmp_path, ACME.replace(old, new))
    assert "acme.toml" in str(caught.value)


def test_an_id_stands_once_in_a_file(tmp_path: Path) -> None:
    models = ACME[ACME.index("[[models]]") :]
    with pytest.raises(ConfigError, match=r"acme\.chat-v1:0 is there twice"):
        load_acme(tmp_path, ACME + models)


def test_a_file_that_is_missing_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        load_models([tmp_path / "none.toml"])
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"binary\.toml is not valid TOML"):
        load_models([tmp_path / "binary.toml"])
