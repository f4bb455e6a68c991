"""What a training process is told, and how its one final report comes out whatever it is doing.

It computes for seconds without looking up: a thread of its own reads what the parent says and,
where the work does not end soon, ends the process.
"""

import os
import threading
from typing import Final

import msgspec

from outcrop.training.spec import STOP, Cluster, Report, Stopped, TrainingSpec

_STDIN: Final = 0
_GRACE_S: Final = 2.0
_CLUSTER_GRACE_S: Final = 6.0
"""Workers elsewhere stop between steps alone, and their checkpoint has a way to go."""


class Reports:
    """Lines on ``out``. After the final one nothing is written any more."""

    def __init__(self, out: int) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._has_ended = False
        self._tokens = 0

    def report(self, report: Report) -> None:
        with self._lock:
            if not self._has_ended:
                self._write(report)

    def end(self, report: Report) -> None:
        with self._lock:
            if not self._has_ended:
                self._has_ended = True
                self._write(report)

    def stop(self) -> None:
        self.end(Stopped(tokens=self._tokens))

    def count(self, tokens: int) -> None:
        """So many are trained: what a run that is stopped at this moment tells."""
        self._tokens = tokens

    def _write(self, report: Report) -> None:
        line = msgspec.json.encode(report) + b"\n"
        while line:
            line = line[os.write(self._out, line) :]


class Orders:
    def __init__(self, reports: Reports, cluster: Cluster | None = None) -> None:
        self._reports = reports
        self._grace_s = _GRACE_S if cluster is None else _CLUSTER_GRACE_S
        self._stop = threading.Event()

    def should_stop(self) -> bool:
        return self._stop.is_set()

    def listen(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        told = b""
        while more := os.read(_STDIN, 4096):
            told = (told + more)[-4096:]
            if STOP in told and not self._stop.is_set():
                self._stop.set()
                threading.Thread(target=self._end_late, daemon=True).start()
        # The parent is gone, or wants no more.
        os._exit(0)

    def _end_late(self) -> None:
        threading.Event().wait(self._grace_s)
        self._reports.stop()
        os._exit(0)


def read_spec() -> TrainingSpec:
    """From line one of stdin, and not a byte more: what follows is for ``Orders``."""
    with open(_STDIN, "rb", buffering=0, closefd=False) as file:
        return msgspec.json.decode(file.readline(), type=TrainingSpec)
