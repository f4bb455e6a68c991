"""A gateway inside the test's own process: its deployment and engines can be looked at.

``opened`` is the application alone; ``served`` listens on a real port as well.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from running_gateways import OPEN_SETTINGS
from signed_http import ACCESS_KEY, SECRET_KEY

from outcrop.config import Binding, Config, Scripted, Server
from outcrop.engines.scripted import ScriptedEngine
from outcrop.server.app import App
from outcrop.server.deployment import Deployment, open_deployment
from outcrop.server.run import serve


@dataclass
class Served:
    url: str
    deployment: Deployment

    async def engine(self) -> ScriptedEngine:
        return await scripted(self.deployment)


async def scripted(deployment: Deployment) -> ScriptedEngine:
    engine = await deployment.engines.get("script", None)
    assert isinstance(engine, ScriptedEngine)
    return engine


def preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The access key that ``signed_http`` signs with."""
    monkeypatch.setenv("OUTCROP_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("OUTCROP_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("OUTCROP_ACCOUNT_ID", "123456789012")


def config_of(folder: Path, server: Server | None = None) -> Config:
    return Config(
        data_dir=folder / "data",
        cache_dir=folder / "cache",
        server=server or Server(port=0),
        engines={"script": Scripted()},
        bind=(Binding(pattern="*", engine="script"),),
        **OPEN_SETTINGS,
    )


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[tuple[App, Deployment]]:
    async with open_deployment(config_of(folder)) as deployment:
        yield App(deployment), deployment


@asynccontextmanager
async def served(
    folder: Path, server: Server | None = None, config: Config | None = None
) -> AsyncGenerator[Served]:
    ready: asyncio.Future[Served] = asyncio.get_running_loop().create_future()

    def on_ready(url: str, deployment: Deployment) -> None:
        ready.set_result(Served(url, deployment))

    running = asyncio.create_task(serve(config or config_of(folder, server), on_ready))
    await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        await running
    try:
        yield ready.result()
    finally:
        running.cancel()
        await asyncio.wait((running,))
