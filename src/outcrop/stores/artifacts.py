"""Sealed files of custom models, a folder each in the data directory.

What comes in is sealed already: nothing here is plain, and nothing here knows a key. A folder is
there whole or not at all, whatever kills the process.
"""

import asyncio
import os
import re
import secrets
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from outcrop.stores.failures import NoSuchItem, StoreError

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_ASIDE: Final = ".coming-"
"""Begins what is not whole yet, or is about to go. No name begins so."""


class Artifacts:
    """``folder`` is made with the first that is put. Names, of folders and files, are lower-case
    letters, digits and ``._-``: none leads elsewhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, name: str, files: Mapping[str, Path]) -> None:
        """Takes ``files`` away from where they lie. Put again under the same name, they replace
        what was there: whoever was killed may do it once more."""
        await asyncio.to_thread(self._put, name, files)

    async def read(self, name: str, file: str) -> bytes:
        """Raises ``NoSuchItem``."""
        return await asyncio.to_thread(self._read, name, file)

    async def size(self, name: str) -> int:
        """Of all its files, in bytes. Raises ``NoSuchItem``."""
        return await asyncio.to_thread(self._size, name)

    async def remove(self, name: str) -> None:
        """Nothing happens where there is none."""
        await asyncio.to_thread(self._remove, name)

    async def names(self) -> list[str]:
        return await asyncio.to_thread(self._names)

    async def keep_only(self, names: Collection[str]) -> list[str]:
        """Removes what has none of ``names``, and what a killed process left half done; for the
        start, when nobody else puts. The names of those that were whole."""
        return await asyncio.to_thread(self._keep_only, frozenset(names))

    def at(self, name: str) -> Path:
        return self._folder / _checked(name)

    def _put(self, name: str, files: Mapping[str, Path]) -> None:
        place = self.at(name)
        named = {_checked(file): source for file, source in files.items()}
        try:
            if not _is_taken(place, named):
                self._take(place, named)
            for source in named.values():
                source.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"The artifact {name} cannot be kept: {error.strerror}.") from error

    def _take(self, place: Path, files: Mapping[str, Path]) -> None:
        self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        aside, before = self._aside(), self._aside()
        aside.mkdir(mode=_FOLDER_MODE)
        try:
            for file, source in files.items():
                _bring(source, aside / file)
            _sync(aside)
            if place.exists():
                # No system call puts a folder in the place of a full one: for a moment there is
                # none, and ``files`` are still where they were.
                place.rename(before)
            aside.rename(place)
            _sync(self._folder)
        finally:
            for left in (aside, before):
                shutil.rmtree(left, ignore_errors=True)

    def _read(self, name: str, file: str) -> bytes:
        try:
            return (self.at(name) / _checked(file)).read_bytes()
        except FileNotFoundError as error:
            raise NoSuchItem(f"There is no artifact {name}/{file}.") from error
        except OSError as error:
            raise StoreError(f"{name}/{file} cannot be read: {error.strerror}.") from error

    def _size(self, name: str) -> int:
        try:
            return sum(entry.stat().st_size for entry in os.scandir(self.at(name)))
        except FileNotFoundError as error:
            raise NoSuchItem(f"There is no artifact {name}.") from error

    def _remove(self, name: str) -> None:
        aside = self._aside()
        try:
            self.at(name).rename(aside)
        except FileNotFoundError:
            return
        _sync(self._folder)
        shutil.rmtree(aside)

    def _names(self) -> list[str]:
        try:
            return sorted(
                entry.name for entry in os.scandir(self._folder) if _NAME.fullmatch(entry.name)
            )
        except FileNotFoundError:
            return []

    def _keep_only(self, names: frozenset[str]) -> list[str]:
        gone = [name for name in self._names() if name not in names]
        for name in gone:
            self._remove(name)
        for left in self._folder.glob(f"{_ASIDE}*"):
            shutil.rmtree(left)
        return gone

    def _aside(self) -> Path:
        return self._folder / f"{_ASIDE}{secrets.token_hex(8)}"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of an artifact")
    return name


def _is_taken(place: Path, files: Mapping[str, Path]) -> bool:
    """Whether an earlier put of these was interrupted only once they were here: then the files
    begin to be missing where they came from."""
    if all(source.exists() for source in files.values()):
        return False
    return all((place / file).exists() for file in files)


def _bring(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(source, target)
    target.chmod(_FILE_MODE)
    _sync(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
