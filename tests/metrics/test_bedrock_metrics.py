"""Bedrock's metrics from the journal: each call counted once, as what it was."""

from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from outcrop.journal.consumer import Consumer
from outcrop.journal.files import Journal
from outcrop.journal.records import CallRecord, Invocation, encode
from outcrop.metrics import names
from outcrop.metrics.bedrock import RuntimeMetrics, delivery_sample, measure
from outcrop.metrics.points import Dimensions, Point
from outcrop.metrics.store import Span, add, list_series, read_points
from outcrop.metrics.totals import Key, Totals
from outcrop.stores.database import DatabaseUnusable
from outcrop.stores.resources import Resources, Transaction

ACCOUNT, REGION = "123456789012", "us-east-1"
T0 = 1_800_000_000
MODELS = ("amazon.titan-text-express-v1", "anthropic.claude-v2")


def call(number: int = 0, **fields: Any) -> CallRecord:
    invoked = {name: fields.pop(name) for name in tuple(fields) if name in _INVOKED}
    model = invoked.get("model_id", MODELS[number % 2])
    about: dict[str, Any] = {"model_id": model, "model": model, "modality": "text", **invoked}
    given: dict[str, Any] = {
        "request_id": str(number),
        "began_us": (T0 + number) * 1_000_000,
        "took_us": 5_000,
        "account": ACCOUNT,
        "region": REGION,
        "service": "bedrock-runtime",
        "operation": "InvokeModel",
        "principal": f"arn:aws:iam::{ACCOUNT}:user/a",
        "status": 200,
        "invocation": Invocation(**about),
        **fields,
    }
    return CallRecord(**given)


_INVOKED = frozenset(Invocation.__struct_fields__)

_KINDS: tuple[tuple[dict[str, Any], dict[str, float]], ...] = (
    (
        {"latency_ms": 40, "input_tokens": 7, "output_tokens": 9},
        {
            names.INVOCATIONS: 1,
            names.LATENCY: 40,
            names.INPUT_TOKENS: 7,
            names.OUTPUT_TOKENS: 9,
        },
    ),
    (
        {"operation": "ConverseStream", "latency_ms": 3, "is_filtered": True, "output_tokens": 2},
        {
            names.INVOCATIONS: 1,
            names.LATENCY: 3,
            names.INPUT_TOKENS: 0,
            names.OUTPUT_TOKENS: 2,
            names.FILTERED: 1,
        },
    ),
    (
        {"status": 400, "error_code": "ValidationException", "input_tokens": 5},
        {names.INVOCATIONS: 1, names.CLIENT_ERRORS: 1},
    ),
    (
        {"status": 403, "error_code": "AccessDeniedException", "operation": "Converse"},
        {names.INVOCATIONS: 1, names.CLIENT_ERRORS: 1},
    ),
    ({"status": 429, "error_code": "ThrottlingException"}, {names.THROTTLES: 1}),
    ({"status": 400, "error_code": "ServiceQuotaExceededException"}, {names.THROTTLES: 1}),
    (
        {"status": 503, "error_code": "ServiceUnavailableException"},
        {names.INVOCATIONS: 1, names.SERVER_ERRORS: 1},
    ),
    (
        {
            "operation": "InvokeModelWithResponseStream",
            "error_code": "ModelStreamErrorException",
            "output_tokens": 4,
        },
        {names.INVOCATIONS: 1, names.SERVER_ERRORS: 1},
    ),
    (
        {"status": 499, "input_tokens": 3, "output_tokens": 1, "latency_ms": 8},
        {names.INVOCATIONS: 1, names.INPUT_TOKENS: 3, names.OUTPUT_TOKENS: 1},
    ),
    ({"operation": "CountTokens"}, {}),
    ({"service": "bedrock", "operation": "ListFoundationModels"}, {}),
    ({"status": 404, "error_code": "ResourceNotFoundException", "invocation": None}, {}),
)


@pytest.mark.parametrize(("fields", "counted"), _KINDS)
def test_a_call_counts_as_what_it_was(fields: dict[str, Any], counted: dict[str, float]) -> None:
    assert dict(measure(call(**fields))) == counted


class Broken:
    """A sink whose first transactions fail, after the others' work in them."""

    def __init__(self, times: int) -> None:
        self._times = times

    async def take(self, records: Sequence[CallRecord], transaction: Transaction) -> None:
        if self._times:
            self._times -= 1
            raise DatabaseUnusable("The disk is full.")

    def taken(self) -> None:
        pass


@dataclass
class Kept:
    journal: Journal
    totals: Totals
    consumer: Consumer
    resources: Resources

    def append(self, records: Sequence[CallRecord]) -> None:
        for record in records:
            self.journal.append(encode(record))

    async def read(self) -> dict[tuple[str, Dimensions], Point]:
        """Of all of the time, by metric and dimensions."""
        found: dict[tuple[str, Dimensions], Point] = {}
        async with self.resources.reading() as view:
            for series in await list_series(
                view.connection, ACCOUNT, REGION, namespace=names.NAMESPACE
            ):
                span = Span(T0 - 3600, T0 + 86_400, 90_000)
                (point,) = (await read_points(view.connection, series.id, span)).values()
                found[series.name, series.dimensions] = point
        return found


@pytest.fixture
async def kept(tmp_path: Path, resources: Resources) -> AsyncGenerator[Kept]:
    journal, totals = Journal(tmp_path / "journal"), Totals()
    consumer = Consumer(journal, resources, [RuntimeMetrics(totals), Broken(2)])
    yield Kept(journal, totals, consumer, resources)
    journal.close()


async def test_500_mixed_calls_are_counted_exactly_though_transactions_fail(kept: Kept) -> None:
    truth: defaultdict[tuple[str, Dimensions], Counter[float]] = defaultdict(Counter)
    records: list[CallRecord] = []
    for number in range(500):
        fields, counted = _KINDS[number % len(_KINDS)]
        record = call(number // len(_KINDS), **fields)
        records.append(record)
        for name, value in counted.items():
            assert record.invocation is not None
            for dimensions in ((), (("ModelId", record.invocation.model_id),)):
                truth[name, dimensions][value] += 1
    kept.append(records[:200])
    for _ in range(2):
        with pytest.raises(DatabaseUnusable):
            await kept.consumer.catch_up()
        assert await kept.read() == {}
        assert kept.totals.counts == {}
    kept.append(records[200:])
    await kept.consumer.catch_up()
    await kept.consumer.catch_up()
    assert await kept.read() == {place: Point.of(counts) for place, counts in truth.items()}
    shown = {
        (name, (("ModelId", key.model),)): number
        for name, by_key in kept.totals.counts.items()
        for key, number in by_key.items()
    }
    shown |= {
        (names.LATENCY, (("ModelId", key.model),)): latency.sum_ms
        for key, latency in kept.totals.latencies.items()
    }
    assert shown == {
        place: Point.of(counts).sum for place, counts in truth.items() if place[1] != ()
    }


async def test_images_count_by_size_and_steps_as_well(kept: Kept) -> None:
    images: dict[str, Any] = {
        "images": 3,
        "image_size": "1024x1024",
        "step_size": "50",
        "modality": "image",
    }
    kept.append([call(**images)])
    for _ in range(2):
        with pytest.raises(DatabaseUnusable):
            await kept.consumer.catch_up()
    await kept.consumer.catch_up()
    counted = {
        tuple(name for name, _ in dimensions): point.sum
        for (name, dimensions), point in (await kept.read()).items()
        if name == names.IMAGES
    }
    assert counted == {
        (): 3,
        ("ModelId",): 3,
        ("BucketedStepSize", "ImageSize", "ModelId"): 3,
    }
    key = Key(ACCOUNT, REGION, MODELS[0])
    assert kept.totals.counts[names.IMAGES] == {key: 3}


async def test_deliveries_are_counted_across_all_models(kept: Kept) -> None:
    success, failure = names.LOGS_TO_S3
    samples = [delivery_sample(success, T0, 5), delivery_sample(failure, T0)]
    async with kept.resources.writing() as transaction:
        await add(transaction.connection, ACCOUNT, REGION, names.NAMESPACE, samples)
    found = await kept.read()
    assert {place: point.sum for place, point in found.items()} == {
        (success, ()): 5,
        (failure, ()): 1,
    }


def test_only_the_six_metrics_of_deliveries_are_counted_as_such() -> None:
    assert len(set(names.DELIVERIES)) == 6
    with pytest.raises(ValueError, match="Invocations"):
        delivery_sample(names.INVOCATIONS, T0)
