from datetime import UTC, datetime

import pytest

from outcrop.capacity.capacity import CapacityShort
from outcrop.capacity.sizing import cpus_needed, require_cpu, shortage
from outcrop.stores.model_records import EngineRate, ModelUnit


def rate(input_per_s: float, output_per_s: float) -> EngineRate:
    now = datetime.now(UTC)
    return EngineRate(input_per_s=input_per_s, output_per_s=output_per_s, measured_at=now)


def unit(input_tokens: int, output_tokens: int) -> ModelUnit:
    return ModelUnit(input_tokens=input_tokens, output_tokens=output_tokens)


@pytest.mark.parametrize(
    ("units", "bought", "measured", "cpus"),
    [
        # 0.45 of a CPU reads, 0.45 writes: exactly the nine tenths that are sold.
        (1, unit(2700, 270), rate(100, 10), 1),
        (1, unit(2701, 270), rate(100, 10), 2),
        (2, unit(2700, 270), rate(100, 10), 2),
        (10, unit(6000, 600), rate(100, 20), 17),
        (1, unit(1, 1), rate(1000, 1000), 1),
        # An engine of embeddings writes nothing, whatever was bought of it.
        (1, unit(2700, 600_000), rate(100, 0), 1),
    ],
)
def test_a_purchase_needs_the_cpus_that_reading_and_writing_keep_busy(
    units: int, bought: ModelUnit, measured: EngineRate, cpus: int
):
    assert cpus_needed(units, bought, measured) == cpus


def test_a_shortage_says_what_was_asked_what_a_cpu_does_and_what_is_free():
    assert shortage(2, unit(6000, 600), "smollm2", rate(100, 20), 1) == (
        "2 model units are 12,000 input and 1,200 output tokens a minute. One CPU of this machine "
        "does 5,400 input or 1,080 output tokens a minute with the engine 'smollm2': that needs 4 "
        "CPUs, and 1 can be reserved now."
    )


def test_a_shortage_of_embeddings_tells_of_input_alone():
    told = shortage(1, unit(60_000, 600), "minilm", rate(100, 0), 0)
    assert told.startswith("1 model unit is 60,000 input tokens a minute.")
    assert "output" not in told


def test_without_any_cpu_the_reason_is_named():
    require_cpu("smollm2", 1, 1)
    with pytest.raises(CapacityShort, match=r"\[capacity\]"):
        require_cpu("smollm2", 0, 0)
    with pytest.raises(CapacityShort, match="all 3 that can be reserved are"):
        require_cpu("smollm2", 0, 3)
