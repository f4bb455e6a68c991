"""Folders of weights that can be made again: each is whole or not there, is held by those who read
it, and goes when nobody has asked for it in a week. They are large.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from outcrop.training.checkpoints import write_whole

_CONTENTS: Final = "contents.json"
"""Of a folder that is whole: the sizes of its other files. When it was written or touched last, the
folder was asked for."""
_LOCK, _PARTIAL, _GOING = ".lock", ".partial", ".going"
_KEPT_S: Final = 7 * 24 * 3600.0


def find_kept(folder: Path) -> Path | None:
    return folder if _find_noted(folder) is not None else None


def sizes_of(folder: Path) -> Mapping[str, int]:
    """Of its files, by name."""
    return {
        file.name: file.stat().st_size
        for file in folder.iterdir()
        if file.is_file() and file.name != _CONTENTS
    }


@contextmanager
def made_once(folder: Path, sizes: Mapping[str, int] | None = None) -> Generator[Path | None]:
    """Another folder to be filled, which takes the place of ``folder`` at the end; None where that
    is whole, with files of these sizes where any are told. What it holds is to be noted."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(folder):
        found = _find_noted(folder)
        if found is not None and sizes in (None, found):
            _touch(folder)
            yield None
            return
        partial = _beside(folder, _PARTIAL)
        _remove(partial)
        _remove(folder)
        partial.mkdir(mode=0o700)
        yield partial
        partial.replace(folder)


def note_contents(folder: Path) -> None:
    """All its files belong to it, and it is whole while they have their sizes."""
    write_whole(folder / _CONTENTS, msgspec.json.encode(sizes_of(folder)))


def hold(folder: Path) -> None:
    """Until this process ends, nobody prunes it."""
    with suppress(OSError):
        _touch(folder)
        # Never closed: the kernel does it, however the process ends.
        fcntl.flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_SH)


def prune(parent: Path, kept_s: float = _KEPT_S) -> None:
    """Removes what was not asked for in that time and is not held, and what somebody who died was
    making. Where a file system locks no folders, all is kept."""
    before = time.time() - kept_s
    with suppress(OSError):
        for folder in list(parent.iterdir()):
            if folder.is_dir():
                _prune(folder, before)


def _prune(folder: Path, before: float) -> None:
    with suppress(OSError):
        if _is_due(folder, before) and _is_free(folder):
            with _alone(folder.with_suffix(""), wait=False):
                # Asked again, now that nobody can make or find it.
                if _is_due(folder, before):
                    _remove(folder)


def _is_due(folder: Path, before: float) -> bool:
    if folder.suffix:
        return True
    contents = folder / _CONTENTS
    return (contents if contents.exists() else folder).stat().st_mtime < before


def _is_free(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _remove(folder: Path) -> None:
    """Never seen in part."""
    going = _beside(folder, _GOING)
    shutil.rmtree(going, ignore_errors=True)
    with suppress(FileNotFoundError):
        folder.replace(going)
    shutil.rmtree(going, ignore_errors=True)


def _find_noted(folder: Path) -> Mapping[str, int] | None:
    try:
        sizes = msgspec.json.decode((folder / _CONTENTS).read_bytes(), type=dict[str, int])
        is_whole = all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, msgspec.DecodeError):
        return None
    return sizes if is_whole else None


def _touch(folder: Path) -> None:
    os.utime(folder / _CONTENTS)


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f"{folder.name}{suffix}")


@contextmanager
def _alone(folder: Path, *, wait: bool = True) -> Generator[None]:
    """Who comes second waits until the first is done, or raises OSError; the kernel frees it of one
    that dies."""
    lock = _beside(folder, _LOCK)
    with os.fdopen(os.open(lock, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
