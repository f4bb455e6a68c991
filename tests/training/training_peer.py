"""A training process as its parent sees one: it reads its first line and plays what the scenario
in its arguments says. Run as a program."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping

PROGRESS = {
    "type": "progress",
    "step": 1,
    "steps": 4,
    "epoch": 1,
    "loss": 2.5,
    "tokens": 40,
    "tokens_per_s": 10.0,
    "left_s": 12.0,
}
TRAINED = {"type": "trained", "training_loss": 0.5, "validation_losses": [0.75], "tokens": 160}


def main() -> None:
    told = json.loads(sys.stdin.readline())
    SCENARIOS[sys.argv[1]](told)


def _say(report: object) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


def _trains(told: Mapping[str, object]) -> None:
    _say({"type": "validated", "training_records": 2, "training_tokens": 40,
          "validation_records": 0})  # fmt: skip
    _say(PROGRESS)
    _say(TRAINED)


def _tells_of_itself(told: Mapping[str, object]) -> None:
    """What it was started with, as the message of a rejection."""
    with open(f"/proc/{os.getpid()}/oom_score_adj", encoding="ascii") as file:
        score = int(file.read())
    seen = {
        "told": told,
        "arguments": sys.argv,
        "environment": dict(os.environ),
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
        "cpus": sorted(os.sched_getaffinity(0)),
        "oom_score": score,
    }
    _say({"type": "rejected", "message": json.dumps(seen)})


def _waits_for_stop(told: Mapping[str, object]) -> None:
    _say(PROGRESS)
    if sys.stdin.readline() == "stop\n":
        _say({"type": "stopped", "tokens": 44})


def _does_not_stop(told: Mapping[str, object]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _say(PROGRESS)
    time.sleep(600)


def _stops_unasked(told: Mapping[str, object]) -> None:
    _say({"type": "stopped", "tokens": 44})


def _dies(told: Mapping[str, object]) -> None:
    lines = ["x" * 10_000, *(f"line {number}" for number in range(100))]
    sys.stderr.write("\n".join(lines) + "\n")
    sys.exit(3)


def _leaves_another(told: Mapping[str, object]) -> None:
    """A process that it has started holds its pipes, and outlives it."""
    pid = os.fork()
    if not pid:
        time.sleep(600)
    _say({**PROGRESS, "tokens": pid})
    os._exit(3)


def _is_killed(told: Mapping[str, object]) -> None:
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def _talks_nonsense(told: Mapping[str, object]) -> None:
    sys.stdout.write("loading the model ...\n")
    _say(TRAINED)


def _talks_too_long(told: Mapping[str, object]) -> None:
    _say({"type": "rejected", "message": "x" * 200_000})


def _talks_without_end(told: Mapping[str, object]) -> None:
    _say(TRAINED)
    sys.stdout.write("y" * 1_000_000)


SCENARIOS: Mapping[str, Callable[[Mapping[str, object]], None]] = {
    "trains": _trains,
    "tells of itself": _tells_of_itself,
    "waits for stop": _waits_for_stop,
    "does not stop": _does_not_stop,
    "stops unasked": _stops_unasked,
    "dies": _dies,
    "leaves another": _leaves_another,
    "is killed": _is_killed,
    "talks nonsense": _talks_nonsense,
    "talks too long": _talks_too_long,
    "talks without end": _talks_without_end,
}

if __name__ == "__main__":
    main()
