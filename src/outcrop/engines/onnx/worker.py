"""The worker process of embeddings.

Run as ``python -m outcrop.engines.onnx.worker MODEL TOKENIZER THREADS CPUS``; CPUS are those that
it runs on (``0,1``), or ``any``. Jobs come on stdin and answers go to stdout (``messages.py``). It
ends when stdin does, which is at the latest when its parent dies.
"""

import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import BinaryIO

from outcrop.engines.onnx.batching import Batcher
from outcrop.engines.onnx.messages import (
    ANY_CPU,
    LENGTH,
    Broken,
    Cancel,
    Failed,
    FromWorker,
    Job,
    Ready,
    TooLong,
    ToWorker,
    decode_to_worker,
    pack,
)
from outcrop.engines.onnx.model import SentenceModel
from outcrop.engines.protocol import InputTooLong
from outcrop.processes.affinity import bind

_STDOUT, _STDERR = 1, 2


def main() -> None:
    # stdout is the protocol's alone: whatever a library prints goes to stderr.
    out = os.fdopen(os.dup(_STDOUT), "wb")
    os.dup2(_STDERR, _STDOUT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    model, tokenizer, threads, cpus = sys.argv[1:]
    if cpus != ANY_CPU:
        # numpy has threads already; those that come are bound as this one.
        bind(os.getpid(), [int(cpu) for cpu in cpus.split(",")])
    # Jobs beyond the bound wait in the pipe, whose writer then waits too.
    jobs: queue.Queue[ToWorker] = queue.Queue(maxsize=1024)
    reader = threading.Thread(target=_receive, args=(sys.stdin.buffer, jobs), daemon=True)
    reader.start()
    try:
        loaded = SentenceModel(Path(model), Path(tokenizer), int(threads))
    # onnxruntime's and tokenizers' own errors derive from Exception directly.
    except Exception as error:  # noqa: BLE001
        _send(out, Broken(str(error)))
        sys.exit(1)
    _send(out, Ready(loaded.dimensions))
    _work(Batcher(loaded), jobs, out)


def _receive(source: BinaryIO, jobs: queue.Queue[ToWorker]) -> None:
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        jobs.put(decode_to_worker(source.read(LENGTH.unpack(head)[0])))
    # At once, and without the clean-up that would wait for a run of the model.
    os._exit(0)


def _work(batcher: Batcher, jobs: queue.Queue[ToWorker], out: BinaryIO) -> None:
    while True:
        if not batcher:
            _take(jobs.get(), batcher, out)
        while not jobs.empty():
            _take(jobs.get(), batcher, out)
        if batcher:
            for done in batcher.run():
                _send(out, done)


def _take(message: ToWorker, batcher: Batcher, out: BinaryIO) -> None:
    match message:
        case Cancel(identity):
            batcher.cancel(identity)
        case Job():
            try:
                batcher.add(message)
            except InputTooLong as error:
                _send(out, TooLong(message.id, error.limit, error.received))
            # A text the tokenizer cannot take (an unpaired surrogate) must not end the worker.
            except (TypeError, ValueError, UnicodeError) as error:
                _send(out, Failed(message.id, str(error)))


def _send(out: BinaryIO, message: FromWorker) -> None:
    out.write(pack(message))
    out.flush()


if __name__ == "__main__":
    main()
