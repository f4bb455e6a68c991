"""What ``outcrop doctor`` says of ``lora_dir``: adapters lie there unsealed while a server loads
them, so that it is to be in memory."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from outcrop.cli.findings import Finding
from outcrop.config import Config, OpenAI

_MOUNTS: Final = Path("/proc/self/mountinfo")
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_MEND: Final = "Let lora_dir be in memory, such as /dev/shm/outcrop."


def _adapters(config: Config) -> Iterator[Finding]:
    for name, engine in config.engine_configs().items():
        if isinstance(engine, OpenAI) and engine.lora_dir is not None:
            yield judge_folder(name, Path(engine.lora_dir), _read_mounts())


def judge_folder(engine: str, folder: Path, mounts: str | None) -> Finding:
    """``mounts`` is the kernel's table, None where there is none to read."""
    what = f"adapters for engine {engine} pass through {folder}"
    if mounts is None:
        return Finding(f"{what}: look yourself whether that is in memory, it is not told here")
    kind = _kind_of(folder.resolve(), mounts)
    if kind in _IN_MEMORY:
        return Finding(f"{what}, in memory")
    return Finding(f"{what}, unsealed and not in memory ({kind})", _MEND)


def _read_mounts() -> str | None:
    """Linux alone has it."""
    try:
        return _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None


def _kind_of(folder: Path, mounts: str) -> str:
    """Of the file system, by the deepest mount; of several at one place the last is seen."""
    kinds: dict[Path, str] = {}
    for line in mounts.splitlines():
        place, _, source = line.partition(" - ")
        kinds[Path(_unescaped(place.split(" ")[4]))] = source.partition(" ")[0]
    return next((kinds[at] for at in (folder, *folder.parents) if at in kinds), "unknown")


def _unescaped(path: str) -> str:
    """Spaces and the like stand as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


CHECKS: tuple[Callable[[Config], Iterator[Finding]], ...] = (_adapters,)
