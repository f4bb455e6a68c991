"""Traces and metrics to a collector by OTLP, where the configuration names one.

A request leaves a few fields in a bounded queue; a task sends them in batches from a thread of its
own. A collector that is gone costs spans, which are counted and told once a minute, and no request
waits for it. Prompts and answers are never sent.
"""

import asyncio
import importlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from outcrop.config import ConfigError, Telemetry
from outcrop.journal.records import CallRecord, Invocation
from outcrop.metrics.totals import Totals
from outcrop.wire.http import Request

log = logging.getLogger(__name__)

_MOST_WAITING: Final = 4096
_BATCH: Final = 512
_SEND_EVERY_S: Final = 1.0
_TELL_EVERY_S: Final = 60.0
_CLOSE_S: Final = 2.0


# Not frozen, as whatever is made once a request (see wire/http.py).
@dataclass(slots=True)
class Finished:
    """What the spans of a request are made of."""

    request_id: str
    began_us: int
    took_us: int
    account: str
    region: str
    service: str
    operation: str
    status: int
    error_code: str
    method: str
    path: str
    traceparent: str | None
    tracestate: str | None
    invocation: Invocation | None


class Exporter(Protocol):
    """Both block, and tell whether the collector took it."""

    def send_spans(self, finished: Sequence[Finished]) -> bool: ...

    def send_metrics(self, metrics: Any) -> bool: ...

    def copy_metrics(self, totals: Totals) -> Any: ...

    def close(self) -> None: ...


class Tracer:
    """``dropped`` counts the requests whose spans nobody got."""

    def __init__(self, exporter: Exporter, totals: Totals, metrics_every_s: float) -> None:
        self._exporter = exporter
        self._totals = totals
        self._metrics_every_s = metrics_every_s
        self._waiting: deque[Finished] = deque()
        self._executor = ThreadPoolExecutor(1, "outcrop-telemetry")
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._told = 0
        self._tell_at_s = 0.0
        self.dropped = 0

    def finished(self, record: CallRecord, request: Request) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append(
            Finished(
                record.request_id,
                record.began_us,
                record.took_us,
                record.account,
                record.region,
                record.service,
                record.operation,
                record.status,
                record.error_code,
                request.method,
                request.raw_path,
                request.header("traceparent"),
                request.header("tracestate"),
                record.invocation,
            )
        )

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="outcrop-telemetry")

    async def close(self) -> None:
        """Sends what waits, as far as that takes no time."""
        self._closing.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                if self._task is not None:
                    await self._task
                await self._send_waiting()
                await self._send_metrics()
        self._task = None
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._tell()
        # Ends a sending that still goes on.
        await asyncio.to_thread(self._exporter.close)
        self._executor.shutdown(wait=False)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        metrics_at_s = loop.time() + self._metrics_every_s
        while not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_SEND_EVERY_S):
                    await self._closing.wait()
                return
            await self._send_waiting()
            if loop.time() >= metrics_at_s:
                await self._send_metrics()
                metrics_at_s = loop.time() + self._metrics_every_s
            self._tell()

    async def _send_waiting(self) -> None:
        """A collector that does not take a batch is not asked again with the next one at once."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            is_taken = False
            try:
                is_taken = await self._beside(self._exporter.send_spans, batch)
            finally:
                self.dropped += 0 if is_taken else len(batch)
            if not is_taken:
                return

    async def _send_metrics(self) -> None:
        # Counts go on from the beginning each time: what one report lost, the next one has.
        copied = self._exporter.copy_metrics(self._totals)
        if not await self._beside(self._exporter.send_metrics, copied):
            log.debug("the collector did not take the metrics")

    def _tell(self) -> None:
        """At once, and then no more than once a minute."""
        is_time = self._closing.is_set() or self._now_s() >= self._tell_at_s
        if self.dropped > self._told and is_time:
            log.warning(
                "the collector does not take spans: those of %d requests were dropped, %d in all",
                self.dropped - self._told,
                self.dropped,
            )
            self._told = self.dropped
            self._tell_at_s = self._now_s() + _TELL_EVERY_S

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def _beside(self, work: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *given)


def open_tracer(telemetry: Telemetry, totals: Totals) -> Tracer | None:
    """None where no collector is named."""
    if telemetry.otlp_endpoint is None:
        return None
    try:
        module = importlib.import_module("outcrop.server.otlp")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise ConfigError(
            "[telemetry] otlp_endpoint needs OpenTelemetry, which is not installed here. Install "
            "it with: pip install 'outcrop[telemetry]'."
        ) from error
    return Tracer(module.Otlp(telemetry.otlp_endpoint), totals, telemetry.otlp_interval_s)
