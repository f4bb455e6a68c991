"""What every benchmark prints: its figures and the machine they were taken on, as one JSON."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from outcrop import __version__


def show(benchmark: str, figures: Mapping[str, Any]) -> None:
    document = {"benchmark": benchmark, "machine": machine(), "figures": figures}
    print(msgspec.json.format(msgspec.json.encode(document)).decode())


def machine() -> dict[str, Any]:
    """``load_average_1min`` well above what the benchmark itself runs means: others were busy."""
    return {
        "outcrop": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "load_average_1min": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
