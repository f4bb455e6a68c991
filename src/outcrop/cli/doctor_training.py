"""What ``outcrop doctor`` says of training: whether custom models can be made on this machine."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from outcrop.cli.findings import Finding
from outcrop.config import Config

_LIBRARIES: Final = ("torch", "transformers", "peft", "gguf", "safetensors")
_INSTALL: Final = "pip install 'outcrop[train]'"
_DEVICE: Final = (
    "import torch; gpu = torch.cuda.is_available();"
    "print(torch.__version__, torch.cuda.get_device_name(0) if gpu else 'CPU', sep=' on ')"
)


def _training(config: Config) -> Iterator[Finding]:
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        # An extra: without it the rest works.
        yield Finding(f"training: none, without {', '.join(missing)}. {_INSTALL}")
        return
    # In a process of its own, as jobs run: the gateway never holds it. The text is ours.
    tried = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _DEVICE], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        reason = (tried.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        mend = f"{sys.executable} -m {_INSTALL} --force-reinstall"
        yield Finding(f"torch for training cannot be imported: {reason}", mend)
        return
    yield Finding(f"training: torch {tried.stdout.strip()}{_memory()}{_where(config)}")


def _memory() -> str:
    """What jobs need depends on the base: it is told, not judged. Linux alone says it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return ""
    [kib] = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return f", {int(kib) / 2**20:.1f} GiB of memory available"


def _where(config: Config) -> str:
    address = config.training.ray_address
    return "" if address is None else f", {config.training.ray_workers} workers at {address}"


CHECKS: tuple[Callable[[Config], Iterator[Finding]], ...] = (_training,)
