"""A training process that learns nothing: it reads the job's data, whose first record names what it
is to do, speaks the protocol and leaves the files that training leaves. Run as a program."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Spec = Mapping[str, Any]

STEPS = 4
TOKENS = 250


def main() -> None:
    spec = json.loads(sys.stdin.readline())
    with open(spec["training"]["path"], encoding="utf-8") as file:
        SCENARIOS[json.loads(file.readline())["input"]](spec)


def _say(report: object) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


def _progress(step: int) -> None:
    left_s = float(STEPS - step)
    progress = {"step": step, "steps": STEPS, "epoch": 1, "loss": 2.0 / step, "left_s": left_s}
    _say({"type": "progress", **progress, "tokens": step * TOKENS, "tokens_per_s": 10.0})


def _validated() -> None:
    _say({"type": "validated", "training_records": 1, "training_tokens": STEPS * TOKENS,
          "validation_records": 0})  # fmt: skip


def _trains(spec: Spec) -> None:
    """From its checkpoint, if it has left one."""
    _validated()
    folder = Path(spec["folder"])
    begun = folder / "checkpoint"
    for step in range(int(begun.read_text()) if begun.exists() else 1, STEPS + 1):
        _progress(step)
    metrics = "step_number,epoch_number,{}_loss,perplexity\n1,1,0.5,1.6\n"
    (folder / "step_wise_training_metrics.csv").write_text(metrics.format("training"))
    (folder / "validation_metrics.csv").write_text(metrics.format("validation"))
    (folder / "adapter.gguf.sealed").write_bytes(b"gguf")
    (folder / "adapter.peft.sealed").write_bytes(b"peft!")
    _say({"type": "trained", "training_loss": 0.5, "tokens": STEPS * TOKENS, "note": "noted",
          "validation_losses": [0.75 for _ in spec["validation"]]})  # fmt: skip


def _rejects(spec: Spec) -> None:
    _say({"type": "rejected", "message": f"Unable to parse {spec['training']['name']}"})


def _tells_its_limits(spec: Spec) -> None:
    """As the failure of the job, which is what a test can read."""
    files = [spec["training"], *spec["validation"]]
    told = [{"most": file["most_records"], "quota": file["records_quota"]} for file in files]
    _say({"type": "rejected", "message": json.dumps(told)})


def _diverges(spec: Spec) -> None:
    _validated()
    for step in range(1, STEPS):
        _progress(step)
    _say({"type": "rejected", "message": "The loss is no number any more."})


def _breaks(spec: Spec) -> None:
    sys.exit(3)


def _breaks_once(spec: Spec) -> None:
    """After half of the work."""
    folder = Path(spec["folder"])
    if (folder / "checkpoint").exists():
        _trains(spec)
        return
    _validated()
    _progress(2)
    (folder / "checkpoint").write_text("2")
    os.kill(os.getpid(), signal.SIGKILL)


def _breaks_at_each_step(spec: Spec) -> None:
    """And goes on from it."""
    checkpoint = Path(spec["folder"]) / "checkpoint"
    step = int(checkpoint.read_text()) if checkpoint.exists() else 1
    if step == STEPS:
        _trains(spec)
        return
    _validated()
    _progress(step)
    checkpoint.write_text(str(step + 1))
    os.kill(os.getpid(), signal.SIGKILL)


def _waits(spec: Spec) -> None:
    """To be stopped, or for the process to be started again: then it goes on."""
    folder = Path(spec["folder"])
    if (folder / "checkpoint").exists():
        _trains(spec)
        return
    (folder / "pid").write_text(str(os.getpid()))
    _validated()
    _progress(1)
    line = sys.stdin.readline()
    (folder / "checkpoint").write_text("2")
    if line == "stop\n":
        _say({"type": "stopped", "tokens": 2 * TOKENS})


def _is_deaf(spec: Spec) -> None:
    _progress(1)
    time.sleep(600)


def _trains_when_stopped(spec: Spec) -> None:
    """The stop comes as the last step ends."""
    _validated()
    _progress(1)
    sys.stdin.readline()
    _trains(spec)


SCENARIOS: Mapping[str, Callable[[Spec], None]] = {
    "trains": _trains,
    "rejects": _rejects,
    "tells its limits": _tells_its_limits,
    "diverges": _diverges,
    "breaks": _breaks,
    "breaks once": _breaks_once,
    "breaks at each step": _breaks_at_each_step,
    "waits": _waits,
    "is deaf": _is_deaf,
    "trains when stopped": _trains_when_stopped,
}

if __name__ == "__main__":
    main()
