"""Start to ready in seconds, on a new and on a used data directory, and the idle gateway's memory.

Ready means: /_outcrop/health answers 200. Runs are not pinned, as a user's are not.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gateway
import report

_IDLE_S = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as folder:
        first = [_start(Path(folder) / f"new{run}") for run in range(options.runs)]
        again = [_start(Path(folder) / "new0") for _ in range(options.runs)]
        env = [_env(Path(folder) / "new0") for _ in range(options.runs)]
    figures = {
        "start_s": _spread([run["start_s"] for run in again]),
        "first_start_s": _spread([run["start_s"] for run in first]),
        "outcrop_env_s": _spread(env),
        "start_cpu_s": _spread([run["cpu_s"] for run in again]),
        "idle_rss_mib": _spread([run["rss_mib"] for run in again]),
    }
    report.show("start", figures)


def _start(data_dir: Path) -> dict[str, float]:
    """With the default engines, as ``outcrop serve`` runs when nothing is configured."""
    data_dir.mkdir(exist_ok=True)
    config = data_dir.with_suffix(".toml")
    config.write_text("", encoding="utf-8")
    port = gateway.free_port()
    command = gateway.serve_command(config, data_dir, port)
    began = time.monotonic()
    log = data_dir.with_suffix(".log")
    with gateway.running(command, port, log, gateway.environment(), gateway.HEALTH) as server:
        start_s = time.monotonic() - began
        cpu_s = server.cpu_s()
        time.sleep(_IDLE_S)
        return {"start_s": start_s, "cpu_s": cpu_s, "rss_mib": server.rss_kib() / 1024}


def _env(data_dir: Path) -> float:
    command = [sys.executable, "-m", "outcrop", "env", "--data-dir", str(data_dir)]
    began = time.monotonic()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env=gateway.environment(), cwd="/"
    )
    return time.monotonic() - began


def _spread(values: list[float]) -> dict[str, Any]:
    return {
        "runs": len(values),
        "least": round(min(values), 3),
        "median": round(statistics.median(values), 3),
        "most": round(max(values), 3),
    }


if __name__ == "__main__":
    main()
