"""``outcrop serve`` that also tells where the process of its llama.cpp engine answers, so that the
same process can be measured with and without the gateway. Arguments: configuration, file to write.
"""

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import uvloop

from outcrop.config import load
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.engines.llama.supervisor import Endpoint
from outcrop.server.deployment import Deployment
from outcrop.server.run import serve

ENGINE = "bench"


class Told(msgspec.Struct, frozen=True):
    """Both addresses; the engine's key is of this run alone."""

    gateway: str
    engine: str
    engine_key: str


def main() -> None:
    config, file = Path(sys.argv[1]), Path(sys.argv[2])
    telling: set[asyncio.Task[None]] = set()

    def on_ready(url: str, deployment: Deployment) -> None:
        telling.add(asyncio.create_task(_tell(url, deployment, file)))

    uvloop.run(serve(load(config), on_ready))


async def _tell(url: str, deployment: Deployment, file: Path) -> None:
    engine = await deployment.engines.get(ENGINE)
    if not isinstance(engine, LlamaEngine):
        raise TypeError(f"{ENGINE} is {type(engine).__name__}, not llama.cpp")
    endpoint = await engine.endpoint()
    partial = file.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
        out.write(msgspec.json.encode(_told(url, endpoint)))
    partial.replace(file)


def _told(url: str, endpoint: Endpoint) -> Told:
    return Told(gateway=url, engine=endpoint.url, engine_key=endpoint.api_key)


if __name__ == "__main__":
    main()
