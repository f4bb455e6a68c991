"""What a model unit is sold for."""

import pytest

from outcrop.billing.prices import hourly_price, render, unit_of
from outcrop.catalog.load import load_models
from outcrop.config import Capacity
from outcrop.stores.model_records import Commitment, ModelUnit

MODELS = load_models()
CAPACITY = Capacity(input_tokens=11, output_tokens=7)

# Of the documents' list of models for provisioned throughput.
SOLD = (
    ("amazon.titan-text-express-v1:0:8k", "20.5", "18.4", "14.8"),
    ("amazon.titan-embed-text-v1:2:8k", "0", "6.4", "5.1"),
    ("anthropic.claude-v2:0:18k", "0", "63", "35"),
    ("anthropic.claude-v2:0:100k", "0", "63", "35"),
    ("anthropic.claude-instant-v1:2:100k", "0", "39.6", "22"),
    ("stability.stable-diffusion-xl-v1:0", "0", "49.86", "46.18"),
    ("meta.llama2-13b-chat-v1:0:4k", "0", "21.18", "13.08"),
)
COMMITMENTS: tuple[Commitment | None, ...] = (None, "OneMonth", "SixMonths")


@pytest.mark.parametrize(("model_id", "none", "one", "six"), SOLD)
def test_every_documented_model_has_its_price(model_id: str, none: str, one: str, six: str) -> None:
    model = MODELS.by_id[model_id]
    units = [unit_of(model, CAPACITY, commitment) for commitment in COMMITMENTS]
    assert [render(hourly_price(unit, 1)) for unit in units] == [none, one, six]
    assert [(unit.input_tokens, unit.output_tokens) for unit in units] == [(11, 7)] * 3


def test_units_are_multiplied_exactly() -> None:
    unit = ModelUnit(input_tokens=1, output_tokens=1, hourly_price=0.1)
    assert render(hourly_price(unit, 3)) == "0.3"


def test_the_documents_capital_k_is_the_same_model() -> None:
    assert MODELS.aliases["anthropic.claude-instant-v1:2:100K"] == (
        "anthropic.claude-instant-v1:2:100k"
    )
