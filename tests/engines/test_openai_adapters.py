"""Adapters on a server that takes LoRA while it runs, against one that plays vLLM's part."""

import asyncio
import os
import stat
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from adapters_at_hand import Adapter, AdaptersAtHand, custom_arn
from aiohttp import web
from openai_server import collect, delta, text, total

from outcrop.config import OpenAI
from outcrop.engines.fitting import Fitting
from outcrop.engines.openai import OpenAIEngine
from outcrop.engines.protocol import EngineFailed, EngineNotReady, Unsupported
from outcrop.engines.reserved import ReservedEngine
from outcrop.generation import EmbeddingRequest

ARN = custom_arn("tuned")
NAME = "outcrop-tuned"
FILES = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"}


@dataclass
class Vllm:
    """``loaded`` are the files of each adapter by name; ``modes`` how they lay there."""

    loaded: dict[str, dict[str, bytes]] = field(default_factory=dict[str, dict[str, bytes]])
    modes: set[int] = field(default_factory=set[int])
    asked: list[str] = field(default_factory=list[str])
    told: list[str] = field(default_factory=list[str])
    takes_adapters: bool = True
    pretends: bool = False
    base: str = "base"
    listing: bytes = b""
    hold: asyncio.Event | None = None
    hold_answer: asyncio.Event | None = None
    holding: asyncio.Event = field(default_factory=asyncio.Event)
    unloads: asyncio.Event | None = None

    async def models(self, _: web.Request) -> web.Response:
        if self.listing:
            return web.Response(body=self.listing)
        names = [self.base, *self.loaded]
        return web.json_response({"data": [{"id": name, "owned_by": "vllm"} for name in names]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        model = (await request.json())["model"]
        self.asked.append(model)
        if model != "base" and model not in self.loaded:
            error = {"message": f"The model `{model}` does not exist.", "type": "NotFoundError"}
            return web.json_response({"error": error}, status=404)
        chunks = (delta(content=model), delta("stop"), total(1))
        lines = [f"data: {web.json_response(chunk).text}\n\n" for chunk in chunks]
        return web.Response(
            body="".join([*lines, "data: [DONE]\n\n"]).encode(),
            headers={"Content-Type": "text/event-stream"},
        )

    async def load(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        self.told.append(f"load {body['lora_name']}")
        if not self.takes_adapters:
            return web.json_response({"detail": "Not Found"}, status=404)
        if self.pretends:
            return web.json_response({"status": "ok"})
        if self.hold is not None:
            self.holding.set()
            await self.hold.wait()
        if body["lora_name"] in self.loaded:
            error = {"message": "The lora adapter has already been loaded."}
            return web.json_response({"error": error}, status=400)
        folder = Path(body["lora_path"])
        files, self.modes = await asyncio.to_thread(_look, folder)
        self.loaded[body["lora_name"]] = files
        if self.hold_answer is not None:
            self.holding.set()
            await self.hold_answer.wait()
        return web.Response(text="Success: LoRA adapter added successfully.")

    async def unload(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        self.told.append(f"unload {name}")
        if self.unloads is not None:
            await self.unloads.wait()
        if self.loaded.pop(name, None) is None:
            error = {"message": "The lora adapter cannot be found."}
            return web.json_response({"error": error}, status=404)
        return web.Response(text="Success: LoRA adapter removed successfully.")


def _look(folder: Path) -> tuple[dict[str, bytes], set[int]]:
    paths = [folder, *folder.iterdir()]
    files = {path.name: path.read_bytes() for path in paths[1:]}
    return files, {stat.S_IMODE(path.stat().st_mode) for path in paths}


@asynccontextmanager
async def serving(
    folder: Path | None, adapters: AdaptersAtHand | None = None
) -> AsyncGenerator[tuple[Vllm, OpenAIEngine]]:
    server, app = Vllm(), web.Application()
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.complete)
    app.router.add_post("/v1/load_lora_adapter", server.load)
    app.router.add_post("/v1/unload_lora_adapter", server.unload)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    at_hand = adapters or AdaptersAtHand({ARN: Adapter("base", peft=FILES)})
    fitting = Fitting(at_hand, ARN, lambda: "base", "remote")
    lora_dir = None if folder is None else str(folder)
    url = f"http://127.0.0.1:{site.port}/v1"
    config = OpenAI(url=url, model="base", timeout_s=5, lora_dir=lora_dir)
    try:
        engine = OpenAIEngine("remote", config, fitting=fitting)
        yield server, engine
        await engine.close()
    finally:
        await runner.cleanup()


async def test_the_adapter_is_loaded_once_asked_by_name_and_unloaded(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, engine):
        answers = [text(await collect(engine)) for _ in range(3)]
        assert answers == [NAME] * 3
        assert server.loaded == {NAME: FILES}
        assert engine.served_by == "vllm/base+tuned"
        assert server.told == [f"load {NAME}"]
    assert server.told == [f"load {NAME}", f"unload {NAME}"]
    assert server.loaded == {}


async def test_the_files_are_their_owners_alone_and_gone_once_loaded(tmp_path: Path) -> None:
    async with serving(tmp_path / "adapters") as (server, engine):
        await collect(engine)
        assert server.modes == {0o700, 0o600}
        assert os.listdir(tmp_path / "adapters") == []


async def test_many_at_once_load_it_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, engine):
        await asyncio.gather(*(collect(engine) for _ in range(8)))
        assert server.told == [f"load {NAME}"]


async def test_a_server_that_was_started_anew_gets_it_once_more(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, engine):
        await collect(engine)
        server.loaded.clear()
        answers = await asyncio.gather(*(collect(engine) for _ in range(8)))
        assert [text(answer) for answer in answers] == [NAME] * 8
        assert server.told == [f"load {NAME}"] * 2


async def test_what_the_server_has_under_the_name_is_replaced(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, engine):
        server.loaded[NAME] = {"adapter_model.safetensors": b"another's"}
        assert text(await collect(engine)) == NAME
        assert server.loaded == {NAME: FILES}


async def test_a_server_that_takes_no_adapters_answers_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, engine):
        server.takes_adapters = False
        with pytest.raises(EngineFailed, match="does not take adapters"):
            await collect(engine)
        assert server.asked == []
        assert os.listdir(tmp_path) == []


async def test_a_server_that_says_it_took_an_adapter_and_has_none_answers_nothing(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (server, engine):
        server.pretends = True
        with pytest.raises(EngineFailed, match="took an adapter, and lists none"):
            await collect(engine)
        assert server.asked == []


@pytest.mark.parametrize("listing", [b"\xff\xfe", b'{"data": [{"id": "\xff"}]}', b"[]", b"{}"])
async def test_a_server_that_lists_garbage_is_given_no_adapter(
    tmp_path: Path, listing: bytes
) -> None:
    async with serving(tmp_path) as (server, engine):
        server.listing = listing
        with pytest.raises(EngineFailed):
            await collect(engine)
        assert server.told == []


async def test_a_server_with_other_weights_is_given_no_adapter(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, engine):
        await collect(engine)
        # Started anew, with another model behind it.
        server.loaded.clear()
        server.base = "other"
        with pytest.raises(EngineFailed, match="other weights than 'base'"):
            await collect(engine)
        assert server.told == [f"load {NAME}"]


async def test_that_a_server_takes_no_adapters_shows_before_anybody_asks(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, engine):
        reserved = ReservedEngine(engine, ())
        server.takes_adapters = False
        with pytest.raises(EngineFailed, match="does not take adapters"):
            await reserved.start(5)
        server.takes_adapters = True
        await reserved.start(5)
        assert server.loaded == {NAME: FILES}
        assert server.asked == []


async def test_a_request_that_is_given_up_leaves_no_file(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, engine):
        server.hold = asyncio.Event()
        asking = asyncio.create_task(collect(engine))
        await server.holding.wait()
        assert len(os.listdir(tmp_path)) == 1
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert os.listdir(tmp_path) == []
        server.hold.set()
        assert text(await collect(engine)) == NAME


async def test_what_is_being_loaded_while_the_engine_is_closed_is_taken_back(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (server, engine):
        server.hold = asyncio.Event()
        fitting = asyncio.create_task(engine.fit())
        await server.holding.wait()
        closing = asyncio.create_task(engine.close())
        await asyncio.wait([closing], timeout=0.05)
        server.hold.set()
        await closing
        await fitting
        assert server.loaded == {}
        with pytest.raises(EngineNotReady, match="shutting down"):
            await engine.fit()


async def test_what_was_loaded_for_somebody_who_gave_up_is_taken_back(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, engine):
        server.hold_answer = asyncio.Event()
        fitting = asyncio.create_task(engine.fit())
        await server.holding.wait()
        fitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fitting
        assert server.loaded == {NAME: FILES}
        await engine.close()
        assert server.loaded == {}
        server.hold_answer.set()


async def test_a_server_that_hangs_does_not_hold_up_who_ends_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("outcrop.engines.openai.adapter._UNLOAD_S", 0.05)
    async with serving(tmp_path) as (server, engine):
        await collect(engine)
        server.unloads = asyncio.Event()
        async with asyncio.timeout(4):
            await engine.close()
        assert f"did not unload {NAME} in time" in caplog.text
        server.unloads.set()


async def test_a_server_that_hangs_while_it_loads_does_not_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outcrop.engines.openai.adapter._UNLOAD_S", 0.05)
    async with serving(tmp_path) as (server, engine):
        server.hold = asyncio.Event()
        fitting = asyncio.create_task(engine.fit())
        await server.holding.wait()
        async with asyncio.timeout(4):
            await engine.close()
        with pytest.raises(EngineNotReady, match="shutting down"):
            await fitting
        server.hold.set()
    assert os.listdir(tmp_path) == []


async def test_what_a_killed_gateway_left_is_removed(tmp_path: Path) -> None:
    left, fresh, other = (tmp_path / name for name in ("adapter-1", "adapter-2", "another's"))
    for folder in (left, fresh, other):
        folder.mkdir()
    hours_ago = time.time() - 2 * 3600
    for folder in (left, other):
        os.utime(folder, (hours_ago, hours_ago))
    async with serving(tmp_path) as (_, engine):
        await collect(engine)
    assert set(os.listdir(tmp_path)) == {"adapter-2", "another's"}


async def test_an_adapter_that_cannot_be_opened_is_not_asked_for_as_the_base(
    tmp_path: Path,
) -> None:
    adapters = AdaptersAtHand({ARN: Adapter("base", peft=FILES)}, closed="Its key is disabled.")
    async with serving(tmp_path, adapters) as (server, engine):
        with pytest.raises(EngineNotReady, match="Its key is disabled"):
            await collect(engine)
        assert server.asked == []


async def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    adapters = AdaptersAtHand({ARN: Adapter("base", peft={"../escaped": b"x"})})
    async with serving(tmp_path / "in", adapters) as (_, engine):
        with pytest.raises(EngineFailed, match="not the name of a file"):
            await collect(engine)
    assert os.listdir(tmp_path) == ["in"]


async def test_a_custom_model_makes_no_embeddings(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, engine):
        with pytest.raises(Unsupported, match="embeddings"):
            await engine.embed(EmbeddingRequest(("Hi",), 384, 256))


async def test_without_a_folder_it_is_refused_at_once() -> None:
    with pytest.raises(EngineFailed, match="lora_dir"):
        async with serving(None):
            pass
