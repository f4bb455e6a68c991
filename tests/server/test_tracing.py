"""Traces and metrics by OTLP, as a collector that speaks HTTP and protobuf gets them."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, Client, running_inside
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from running_gateways import ACCOUNT

from outcrop.config import Telemetry
from outcrop.journal.records import CallRecord
from outcrop.metrics.totals import Totals
from outcrop.server.otlp import read_parent
from outcrop.server.tracing import Tracer
from outcrop.wire.http import Request

TITAN = "amazon.titan-text-express-v1"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Takes what is sent to it, or nothing."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.metrics: list[Any] = []
        self.resources: list[Any] = []
        self.status = 200
        self.asked = 0
        self.goes_on = False
        self.stopping = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.take(self.path, body)
                self.send_response(outer.status)
                self.send_header("Content-Length", str(2**40 if outer.goes_on else 0))
                self.end_headers()
                with suppress(OSError):
                    while outer.goes_on and not outer.stopping.wait(0.01):
                        self.wfile.write(b"x")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, path: str, body: bytes) -> None:
        self.asked += 1
        if self.status != 200:
            return
        if path == "/v1/traces":
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(of_resource.resource)
                for scope in of_resource.scope_spans:
                    self.spans.extend(scope.spans)
        elif path == "/v1/metrics":
            for of_resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in of_resource.scope_metrics:
                    self.metrics.extend(scope.metrics)


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.stopping.set()
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def attributes(holder: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in holder.attributes}


async def invoke(client: Client, traceparent: str | None = None, model: str = TITAN) -> None:
    body = b'{"inputText": "a private matter"}'
    request = client.request("bedrock-runtime", "InvokeModel", modelId=model, body=body)
    if traceparent is not None:
        request.headers = (*request.headers, ("traceparent", traceparent))
    await client.app.handle(request)


async def test_a_call_is_a_server_span_with_the_models_span_below(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = Telemetry(otlp_endpoint=collector.url)
    async with running_inside(tmp_path, monkeypatch, telemetry=telemetry) as inside:
        await invoke(inside.client(ADMIN), f"00-{TRACE}-{SPAN}-01")
    server, model = collector.spans
    assert server.trace_id.hex() == model.trace_id.hex() == TRACE
    assert server.parent_span_id.hex() == SPAN
    assert model.parent_span_id == server.span_id
    assert server.name == "POST /model/{modelId}/invoke"
    of_server = attributes(server)
    assert of_server.pop("aws.request_id")
    assert of_server == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/model/{modelId}/invoke",
        "url.path": f"/model/{TITAN}/invoke",
        "rpc.system": "aws-api",
        "rpc.service": "bedrock-runtime",
        "rpc.method": "InvokeModel",
        "cloud.account.id": ACCOUNT,
        "cloud.region": "us-east-1",
    }
    assert model.name == f"text_completion {TITAN}"
    of_model = attributes(model)
    assert of_model["gen_ai.provider.name"] == "aws.bedrock"
    assert of_model["gen_ai.request.model"] == TITAN
    assert of_model["gen_ai.usage.output_tokens"] > 0
    assert of_model["outcrop.engine"] == "scripted"
    assert server.start_time_unix_nano <= model.start_time_unix_nano
    assert model.end_time_unix_nano == server.end_time_unix_nano
    assert "private" not in str(collector.spans)
    assert attributes(collector.resources[0])["service.name"] == "outcrop"


async def test_what_fails_says_how_and_other_services_have_spans_too(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = Telemetry(otlp_endpoint=f"{collector.url}/")
    async with running_inside(tmp_path, monkeypatch, telemetry=telemetry) as inside:
        client = inside.client(ADMIN)
        with pytest.raises(ClientError):
            await client.ask("iam", "GetUser", UserName="nobody")
    [span] = collector.spans
    assert span.name == "iam/GetUser"
    assert len(span.trace_id) == 16
    assert attributes(span)["error.type"] == "NoSuchEntity"
    assert attributes(span)["http.response.status_code"] == 404


async def test_a_trace_that_is_not_sampled_stays_so(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = Telemetry(otlp_endpoint=collector.url)
    async with running_inside(tmp_path, monkeypatch, telemetry=telemetry) as inside:
        await invoke(inside.client(ADMIN), f"00-{TRACE}-{SPAN}-00")
    assert collector.spans == []


async def test_metrics_are_the_totals(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = Telemetry(otlp_endpoint=collector.url)
    async with running_inside(tmp_path, monkeypatch, telemetry=telemetry) as inside:
        for _ in range(3):
            await invoke(inside.client(ADMIN))
        await inside.deployment.records.consumer.catch_up()
    by_name = {metric.name: metric for metric in collector.metrics}
    [point] = by_name["bedrock.invocations"].sum.data_points
    assert point.as_int == 3
    assert attributes(point)["gen_ai.request.model"] == TITAN
    [latency] = by_name["bedrock.invocation.latency"].histogram.data_points
    assert (latency.count, sum(latency.bucket_counts)) == (3, 3)


async def test_a_collector_that_refuses_costs_spans_and_no_request(
    collector: Collector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector.status = 400
    telemetry = Telemetry(otlp_endpoint=collector.url)
    async with running_inside(tmp_path, monkeypatch, telemetry=telemetry) as inside:
        for _ in range(5):
            await invoke(inside.client(ADMIN))
    assert collector.asked > 0
    told = [entry.getMessage() for entry in caplog.records if "spans" in entry.getMessage()]
    assert told[-1].endswith("5 in all")


async def test_what_a_collector_says_without_end_is_not_listened_to(
    collector: Collector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector.goes_on = True
    telemetry = Telemetry(otlp_endpoint=collector.url)
    async with running_inside(tmp_path, monkeypatch, telemetry=telemetry) as inside:
        await invoke(inside.client(ADMIN))
    assert len(collector.spans) == 2
    assert collector.metrics
    assert not [entry for entry in caplog.records if "spans" in entry.getMessage()]


class Stuck:
    """A collector that never answers."""

    def __init__(self) -> None:
        self.is_closed = threading.Event()

    def send_spans(self, finished: Any) -> bool:
        self.is_closed.wait()
        return False

    def send_metrics(self, metrics: Any) -> bool:
        return True

    def copy_metrics(self, totals: Totals) -> None:
        return None

    def close(self) -> None:
        self.is_closed.set()


async def test_the_queue_is_bounded_and_closing_does_not_wait_for_the_collector() -> None:
    tracer = Tracer(Stuck(), Totals(), 60)
    tracer.start()
    record = CallRecord("id", 0, 0, ACCOUNT, "us-east-1", "sts", "GetCallerIdentity", "arn", 200)
    request = Request("POST", "/", "", (), b"", "host")
    for _ in range(10_000):
        tracer.finished(record, request)
    assert tracer.dropped == 10_000 - 4096
    async with asyncio.timeout(30):
        await tracer.close()
    assert tracer.dropped == 10_000


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "x",
        f"00-{TRACE}-{SPAN}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        "00-" + "a" * 100_000,
    ],
)
def test_what_is_no_trace_context_is_passed_over(text: str | None) -> None:
    assert read_parent(text, None) is None


def test_later_versions_of_the_trace_context_are_read_as_far_as_known() -> None:
    parent = read_parent(f"01-{TRACE}-{SPAN}-03-more", "a=b")
    assert parent is not None
    assert parent.trace_flags == 1
    assert parent.trace_state["a"] == "b"


def test_opentelemetry_is_imported_only_where_a_collector_is_named() -> None:
    code = "import sys, outcrop.cli.serve; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
