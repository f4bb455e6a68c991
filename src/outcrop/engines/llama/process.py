"""The engine process: llama.cpp's own HTTP server and nothing else.

Run as ``python -m outcrop.engines.llama.process [ADAPTER]``, the number of the descriptor that an
adapter is read from. Line one of stdin is its ``Parameters``, line one of stdout the ``Report``. It
lives exactly as long as its parent, which keeps stdin open.
"""

import importlib
import os
import signal
import sys
import threading
from typing import Any

import msgspec

from outcrop.engines.llama.parameters import Parameters, Report
from outcrop.processes.affinity import bind_self
from outcrop.processes.memory_files import path_in_process
from outcrop.processes.parent import at_end_of_stdin, die_with

_STDOUT, _STDERR = 1, 2
# llama.cpp's level for warnings and errors; every request is told at the next one.
_VERBOSITY = 2


def main() -> None:
    # stdout is the report's alone: whatever a library prints goes to stderr.
    out = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parameters = msgspec.json.decode(sys.stdin.buffer.readline(), type=Parameters)
    # Before there is any other thread: those that come are bound as this one.
    bind_self(parameters.cpus)
    die_with(parameters.parent)
    at_end_of_stdin(_exit)
    adapter = int(sys.argv[1]) if len(sys.argv) > 1 else None
    try:
        server = _serve(parameters, adapter)
    except (RuntimeError, ValueError) as error:
        _report(out, Report(error=str(error)))
        os._exit(1)
    if adapter is not None:
        os.close(adapter)
    _report(out, Report(address=server.listening_address, adapter=adapter))
    threading.Event().wait()


def _report(out: int, report: Report) -> None:
    os.write(out, msgspec.json.encode(report) + b"\n")
    os.close(out)


def _exit() -> None:
    # No clean-up: the server's destructor would wait for the requests that still run.
    os._exit(0)


def _serve(parameters: Parameters, adapter: int | None) -> Any:
    # Imported by name because it has no types, and only here because it is large.
    engine: Any = importlib.import_module("xllamacpp")
    settings: Any = engine.CommonParams()
    settings.model.path = parameters.model
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0
    settings.api_keys = [parameters.api_key]
    settings.n_parallel = parameters.slots
    settings.n_ctx = parameters.context * parameters.slots
    settings.kv_unified = False
    settings.ctx_shift = False
    # Left on, it would shrink the context without a word when memory is short.
    settings.fit_params = False
    # Prompts of idle slots would otherwise be kept in up to 8 GiB of memory.
    settings.cache_ram_mib = 0
    settings.cache_idle_slots = False
    settings.n_gpu_layers = parameters.gpu_layers
    settings.cpuparams.n_threads = parameters.threads
    settings.cpuparams_batch.n_threads = parameters.threads
    settings.n_threads_http = parameters.http_threads
    settings.endpoint_metrics = True
    settings.endpoint_slots = True
    settings.ui = False
    settings.verbosity = _VERBOSITY
    if adapter is not None:
        _fit(engine, settings, path_in_process(adapter))
    return engine.Server(settings)


def _fit(engine: Any, settings: Any, path: str) -> None:
    settings.lora_adapters = [engine.CommonAdapterLoraInfo(path, 1.0)]
    # Every adapter has a process of its own, and all of them the base's pages in common: so its
    # weights stay as they are mapped, and are not copied into the layout that this CPU likes best.
    settings.load_mode = engine.llama_load_mode.LLAMA_LOAD_MODE_MMAP
    settings.no_extra_bufts = True


if __name__ == "__main__":
    main()
