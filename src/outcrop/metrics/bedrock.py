"""Bedrock's own metrics: what calls of models count as, exactly once each.

A request that named no model that is here has no invocation, and counts nowhere: what callers may
make up would be names of metrics. Throttled requests are throttles, not invocations; the rest are
invocations, of which some are errors of the client (4xx) or of the server (5xx, and whatever ends
a stream midway). Latency and tokens are those of calls that succeeded; the tokens of a client that
left count as far as they got.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from outcrop.journal.records import CLIENT_GONE, CallRecord, Invocation
from outcrop.metrics import names
from outcrop.metrics.points import Dimensions, Point, Sample, ordered
from outcrop.metrics.store import MINUTE_S, add
from outcrop.metrics.totals import Key, Totals
from outcrop.stores.resources import Transaction

COUNT: Final = "Count"
MILLISECONDS: Final = "Milliseconds"

_OPERATIONS: Final = frozenset(
    ("InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream")
)
_THROTTLES: Final = frozenset(("ThrottlingException", "ServiceQuotaExceededException"))
_SERVER_ERRORS: Final = 500
_CLIENT_ERRORS: Final = 400

_Measured = tuple[str, float]
"""A metric's name and a value of it."""


def measure(record: CallRecord) -> list[_Measured]:
    """What the call counts as. Nothing where it is no call of a model."""
    invocation = record.invocation
    if record.service != "bedrock-runtime" or record.operation not in _OPERATIONS:
        return []
    if invocation is None:
        return []
    # Midway in a stream nobody is throttled any more, whatever the error is called.
    if record.status >= _CLIENT_ERRORS and record.error_code in _THROTTLES:
        return [(names.THROTTLES, 1)]
    measured: list[_Measured] = [(names.INVOCATIONS, 1)]
    if record.status == CLIENT_GONE:
        return [*measured, *_tokens(invocation)]
    if record.status >= _SERVER_ERRORS or (record.status < _CLIENT_ERRORS and record.error_code):
        return [*measured, (names.SERVER_ERRORS, 1)]
    if record.status >= _CLIENT_ERRORS:
        return [*measured, (names.CLIENT_ERRORS, 1)]
    measured += [(names.LATENCY, invocation.latency_ms), *_tokens(invocation)]
    if invocation.is_filtered:
        measured.append((names.FILTERED, 1))
    if invocation.images:
        measured.append((names.IMAGES, invocation.images))
    return measured


def delivery_sample(name: str, at_s: int, number: int = 1) -> Sample:
    """For one of ``names.DELIVERIES``: that many deliveries succeeded or failed. To be given to
    ``store.add`` in namespace ``names.NAMESPACE``. They have no dimension, which is how "across
    all model IDs" is named."""
    if name not in names.DELIVERIES:
        raise ValueError(f"no metric of deliveries is called {name!r}")
    return Sample(name, (), at_s, COUNT, Point.of({1: number}))


class RuntimeMetrics:
    """A sink of the journal. ``totals`` has what is committed."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals
        self._written: dict[Key, _Tally] = {}

    async def take(self, records: Sequence[CallRecord], transaction: Transaction) -> None:
        self._written = {}
        tallies: dict[tuple[str, str, str], _Tally] = {}
        for record in records:
            measured = measure(record)
            if not measured or record.invocation is None:
                continue
            place = (record.account, record.region, record.invocation.model_id)
            tally = tallies.get(place)
            if tally is None:
                tally = tallies[place] = _Tally()
            # When it ended: what is told of a minute is all there when the minute is over.
            ended_s = (record.began_us + record.took_us) // 1_000_000
            tally.count(ended_s // MINUTE_S * MINUTE_S, record.invocation, measured)
        for account, region in {place[:2] for place in tallies}:
            of_region = {
                model: tally
                for (owner, where, model), tally in tallies.items()
                if (owner, where) == (account, region)
            }
            samples = list(_samples(of_region))
            await add(transaction.connection, account, region, names.NAMESPACE, samples)
        self._written = {Key(*place): tally for place, tally in tallies.items()}

    def taken(self) -> None:
        for key, tally in self._written.items():
            for (name, _), counts in tally.values.items():
                for value, times in counts.items():
                    if name == names.LATENCY:
                        self._totals.add_latency(key, value, times)
                    else:
                        self._totals.add(name, key, value * times)
        self._written = {}


_Counts = dict[float, int]
"""How often which value came."""


class _Tally:
    """Of one model: ``values`` by metric and minute, ``images`` by their dimensions and minute."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, int], _Counts] = {}
        self.images: dict[tuple[Dimensions, int], _Counts] = {}

    def count(self, minute: int, invocation: Invocation, measured: Iterable[_Measured]) -> None:
        for name, value in measured:
            place = (name, minute)
            counts = self.values.get(place)
            if counts is None:
                counts = self.values[place] = {}
            counts[value] = counts.get(value, 0) + 1
            if name == names.IMAGES:
                sized = self.images.setdefault((_image_dimensions(invocation), minute), {})
                sized[value] = sized.get(value, 0) + 1


def _samples(tallies: Mapping[str, _Tally]) -> Iterator[Sample]:
    """By model, and of all models together."""
    together: dict[tuple[str, int], _Counts] = {}
    for model, tally in tallies.items():
        for place, counts in tally.values.items():
            yield _sample(*place, (("ModelId", model),), counts)
            all_models = together.setdefault(place, {})
            for value, times in counts.items():
                all_models[value] = all_models.get(value, 0) + times
        for (dimensions, minute), counts in tally.images.items():
            yield _sample(names.IMAGES, minute, dimensions, counts)
    for place, counts in together.items():
        yield _sample(*place, (), counts)


def _sample(name: str, minute: int, dimensions: Dimensions, counts: _Counts) -> Sample:
    unit = MILLISECONDS if name == names.LATENCY else COUNT
    return Sample(name, dimensions, minute, unit, Point.of(counts))


def _tokens(invocation: Invocation) -> list[_Measured]:
    return [
        (names.INPUT_TOKENS, invocation.input_tokens),
        (names.OUTPUT_TOKENS, invocation.output_tokens),
    ]


def _image_dimensions(invocation: Invocation) -> Dimensions:
    return ordered(
        {
            "ModelId": invocation.model_id,
            "ImageSize": invocation.image_size,
            "BucketedStepSize": invocation.step_size,
        }
    )
