"""Latency of calls on a provisioned throughput, alone and while calls on demand saturate the same
model; and what is left for those on demand.

One model, one real engine each: on demand with a thread on every CPU that is not reserved, and
reserved. Calls on the throughput are paced below what was bought. The load on demand comes from a
niced process.
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import gateway
import msgspec
import report
from botocore.config import Config

ON_DEMAND = "amazon.titan-text-express-v1"
PROVISIONED = "amazon.titan-text-express-v1:0:8k"
UNITS_QUOTA = "Model units with commitment across base models"
_ANSWER_TOKENS = 32
_PROMPT = "Tell the story of {}, at length, with many details."
_CONFIG = """
data_dir = "{data}"
[server]
port = {port}
[engines.bench]
kind = "llama"
model = "smollm2-135m-instruct"
context = 512
slots = 4
threads = {threads}
[capacity]
input_tokens = {input_tokens}
output_tokens = {output_tokens}
[[bind]]
pattern = "amazon.titan-text-*"
engine = "bench"
"""
_IN_SERVICE_S = 600.0
_NICENESS = 19


class Failed(Exception):
    pass


@dataclass(frozen=True)
class Latencies:
    p50_s: float
    p95_s: float
    calls: int

    @classmethod
    def of(cls, taken_s: list[float]) -> "Latencies":
        cuts = statistics.quantiles(taken_s, n=20, method="inclusive")
        return cls(round(statistics.median(taken_s), 3), round(cuts[18], 3), len(taken_s))


def main() -> None:
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="outcrop-bench-") as folder,
        _gateway(Path(folder), options) as server,
    ):
        figures = _measure(server, Path(folder), options)
    report.show("provisioned", figures)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=40, help="on the throughput, each time")
    parser.add_argument("--every-s", type=float, default=3.0, help="a call, so as not to be capped")
    parser.add_argument("--load-s", type=float, default=60.0, help="of load on demand alone")
    parser.add_argument("--clients", type=int, default=8, help="on demand, all the time")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="on demand at first")
    parser.add_argument("--input-tokens", type=int, default=1200, help="a minute, of a unit")
    parser.add_argument("--output-tokens", type=int, default=800, help="a minute, of a unit")
    return parser.parse_args()


@contextmanager
def _gateway(folder: Path, options: Any) -> Generator[gateway.Server]:
    """Not pinned: which CPUs its engines run on is what is measured."""
    config, port = folder / "outcrop.toml", gateway.free_port()
    config.write_text(
        _CONFIG.format(
            data=folder / "data",
            port=port,
            threads=options.threads,
            input_tokens=options.input_tokens,
            output_tokens=options.output_tokens,
        ),
        encoding="utf-8",
    )
    command = gateway.serve_command(config, folder / "data", port)
    log, environment = folder / "server.log", gateway.environment()
    with gateway.running(command, port, log, environment, gateway.HEALTH) as server:
        yield server


def _measure(server: gateway.Server, folder: Path, options: Any) -> dict[str, Any]:
    runtime = _client("bedrock-runtime", server.url)
    _ask(runtime, ON_DEMAND, 0)
    with _load(server.url, options.clients) as load:
        before = load.tokens_per_s(options.load_s)
        shared = _latencies(runtime, ON_DEMAND, max(4, options.calls // 4), 0)
    arn = _buy(server, folder)
    _ask(runtime, arn, 0)
    alone = _latencies(runtime, arn, options.calls, options.every_s)
    with _load(server.url, options.clients) as load:
        began_tokens, began = load.tokens(), time.monotonic()
        saturated = _latencies(runtime, arn, options.calls, options.every_s)
        beside = (load.tokens() - began_tokens) / (time.monotonic() - began)
    return {
        "provisioned_alone": msgspec.to_builtins(alone),
        "provisioned_under_saturation": msgspec.to_builtins(saturated),
        "p95_under_saturation_by_alone": round(saturated.p95_s / alone.p95_s, 3),
        "on_demand_under_saturation": msgspec.to_builtins(shared),
        "on_demand_tokens_per_s": {
            "nothing_reserved": round(before, 2),
            "one_cpu_reserved": round(beside, 2),
        },
        "cpus": len(os.sched_getaffinity(0)),
    }


def _buy(server: gateway.Server, folder: Path) -> str:
    _outcrop(folder, "quotas", "set", _quota_code(server.url), "1")
    bedrock = _client("bedrock", server.url)
    answer = bedrock.create_provisioned_model_throughput(
        modelUnits=1,
        provisionedModelName="bench",
        modelId=PROVISIONED,
        commitmentDuration="OneMonth",
    )
    arn, until = str(answer["provisionedModelArn"]), time.monotonic() + _IN_SERVICE_S
    while time.monotonic() < until:
        found = bedrock.get_provisioned_model_throughput(provisionedModelId=arn)
        if found["status"] == "InService":
            return arn
        if found["status"] == "Failed":
            raise Failed(found.get("failureMessage"))
        time.sleep(0.5)
    raise Failed("the throughput did not come into service")


def _quota_code(url: str) -> str:
    pages = _client("service-quotas", url).get_paginator("list_service_quotas")
    for page in pages.paginate(ServiceCode="bedrock"):
        for quota in page["Quotas"]:
            if quota["QuotaName"] == UNITS_QUOTA:
                return str(quota["QuotaCode"])
    raise Failed(f"there is no quota {UNITS_QUOTA!r}")


def _outcrop(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "outcrop", *arguments]
    command += ["--config", str(folder / "outcrop.toml")]
    environment = gateway.environment()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise Failed(done.stderr or done.stdout)


def _latencies(runtime: Any, model: str, calls: int, every_s: float) -> Latencies:
    taken: list[float] = []
    for number in range(calls):
        began = time.monotonic()
        _ask(runtime, model, number)
        taken.append(time.monotonic() - began)
        time.sleep(max(0.0, every_s - taken[-1]))
    return Latencies.of(taken)


def _ask(runtime: Any, model: str, number: int) -> int:
    """The tokens of one answer."""
    body = {
        "inputText": _PROMPT.format(f"hero number {number}"),
        "textGenerationConfig": {"maxTokenCount": _ANSWER_TOKENS, "temperature": 0},
    }
    answer = runtime.invoke_model(modelId=model, body=msgspec.json.encode(body))
    return int(msgspec.json.decode(answer["body"].read())["results"][0]["tokenCount"])


def _client(service: str, url: str) -> Any:
    config = Config(read_timeout=600, retries={"total_max_attempts": 1}, max_pool_connections=64)
    # A client of any service: boto3's type is a union over all of them.
    session: Any = boto3.Session(
        aws_access_key_id=gateway.ACCESS_KEY,
        aws_secret_access_key=gateway.SECRET_KEY,
        region_name=gateway.REGION,
    )
    return session.client(service, endpoint_url=url, config=config)


class Load:
    """A niced process whose threads ask on demand without a pause."""

    def __init__(self, url: str, clients: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._made: Any = context.Value("q", 0)
        self._failed: Any = context.Value("q", 0)
        self._process = context.Process(
            target=_ask_on, args=(url, clients, self._made, self._failed), daemon=True
        )

    def start(self) -> None:
        self._process.start()
        while not self.tokens():
            time.sleep(0.1)

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()
        if self._failed.value:
            raise Failed(f"{self._failed.value} calls on demand failed")

    def tokens(self) -> int:
        return int(self._made.value)

    def tokens_per_s(self, seconds: float) -> float:
        made, began = self.tokens(), time.monotonic()
        time.sleep(seconds)
        return (self.tokens() - made) / (time.monotonic() - began)


@contextmanager
def _load(url: str, clients: int) -> Generator[Load]:
    load = Load(url, clients)
    load.start()
    try:
        yield load
    finally:
        load.stop()


def _ask_on(url: str, clients: int, made: Any, failed: Any) -> None:
    os.nice(_NICENESS)
    runtime = _client("bedrock-runtime", url)

    def ask(number: int) -> None:
        while True:
            try:
                tokens = _ask(runtime, ON_DEMAND, number)
            except runtime.exceptions.ClientError:
                with failed.get_lock():
                    failed.value += 1
                return
            with made.get_lock():
                made.value += tokens

    threads = [threading.Thread(target=ask, args=(1000 + one,)) for one in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
