"""Provisioned throughput with engines of its own behind a running server: bought, swapped under
calls, killed, given back."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, EventStreamError
from operator_commands import outcrop
from running_gateways import Gateway, start_gateway

from outcrop.capacity.rates import Rates
from outcrop.config import load
from outcrop.engines.pool import EnginePool
from outcrop.processes.affinity import allowed_cpus
from outcrop.server.state import open_state
from outcrop.stores.model_records import EngineRate

pytestmark = pytest.mark.engine

SHORT, LONG = "anthropic.claude-v2:0:18k", "anthropic.claude-v2:0:100k"
UNITS = "L-B826AE6A"
CALLERS = 2
_NOT_YET = ("ServiceQuotaExceededException", "ConflictException")
WAIT_S = 120
STORY = "Write a very long story about a river."

# More memory than both need, each of some 200 MiB. What a unit allows limits no call here.
ENGINES = f"""
engine_memory_mib = 2048

[engines.first]
kind = "llama"
model = "smollm2-135m-instruct"
context = 512
slots = 2
threads = 1

[engines.second]
kind = "llama"
model = "smollm2-135m-instruct"
context = 512
slots = 2
threads = 1

[capacity]
input_tokens = 1000000
output_tokens = 1000000

[[bind]]
pattern = "{SHORT}"
engine = "first"

[[bind]]
pattern = "{LONG}"
engine = "second"
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = start_gateway(tmp_path_factory.mktemp("provisioned-engines"), ENGINES)
    try:
        asyncio.run(_measure(gateway))
        outcrop(gateway, "quotas", "set", UNITS, "1")
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture
def arn(gateway: Gateway) -> Iterator[str]:
    """What was bought, in service."""
    bedrock = gateway.client("bedrock")
    made = _until_allowed(
        lambda: bedrock.create_provisioned_model_throughput(
            provisionedModelName="mine",
            modelId=SHORT,
            modelUnits=1,
            commitmentDuration="OneMonth",
        )
    )
    arn = made["provisionedModelArn"]
    assert settled(bedrock)["status"] == "InService"
    yield arn
    # Not the client from above: a test may have started another server.
    bedrock = gateway.client("bedrock")
    if bedrock.list_provisioned_model_throughputs()["provisionedModelSummaries"]:
        give_back(gateway, arn)
    assert engine_of(gateway) is None


async def _measure(gateway: Gateway) -> None:
    """As if one CPU of this machine were fast enough for a unit."""
    record = EngineRate(input_per_s=1e6, output_per_s=1e6, measured_at=datetime.now(UTC))
    config = load(gateway.config)
    pool = EnginePool(config.engine_configs(), cache_dir=config.cache_dir, memory_mib=1)
    async with open_state(gateway.data_dir, {}) as state:
        rates = Rates(pool, state.stores.resources)
        async with state.stores.resources.writing() as transaction:
            for engine in ("first", "second"):
                await transaction.add(record, rates.place(engine))
    await pool.close()


def _until_allowed(ask: Any) -> Any:
    """The server notices what another process wrote a little later."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return ask()
        except ClientError as error:
            if time.monotonic() > deadline or _code(error) not in _NOT_YET:
                raise
            time.sleep(0.05)


def _code(error: ClientError) -> str:
    return cast(Any, error.response)["Error"]["Code"]


def settled(bedrock: Any) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_S
    while True:
        found = bedrock.get_provisioned_model_throughput(provisionedModelId="mine")
        if found["status"] in ("InService", "Failed"):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def give_back(gateway: Gateway, arn: str) -> None:
    outcrop(gateway, "capacity", "release", arn)
    bedrock = gateway.client("bedrock")
    _until_allowed(lambda: bedrock.delete_provisioned_model_throughput(provisionedModelId=arn))
    _until(lambda: engine_of(gateway) is None)


def _until(condition: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def engine_of(gateway: Gateway) -> int | None:
    """The process that runs on the reserved CPU alone."""
    tasks = Path(f"/proc/{gateway.process.pid}/task")
    for children in tasks.glob("*/children"):
        for child in children.read_text(encoding="ascii").split():
            if set(os.sched_getaffinity(int(child))) == {max(allowed_cpus())}:
                return int(child)
    return None


def invoke(runtime: Any, arn: str) -> str:
    """Which engine's file answered, which both have; that it answered counts."""
    prompt = '{"prompt": "\\n\\nHuman: Hi\\n\\nAssistant:", "max_tokens_to_sample": 4}'
    answer = runtime.invoke_model(modelId=arn, body=prompt)
    assert b"completion" in answer["body"].read()
    return answer["ResponseMetadata"]["HTTPHeaders"]["x-outcrop-served-by"]


@contextmanager
def streaming(gateway: Gateway, arn: str) -> Generator[Iterator[dict[str, Any]]]:
    answer = gateway.client("bedrock-runtime").converse_stream(
        modelId=arn,
        messages=[{"role": "user", "content": [{"text": STORY}]}],
        inferenceConfig={"temperature": 0, "maxTokens": 64},
    )
    with closing(answer["stream"]) as events:
        yield iter(events)


def test_an_update_to_another_engine_under_calls_fails_none(gateway: Gateway, arn: str) -> None:
    bedrock, stop = gateway.client("bedrock"), threading.Event()
    before = engine_of(gateway)
    assert before is not None

    def call() -> int:
        runtime, answered = gateway.client("bedrock-runtime"), 0
        while not stop.is_set():
            invoke(runtime, arn)
            answered += 1
        return answered

    with ThreadPoolExecutor(CALLERS) as threads:
        callers = [threads.submit(call) for _ in range(CALLERS)]
        try:
            for desired in (LONG, SHORT):
                bedrock.update_provisioned_model_throughput(
                    provisionedModelId=arn, desiredModelId=desired
                )
                found = settled(bedrock)
                assert (found["status"], found["modelArn"].rpartition("/")[2]) == (
                    "InService",
                    desired,
                )
        finally:
            stop.set()
        assert all(caller.result() for caller in callers)
    assert engine_of(gateway) not in (None, before)
    assert not Path(f"/proc/{before}").exists()


def test_a_stream_whose_engine_is_killed_breaks_off_and_the_next_call_is_answered(
    gateway: Gateway, arn: str
) -> None:
    with streaming(gateway, arn) as events:
        assert "messageStart" in next(events)
        killed = engine_of(gateway)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        with pytest.raises(EventStreamError, match="modelStreamErrorException"):
            list(events)
    assert invoke(gateway.client("bedrock-runtime"), arn)
    assert engine_of(gateway) not in (None, killed)


def test_a_stream_that_runs_at_the_deletion_is_read_to_its_end(gateway: Gateway, arn: str) -> None:
    outcrop(gateway, "capacity", "release", arn)
    bedrock, runtime = gateway.client("bedrock"), gateway.client("bedrock-runtime")
    with streaming(gateway, arn) as events:
        read = [next(events)]
        _until_allowed(lambda: bedrock.delete_provisioned_model_throughput(provisionedModelId=arn))
        with pytest.raises(ClientError, match=r"ValidationException|ResourceNotFound"):
            invoke(runtime, arn)
        read += list(events)
    (stop,) = (event["messageStop"] for event in read if "messageStop" in event)
    assert stop["stopReason"] in ("max_tokens", "end_turn")
    _until(lambda: engine_of(gateway) is None)


def test_after_kill_9_the_throughput_is_not_ready_and_then_answers(
    gateway: Gateway, arn: str
) -> None:
    """Its engine dies with the server, and the next one starts it again by itself."""
    engine = engine_of(gateway)
    gateway.process.kill()
    gateway.process.wait()
    _until(lambda: not Path(f"/proc/{engine}").exists())
    again = start_gateway(gateway.data_dir.parent, ENGINES)
    gateway.process, gateway.url = again.process, again.url
    runtime = again.client("bedrock-runtime")
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            invoke(runtime, arn)
        except runtime.exceptions.ModelNotReadyException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            break
    assert engine_of(gateway) not in (None, engine)
