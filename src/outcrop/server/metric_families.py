"""The metrics as Prometheus has them: names, units, labels, and their text.

Counts are Bedrock's own (``metrics.names``), since the process began. Times are in seconds.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as open_text
from prometheus_client.registry import Collector

from outcrop.engines.pool import EngineStatus
from outcrop.metrics import names
from outcrop.metrics.totals import LATENCY_BOUNDS_MS, Key, Latency, Totals

_OF_MODELS: Final = ("account", "region", "model_id")
_COUNTERS: Final = {
    names.INVOCATIONS: ("bedrock_invocations", "Calls of models, without those throttled."),
    names.CLIENT_ERRORS: (
        "bedrock_invocation_client_errors",
        "Calls refused as the caller's fault.",
    ),
    names.SERVER_ERRORS: ("bedrock_invocation_server_errors", "Calls that failed here."),
    names.THROTTLES: ("bedrock_invocation_throttles", "Calls refused for a quota or for load."),
    names.INPUT_TOKENS: ("bedrock_input_tokens", "Tokens of input."),
    names.OUTPUT_TOKENS: ("bedrock_output_tokens", "Tokens of output."),
    names.FILTERED: ("bedrock_content_filtered", "Answers that a filter changed or ended."),
    names.IMAGES: ("bedrock_output_images", "Images made."),
}
_DESTINATIONS: Final = (
    ("cloudwatch", names.LOGS_TO_CLOUDWATCH),
    ("s3", names.LOGS_TO_S3),
    ("large_data_s3", names.LARGE_DATA_TO_S3),
)
_OUTCOMES: Final = ("success", "failure")


@dataclass(frozen=True, slots=True)
class Counted:
    """A copy of the totals: another thread writes it out."""

    counts: Mapping[str, Mapping[Key, float]]
    latencies: Mapping[Key, Latency]

    @classmethod
    def of(cls, totals: Totals) -> "Counted":
        return cls(
            {name: dict(by_key) for name, by_key in totals.counts.items()},
            {key: replace(one, buckets=list(one.buckets)) for key, one in totals.latencies.items()},
        )


@dataclass(frozen=True, slots=True)
class State:
    in_flight: int
    journal_backlog_bytes: int
    jobs_waiting: Mapping[str, int]
    engines: tuple[EngineStatus, ...]


def render(counted: Counted, state: State, *, openmetrics: bool) -> tuple[bytes, str]:
    """The text and its media type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(counted, state))
    if openmetrics:
        # The library types half of it.
        generate = cast(
            "Callable[[CollectorRegistry], bytes]", cast(Any, open_text).generate_latest
        )
        return generate(registry), open_text.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


class _Families(Collector):
    def __init__(self, counted: Counted, state: State) -> None:
        self._counted = counted
        self._state = state

    def collect(self) -> Iterator[Metric]:
        yield from _counters(self._counted)
        yield _latency(self._counted)
        yield _deliveries(self._counted)
        yield from _gauges(self._state)
        yield from _engines(self._state)


def _counters(counted: Counted) -> Iterator[Metric]:
    for metric, (name, text) in _COUNTERS.items():
        family = CounterMetricFamily(name, text, labels=_OF_MODELS)
        for key, number in counted.counts.get(metric, {}).items():
            family.add_metric(_labels(key), number)
        yield family


def _latency(counted: Counted) -> Metric:
    family = HistogramMetricFamily(
        "bedrock_invocation_latency_seconds", "How long calls of models took.", labels=_OF_MODELS
    )
    bounds = [*(str(bound / 1000) for bound in LATENCY_BOUNDS_MS), "+Inf"]
    for key, latency in counted.latencies.items():
        counts: list[float] = []
        for number in latency.buckets:
            counts.append((counts[-1] if counts else 0) + number)
        buckets = list(zip(bounds, counts, strict=True))
        family.add_metric(_labels(key), buckets, sum_value=latency.sum_ms / 1000)
    return family


def _deliveries(counted: Counted) -> Metric:
    family = CounterMetricFamily(
        "bedrock_log_deliveries",
        "Deliveries of invocation logs.",
        labels=("account", "region", "destination", "outcome"),
    )
    for destination, pair in _DESTINATIONS:
        for outcome, metric in zip(_OUTCOMES, pair, strict=True):
            for key, number in counted.counts.get(metric, {}).items():
                family.add_metric((key.account, key.region, destination, outcome), number)
    return family


def _gauges(state: State) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "outcrop_requests_in_flight", "Requests being answered.", value=state.in_flight
    )
    yield GaugeMetricFamily(
        "outcrop_journal_backlog_bytes",
        "Records of requests that are not in the database yet.",
        value=state.journal_backlog_bytes,
    )
    waiting = GaugeMetricFamily(
        "outcrop_jobs_waiting", "Deliveries and other work to be done.", labels=("kind",)
    )
    for kind, number in state.jobs_waiting.items():
        waiting.add_metric((kind,), number)
    yield waiting


def _engines(state: State) -> Iterator[Metric]:
    labels = ("engine", "kind", "model")
    ready = GaugeMetricFamily("outcrop_engine_ready", "1 if it can be asked.", labels=labels)
    failed = GaugeMetricFamily(
        "outcrop_engine_failed", "1 if its last request found it gone.", labels=labels
    )
    loaded = GaugeMetricFamily("outcrop_engine_loaded", "1 if it is in memory.", labels=labels)
    running = GaugeMetricFamily("outcrop_engine_running", "Requests it works on.", labels=labels)
    queued = GaugeMetricFamily("outcrop_engine_waiting", "Requests that wait.", labels=labels)
    memory = GaugeMetricFamily("outcrop_engine_memory_bytes", "Memory it takes.", labels=labels)
    for engine in state.engines:
        names_of = (engine.name, engine.kind, engine.model)
        ready.add_metric(names_of, int(engine.ready))
        failed.add_metric(names_of, int(bool(engine.failure)))
        loaded.add_metric(names_of, int(engine.loaded))
        running.add_metric(names_of, engine.running)
        queued.add_metric(names_of, engine.waiting)
        memory.add_metric(names_of, engine.memory_bytes)
    yield from (ready, failed, loaded, running, queued, memory)


def _labels(key: Key) -> tuple[str, str, str]:
    return key.account, key.region, key.model
