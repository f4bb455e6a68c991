"""Bedrock's own metrics: what calls of models count as, exactly once each.

A request that named no model that is here has no invocation, and counts nowhere: what callers may
make up would be names of metrics. Throttled requests are throttles, not invocations; the rest are
invocations, of which some are errors of the client (4xx) or of the server (5xx, and whatever ends
a stream midway). Latency and tokens are those of calls that succeeded; the tokens of a client that
left count as far as they got.
"""

from collections.abc import Iterable, Sequence
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
        self._written: list[tuple[Key, list[_Measured]]] = []

    async def take(self, records: Sequence[CallRecord], transaction: Transaction) -> None:
        self._written = []
        written: list[tuple[Key, list[_Measured]]] = []
        tallies: dict[tuple[str, str], _Tally] = {}
        for record in records:
            measured = measure(record)
            if not measured or record.invocation is None:
                continue
            tally = tallies.setdefault((record.account, record.region), _Tally())
            tally.count(record.began_ms // 1000, record.invocation, measured)
            model = record.invocation.model_id
            written.append((Key(record.account, record.region, model), measured))
        for (account, region), tally in tallies.items():
            samples = tally.samples()
            await add(transaction.connection, account, region, names.NAMESPACE, samples)
        self._written = written

    def taken(self) -> None:
        for key, measured in self._written:
            for name, value in measured:
                if name == names.LATENCY:
                    self._totals.add_latency(key, value)
                else:
                    self._totals.add(name, key, value)
        self._written = []


class _Tally:
    """How often which values of which metrics came in which minute."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, Dimensions, int], dict[float, float]] = {}

    def count(self, at_s: int, invocation: Invocation, measured: Iterable[_Measured]) -> None:
        minute = at_s // MINUTE_S * MINUTE_S
        by_model = (("ModelId", invocation.model_id),)
        for name, value in measured:
            for dimensions in ((), by_model):
                self._add(name, dimensions, minute, value)
            if name == names.IMAGES:
                self._add(name, _image_dimensions(invocation), minute, value)

    def samples(self) -> list[Sample]:
        return [
            Sample(
                name,
                dimensions,
                minute,
                MILLISECONDS if name == names.LATENCY else COUNT,
                Point.of(counts),
            )
            for (name, dimensions, minute), counts in self._counts.items()
        ]

    def _add(self, name: str, dimensions: Dimensions, minute: int, value: float) -> None:
        counts = self._counts.setdefault((name, dimensions, minute), {})
        counts[value] = counts.get(value, 0) + 1


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
