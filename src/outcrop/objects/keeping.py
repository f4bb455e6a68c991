"""What the gateway tells the keeper of a store: one line of JSON."""

import os
import shutil
from contextlib import suppress

import msgspec


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """``folder`` holds the secrets of this start and goes with it, as do the ``leftovers``.
    ``lock`` is the file that keeps two stores from the same data."""

    command: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    lock: str
    leftovers: tuple[str, ...]
    grace_s: float
    lock_wait_s: float


def clean_up(keeping: Keeping) -> None:
    shutil.rmtree(keeping.folder, ignore_errors=True)
    for path in keeping.leftovers:
        with suppress(OSError):
            os.unlink(path)
