"""Hyperparameters: the ranges of each model, defaults within them, and what is not honoured."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from outcrop.catalog.load import load_catalog
from outcrop.catalog.model import Model, Parameter
from outcrop.config import Config
from outcrop.errors import ValidationException
from outcrop.services.bedrock.customization.hyperparameters import (
    read_hyperparameters,
    settings_of,
)
from outcrop.training.spec import Settings

CATALOG = load_catalog(Config())
EXPRESS = "amazon.titan-text-express-v1:0:8k"
COMMAND = "cohere.command-text-v14:7:4k"
TEXT_BASES = [
    each.id for each in CATALOG.all() if each.customizations and "TEXT" in each.output_modalities
]
# AWS's table: model, name, least and greatest.
RANGES: list[tuple[str, str, str, str]] = [
    (EXPRESS, "epochCount", "1", "10"),
    (EXPRESS, "batchSize", "1", "64"),
    (EXPRESS, "learningRate", "0", "1"),
    (EXPRESS, "learningRateWarmupSteps", "0", "250"),
    ("amazon.titan-text-lite-v1:0:4k", "epochCount", "1", "10"),
    ("amazon.titan-text-premier-v1:0:32k", "epochCount", "1", "5"),
    ("amazon.titan-text-premier-v1:0:32k", "learningRate", "1.00E-07", "1.00E-05"),
    ("amazon.titan-text-premier-v1:0:32k", "learningRateWarmupSteps", "0", "20"),
    (COMMAND, "epochCount", "1", "100"),
    (COMMAND, "batchSize", "8", "8"),
    (COMMAND, "learningRate", "5e-6", "0.1"),
    ("cohere.command-light-text-v14:7:4k", "batchSize", "8", "32"),
    ("meta.llama2-13b-v1:0:4k", "epochCount", "1", "10"),
    ("meta.llama2-70b-v1:0:4k", "batchSize", "1", "1"),
    ("meta.llama2-13b-v1:0:4k", "learningRate", "5.00E-06", ".1"),
]
WRONG = [
    "",
    " 1",
    "1 ",
    "one",
    "-1",
    "+1",
    "1e",
    "0x1",
    "nan",
    "inf",
    "1_0",
    "1,5",
    "\u0661",
    "1\n",
]


def model(model_id: str) -> Model:
    found = CATALOG.find_foundation_model(model_id, "us-east-1")
    assert found is not None
    return found


def read(
    model_id: str, given: dict[str, str] | None = None, *, is_validated: bool = False
) -> dict[str, str]:
    return read_hyperparameters(model(model_id), given or {}, is_validated=is_validated)


@pytest.mark.parametrize(("model_id", "name", "least", "greatest"), RANGES)
def test_the_ends_of_a_range_are_in_it_and_what_lies_beyond_is_not(
    model_id: str, name: str, least: str, greatest: str
) -> None:
    is_whole = name != "learningRate"
    for text in (least, greatest):
        assert read(model_id, {name: text})[name] == text
    below = str(int(least) - 1) if is_whole else str(float(least) / 2)
    above = str(int(greatest) + 1) if is_whole else str(float(greatest) * 1.01)
    for text in (above, *([] if float(least) == 0 else [below])):
        with pytest.raises(ValidationException, match=f"'{name}' is .* out of its range"):
            read(model_id, {name: text})


@pytest.mark.parametrize("model_id", TEXT_BASES)
def test_every_model_that_writes_text_can_be_trained_with_what_it_has_by_default(
    model_id: str,
) -> None:
    settings = settings_of(read(model_id), rank=16, alpha=32)
    assert settings.epochs >= 1
    assert settings.batch_size >= 1
    assert 0 < settings.learning_rate < 1


def test_the_documents_values_are_what_training_is_told() -> None:
    given = {
        "epochCount": "1",
        "batchSize": "1",
        "learningRate": "0.005",
        "learningRateWarmupSteps": "0",
    }
    assert read(EXPRESS, given) == given
    assert settings_of(given, rank=4, alpha=8) == Settings(
        epochs=1, batch_size=1, learning_rate=0.005, warmup_steps=0, rank=4, alpha=8
    )


@pytest.mark.parametrize("text", WRONG)
@pytest.mark.parametrize("name", ["epochCount", "learningRate"])
def test_what_is_no_number_is_refused(name: str, text: str) -> None:
    with pytest.raises(ValidationException, match=f"'{name}' is {re.escape(repr(text))}"):
        read(EXPRESS, {name: text})


@pytest.mark.parametrize("text", ["1.5", "1e0", "1.0"])
def test_epochs_are_whole(text: str) -> None:
    with pytest.raises(ValidationException, match="Give an integer"):
        read(EXPRESS, {"epochCount": text})


@pytest.mark.parametrize("text", ["1.00E-05", "1e-5", ".00001", "0.00001", "1", "0", "0."])
def test_rates_are_written_in_every_way_that_the_documents_do(text: str) -> None:
    assert read(EXPRESS, {"learningRate": text})["learningRate"] == text


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(ValidationException) as caught:
        read("meta.llama2-13b-v1:0:4k", {"learningRateWarmupSteps": "0"})
    assert caught.value.message == (
        "The hyperparameter 'learningRateWarmupSteps' is unknown for the model "
        "meta.llama2-13b-v1:0:4k, which has epochCount, batchSize, learningRate."
    )


@pytest.mark.parametrize(
    ("name", "value"), [("earlyStoppingPatience", "6"), ("earlyStoppingThreshold", "0.01")]
)
def test_training_does_not_pretend_to_stop_early(name: str, value: str) -> None:
    with pytest.raises(ValidationException, match=f"'{name}' is not supported"):
        read(COMMAND, {name: value})


def test_a_share_to_evaluate_with_counts_only_without_validation_data() -> None:
    assert read(COMMAND, {"evalPercentage": "20.0"}, is_validated=True)["evalPercentage"] == "20.0"
    with pytest.raises(ValidationException, match="Give validation data"):
        read(COMMAND, {"evalPercentage": "20.0"})
    with pytest.raises(ValidationException, match="out of its range"):
        read(COMMAND, {"evalPercentage": "51"}, is_validated=True)


@pytest.mark.parametrize("text", ["1e400", f"{10**19}e308"])
def test_without_a_maximum_there_is_still_none_that_is_infinite(text: str) -> None:
    open_ended = {**model(EXPRESS).hyperparameters, "learningRate": Parameter(0, None, 0.001)}
    base = replace(model(EXPRESS), hyperparameters=open_ended)
    with pytest.raises(ValidationException, match="which is out of its range: 0 to any"):
        read_hyperparameters(base, {"learningRate": text}, is_validated=False)


def test_a_model_of_the_operator_s_own_may_say_nothing_of_them() -> None:
    own = Model(
        id="acme.chat-v1",
        name="Chat",
        provider="Acme",
        dialect="openai_chat",
        input_modalities=("TEXT",),
        output_modalities=("TEXT",),
        customizations=("FINE_TUNING",),
    )
    assert settings_of(
        read_hyperparameters(own, {}, is_validated=False), rank=16, alpha=32
    ) == Settings(epochs=5, batch_size=8, learning_rate=0.002, warmup_steps=0)


_NUMBERS = st.decimals(allow_nan=True, allow_infinity=True).map(str) | st.text(max_size=12)


@given(
    st.sampled_from(TEXT_BASES),
    st.dictionaries(
        st.sampled_from(
            ["epochCount", "batchSize", "learningRate", "learningRateWarmupSteps", "x"]
        ),
        _NUMBERS,
    ),
)
def test_whatever_is_given_is_refused_in_words_or_can_be_trained_with(
    model_id: str, given: dict[str, Any]
) -> None:
    try:
        found = read(model_id, given)
    except ValidationException:
        return
    settings = settings_of(found, rank=16, alpha=32)
    assert 1 <= settings.epochs <= 100
    assert 0 <= settings.learning_rate <= 1
