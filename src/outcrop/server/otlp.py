"""Spans and metrics in OpenTelemetry's form, and their way to a collector.

Of a request there is a server span; of a call of a model one more below it, named and described by
the semantic conventions for generative AI. Times are those of the record, not of the sending.
"""

import io
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import export as points
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from outcrop import __version__
from outcrop.journal.records import Invocation
from outcrop.metrics import names
from outcrop.metrics.totals import LATENCY_BOUNDS_MS, Key, Totals
from outcrop.server.metric_families import Counted
from outcrop.server.tracing import Finished
from outcrop.wire.spec import UnknownService, load_service

_TIMEOUT_S: Final = 5.0
_SERVER_ERRORS: Final = 500
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_PARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SCOPE: Final = InstrumentationScope("outcrop", __version__)
_MAX_TRACESTATE: Final = 512

Attributes = dict[str, str | int | float | bool]

_UNITS: Final = {
    names.INVOCATIONS: ("bedrock.invocations", "{invocation}"),
    names.CLIENT_ERRORS: ("bedrock.invocation.client_errors", "{invocation}"),
    names.SERVER_ERRORS: ("bedrock.invocation.server_errors", "{invocation}"),
    names.THROTTLES: ("bedrock.invocation.throttles", "{invocation}"),
    names.INPUT_TOKENS: ("bedrock.input_tokens", "{token}"),
    names.OUTPUT_TOKENS: ("bedrock.output_tokens", "{token}"),
    names.FILTERED: ("bedrock.content_filtered", "{answer}"),
    names.IMAGES: ("bedrock.output_images", "{image}"),
    **{name: (f"bedrock.{name}", "{delivery}") for name in names.DELIVERIES},
}

# The exporters tell of every batch that fails; the tracer tells once a minute.
for _name in ("trace_exporter", "metric_exporter", "_common"):
    logging.getLogger(f"opentelemetry.exporter.otlp.proto.http.{_name}").setLevel(logging.CRITICAL)
logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)


class _StatusOnly(requests.Session):
    """Leaves unread what a collector says besides its status: it may be endless."""

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        response = super().send(request, **{**how, "stream": True, "allow_redirects": False})
        response.close()
        response.raw = io.BytesIO()
        return response


class Otlp:
    """``tracing.Exporter``."""

    def __init__(self, endpoint: str) -> None:
        address = endpoint.rstrip("/")
        self._began_ns = time.time_ns()
        self._resource = Resource(
            {
                "service.name": "outcrop",
                "service.version": __version__,
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            }
        )
        session = _StatusOnly()
        self._spans = OTLPSpanExporter(f"{address}/v1/traces", timeout=_TIMEOUT_S, session=session)
        # The library types its keywords in part.
        metrics = cast(
            Any,
            OTLPMetricExporter(f"{address}/v1/metrics", timeout=_TIMEOUT_S, session=session),
        )
        self._export = cast(
            "Callable[[points.MetricsData], points.MetricExportResult]", metrics.export
        )
        self._shut_down = cast("Callable[[], None]", metrics.shutdown)

    def send_spans(self, finished: Sequence[Finished]) -> bool:
        spans = [span for one in finished for span in render_spans(one, self._resource)]
        return not spans or self._spans.export(spans) is SpanExportResult.SUCCESS

    def copy_metrics(self, totals: Totals) -> Counted:
        return Counted.of(totals)

    def send_metrics(self, metrics: Counted) -> bool:
        rendered = list(_metrics(metrics, self._began_ns, time.time_ns()))
        scope = points.ScopeMetrics(_SCOPE, rendered, "")
        data = points.MetricsData([points.ResourceMetrics(self._resource, [scope], "")])
        return not rendered or self._export(data) is points.MetricExportResult.SUCCESS

    def close(self) -> None:
        self._spans.shutdown()
        self._shut_down()


def render_spans(one: Finished, resource: Resource) -> list[ReadableSpan]:
    """None where the caller's own trace is not sampled."""
    parent = read_parent(one.traceparent, one.tracestate)
    if parent is not None and not parent.trace_flags.sampled:
        return []
    trace_id = parent.trace_id if parent else int.from_bytes(os.urandom(16), "big") or 1
    state = parent.trace_state if parent else None
    context = SpanContext(trace_id, _new_span_id(), False, _SAMPLED, state)
    route = _route(one)
    ended_us = one.began_us + one.took_us
    server = ReadableSpan(
        name=f"{one.method} {route}" if route else f"{one.service}/{one.operation}".strip("/"),
        context=context,
        parent=parent,
        resource=resource,
        attributes=_server_attributes(one, route),
        kind=SpanKind.SERVER,
        status=_status(one.error_code if one.status >= _SERVER_ERRORS else ""),
        start_time=one.began_us * 1000,
        end_time=ended_us * 1000,
        instrumentation_scope=_SCOPE,
    )
    call = one.invocation
    if call is None:
        return [server]
    began_us = max(one.began_us, ended_us - call.latency_ms * 1000)
    model = ReadableSpan(
        name=f"{_gen_ai_operation(one, call)} {call.model_id}",
        context=SpanContext(trace_id, _new_span_id(), False, _SAMPLED, state),
        parent=context,
        resource=resource,
        attributes=_model_attributes(one, call),
        kind=SpanKind.INTERNAL,
        status=_status(one.error_code),
        start_time=began_us * 1000,
        end_time=ended_us * 1000,
        instrumentation_scope=_SCOPE,
    )
    return [server, model]


def read_parent(traceparent: str | None, tracestate: str | None) -> SpanContext | None:
    """W3C trace context; what is none is as good as not there."""
    found = _PARENT.fullmatch((traceparent or "").strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    is_valid = int(trace_id, 16) and int(span_id, 16) and version != "ff"
    if not is_valid or (version == "00" and more):
        return None
    state = tracestate if tracestate and len(tracestate) <= _MAX_TRACESTATE else None
    return SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16) & TraceFlags.SAMPLED),
        trace_state=TraceState.from_header([state]) if state else None,
    )


def _server_attributes(one: Finished, route: str) -> Attributes:
    attributes: Attributes = {
        "http.request.method": one.method,
        "url.path": _text(one.path),
        "aws.request_id": one.request_id,
    }
    if one.status:
        attributes["http.response.status_code"] = one.status
    known = {
        "http.route": route,
        "rpc.system": "aws-api" if one.operation else "",
        "rpc.service": one.service,
        "rpc.method": one.operation,
        "cloud.account.id": one.account,
        "cloud.region": one.region,
        "error.type": one.error_code,
    }
    return attributes | {name: value for name, value in known.items() if value}


def _model_attributes(one: Finished, call: Invocation) -> Attributes:
    attributes: Attributes = {
        "gen_ai.operation.name": _gen_ai_operation(one, call),
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": _text(call.model_id),
        "gen_ai.usage.input_tokens": call.input_tokens,
        "gen_ai.usage.output_tokens": call.output_tokens,
    }
    if call.engine:
        attributes |= {"gen_ai.response.model": call.model, "outcrop.engine": call.engine}
    if call.first_byte_ms is not None:
        attributes["gen_ai.server.time_to_first_token"] = call.first_byte_ms / 1000
    if call.cache_read_tokens:
        attributes["gen_ai.usage.cache_read.input_tokens"] = call.cache_read_tokens
    if call.cache_write_tokens:
        attributes["gen_ai.usage.cache_creation.input_tokens"] = call.cache_write_tokens
    if one.error_code:
        attributes["error.type"] = one.error_code
    return attributes


def _gen_ai_operation(one: Finished, call: Invocation) -> str:
    if call.modality == "embedding":
        return "embeddings"
    if call.modality == "image":
        return "generate_content"
    return "chat" if one.operation.startswith("Converse") else "text_completion"


def _route(one: Finished) -> str:
    """The template of the operation's path, where paths tell operations apart."""
    try:
        operation = load_service(one.service).operations.get(one.operation) if one.service else None
    except UnknownService:
        return ""
    path = operation.uri.partition("?")[0] if operation else ""
    return "" if path == "/" else path


def _status(error_code: str) -> Status:
    return Status(StatusCode.ERROR, error_code) if error_code else Status(StatusCode.UNSET)


def _new_span_id() -> int:
    return int.from_bytes(os.urandom(8), "big") or 1


def _text(text: str) -> str:
    """What clients send need not be UTF-8, and what is sent on must."""
    return text.encode("utf-8", "replace").decode()


def _metrics(counted: Counted, began_ns: int, now_ns: int) -> Iterator[points.Metric]:
    for metric, by_key in counted.counts.items():
        name, unit = _UNITS[metric]
        data = [
            points.NumberDataPoint(_labels(key), began_ns, now_ns, int(number))
            for key, number in by_key.items()
        ]
        total = points.Sum(data, points.AggregationTemporality.CUMULATIVE, is_monotonic=True)
        yield points.Metric(name, None, unit, total)
    if not counted.latencies:
        return
    bounds = [bound / 1000 for bound in LATENCY_BOUNDS_MS]
    latencies = [
        points.HistogramDataPoint(
            _labels(key),
            began_ns,
            now_ns,
            one.count,
            one.sum_ms / 1000,
            one.buckets,
            bounds,
            one.least_ms / 1000,
            one.most_ms / 1000,
        )
        for key, one in counted.latencies.items()
    ]
    histogram = points.Histogram(latencies, points.AggregationTemporality.CUMULATIVE)
    yield points.Metric("bedrock.invocation.latency", None, "s", histogram)


def _labels(key: Key) -> Mapping[str, str]:
    held = {
        "cloud.account.id": key.account,
        "cloud.region": key.region,
        "gen_ai.request.model": key.model,
    }
    return {name: _text(value) for name, value in held.items() if value}
