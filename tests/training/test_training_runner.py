"""The parent's side of a training process, against a peer that speaks its protocol."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from outcrop.processes.affinity import allowed_cpus
from outcrop.training.runner import run_training
from outcrop.training.spec import (
    BaseWeights,
    Broken,
    DataFile,
    Progress,
    RecordLimits,
    Rejected,
    Report,
    Settings,
    Stopped,
    Trained,
    TrainingSpec,
    Validated,
)

PEER = Path(__file__).with_name("training_peer.py")
KEY = bytes(range(32))
SPEC = TrainingSpec(
    job="arn:aws:bedrock:us-east-1:111122223333:model-customization-job/base/0123456789ab",
    type="FINE_TUNING",
    base=BaseWeights(source="/nowhere.gguf", fingerprint="f"),
    model_id="amazon.titan-text-express-v1",
    dialect="titan_text",
    training=DataFile(path="t", name="t.jsonl", most_records=1, records_quota="q"),
    validation=(),
    limits=RecordLimits(input_tokens=1, output_tokens=1, total_tokens=1, characters=6),
    settings=Settings(epochs=1, batch_size=1, learning_rate=1e-4, warmup_steps=0),
    folder="/nowhere",
    cache_dir="/nowhere",
    key=KEY,
    parent=os.getpid(),
)


def command(scenario: str) -> Sequence[str]:
    return (sys.executable, str(PEER), scenario)


async def reports_of(scenario: str) -> list[Report]:
    async with run_training(SPEC, command=command(scenario)) as run:
        return [report async for report in run.reports()]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_reports_come_in_their_order_to_the_final_one():
    assert [type(report) for report in await reports_of("trains")] == [
        Validated,
        Progress,
        Trained,
    ]


async def test_the_process_ends_with_the_block():
    async with run_training(SPEC, command=command("does not stop"), end_s=0.1) as run:
        assert isinstance(await anext(run.reports()), Progress)
        assert is_running(run.pid)
    assert not is_running(run.pid)


async def test_one_that_is_asked_to_stop_says_what_it_has_trained():
    seen: list[Report] = []
    async with run_training(SPEC, command=command("waits for stop")) as run:
        async for report in run.reports():
            seen.append(report)
            await run.stop()
    assert seen[-1] == Stopped(tokens=44)


async def test_one_that_does_not_stop_is_killed_and_counts_what_it_had_reported():
    seen: list[Report] = []
    async with run_training(SPEC, command=command("does not stop"), end_s=0.1) as run:
        async for report in run.reports():
            seen.append(report)
            await run.stop()
    assert seen[-1] == Stopped(tokens=40)


async def test_whoever_is_cancelled_leaves_no_process_behind():
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def consume() -> None:
        async with run_training(SPEC, command=command("does not stop"), end_s=600) as run:
            async for _ in run.reports():
                started.set_result(run.pid)

    task = asyncio.create_task(consume())
    pid = await started
    task.cancel()
    # The first asks the process to stop, which this one does not hear.
    await asyncio.wait([task], timeout=0.2)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not is_running(pid)


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ("dies", "ended with status 3"),
        ("is killed", "SIGKILL"),
        ("talks nonsense", "what is no report"),
        ("talks too long", "too long"),
        ("stops unasked", "nobody had asked"),
    ],
)
async def test_what_ends_otherwise_than_it_may_is_broken(scenario: str, reason: str):
    last = (await reports_of(scenario))[-1]
    assert isinstance(last, Broken)
    assert reason in last.message


async def test_the_last_lines_of_its_errors_are_told_and_no_more():
    last = (await reports_of("dies"))[-1]
    assert isinstance(last, Broken)
    assert last.message.endswith("line 98\nline 99")
    assert len(last.message) < 20 * 500


async def test_what_it_says_after_its_final_report_does_not_keep_it():
    assert isinstance((await reports_of("talks without end"))[-1], Trained)


async def test_processes_that_it_has_started_end_with_it():
    async with asyncio.timeout(20):
        progress, last = await reports_of("leaves another")
    assert isinstance(progress, Progress)
    assert isinstance(last, Broken)
    assert "ended with status 3" in last.message
    async with asyncio.timeout(20):
        # Killed at once, gone when the system has buried it: there is no event to wait for.
        while is_running(progress.tokens):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_program_that_is_not_there_is_an_error_of_its_own(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        async with run_training(SPEC, command=(str(tmp_path / "none"),)):
            pass


async def test_the_key_is_told_on_stdin_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OUTCROP_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    seen = await _itself()
    encoded = base64.b64encode(KEY).decode()
    assert seen["told"]["key"] == encoded
    outside = json.dumps([seen["arguments"], seen["environment"]])
    assert encoded not in outside
    assert "secret" not in outside


async def test_it_runs_behind_what_answers_requests_on_the_given_cpus():
    cpu = allowed_cpus()[-1]
    seen = await _itself((cpu,))
    assert seen["cpus"] == [cpu]
    assert seen["niceness"] > os.getpriority(os.PRIO_PROCESS, 0)
    assert seen["oom_score"] > 0


async def _itself(cpus: Sequence[int] = ()) -> dict[str, Any]:
    async with run_training(SPEC, cpus=cpus, command=command("tells of itself")) as run:
        [report] = [report async for report in run.reports()]
    assert isinstance(report, Rejected)
    return json.loads(report.message)
