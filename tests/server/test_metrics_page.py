"""``/metrics``: the numbers of what was called, exactly, and who may read them."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, HOST, Inside, running_inside, whole
from prometheus_client.openmetrics import parser as open_parser
from prometheus_client.parser import text_string_to_metric_families as parse
from running_gateways import ACCOUNT

from outcrop.config import Telemetry
from outcrop.server.prometheus import refuse
from outcrop.wire.http import Request

TITAN = "amazon.titan-text-express-v1"
LABELS = {"account": ACCOUNT, "region": "us-east-1", "model_id": TITAN}


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as running:
        yield running


def metrics(*headers: tuple[str, str], client: str = "127.0.0.1", method: str = "GET") -> Request:
    return Request(method, "/metrics", "", headers, b"", HOST, client=client)


async def read(inside: Inside) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = await inside.app.handle(metrics())
    assert response.status == 200
    families = list(parse((await whole(response)).decode()))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def test_every_call_is_counted_when_it_is_answered(inside: Inside) -> None:
    runtime = inside.client(ADMIN)
    body = b'{"inputText": "one two three"}'
    for _ in range(3):
        await runtime.ask("bedrock-runtime", "InvokeModel", modelId=TITAN, body=body)
    with pytest.raises(ClientError):
        await runtime.ask("bedrock-runtime", "InvokeModel", modelId=TITAN, body=b"{}")
    found = await read(inside)
    labels = tuple(sorted(LABELS.items()))
    assert found["bedrock_invocations_total", labels] == 4
    assert found["bedrock_invocation_client_errors_total", labels] == 1
    assert found["bedrock_invocation_latency_seconds_count", labels] == 3
    everything = tuple(sorted({**LABELS, "le": "+Inf"}.items()))
    assert found["bedrock_invocation_latency_seconds_bucket", everything] == 3
    assert found["bedrock_input_tokens_total", labels] > 0
    assert found["outcrop_requests_in_flight", ()] == 0
    assert found["outcrop_journal_backlog_bytes", ()] == 0
    engine = (("engine", "script"), ("kind", "scripted"))
    ready = [key for key in found if key[0] == "outcrop_engine_ready" and set(engine) < set(key[1])]
    assert len(ready) == 1


async def test_openmetrics_is_given_to_whoever_asks_for_it(inside: Inside) -> None:
    response = await inside.app.handle(
        metrics(("accept", "application/openmetrics-text;version=x"))
    )
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    text = (await whole(response)).decode()
    assert list(cast(Any, open_parser).text_string_to_metric_families(text))


@pytest.mark.parametrize("client", ["10.0.0.1", "192.0.2.7", "", "2001:db8::1", "x"])
async def test_others_are_told_what_to_set(inside: Inside, client: str) -> None:
    response = await inside.app.handle(metrics(client=client))
    assert response.status == 403
    assert b"metrics_token_env" in await whole(response)


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "via", "x-real-ip"])
async def test_a_proxy_on_this_machine_lets_nobody_in(inside: Inside, name: str) -> None:
    response = await inside.app.handle(metrics((name, "192.0.2.7")))
    assert response.status == 403


async def test_metrics_are_only_read(inside: Inside) -> None:
    assert (await inside.app.handle(metrics(method="POST"))).status == 405
    head = await inside.app.handle(metrics(method="HEAD"))
    assert (head.status, head.body) == (200, b"")


def test_a_token_opens_them_from_anywhere_and_nothing_else_does() -> None:
    telemetry = Telemetry(metrics_token_env="TOKEN")
    environment = {"TOKEN": "s3cret"}
    right = metrics(("authorization", "Bearer s3cret"), client="192.0.2.7")
    assert refuse(telemetry, right, environment) is None
    for headers in ((), (("authorization", "Bearer "),), (("authorization", "Bearer é\udcff"),)):
        refusal = refuse(telemetry, metrics(*headers), environment)
        assert refusal is not None
        assert refusal.status == 403


def test_a_token_that_is_not_there_opens_nothing() -> None:
    refusal = refuse(Telemetry(metrics_token_env="TOKEN"), metrics(), {})
    assert refusal is not None
    assert b"TOKEN" in cast(bytes, refusal.body)
