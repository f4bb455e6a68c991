"""Open streams held by one gateway at once, and what each costs in memory.

The scripted engine sends a piece of text and then waits, so every stream stays open until its
client leaves. Closing them all must give the work back: the gateway then answers as before.
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gateway
import report

PATH = "/model/anthropic.claude-v2/invoke-with-response-stream"
_WARM = 50
_AT_ONCE = 32
_SPARE_FILES = 200
_SETTLE_S = 1.0


class StreamRefused(Exception):
    pass


@dataclass(frozen=True)
class Held:
    """A stream whose first frame has come."""

    writer: asyncio.StreamWriter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    options = parser.parse_args()
    _allow_files(2 * options.streams + _SPARE_FILES)
    with gateway.gateway(gateway.SCRIPTED.format(settings=""), cpu=None) as server:
        figures = asyncio.run(_measure(server, options.streams))
    report.show("streams_held", figures)


async def _measure(server: gateway.Server, count: int) -> dict[str, Any]:
    request = _request(server)
    # What the first streams make (caches, pools) is not a stream's own.
    await _close(await _hold(server, request, _WARM))
    await asyncio.sleep(_SETTLE_S)
    before_kib = server.rss_kib()
    began = time.monotonic()
    held = await _hold(server, request, count)
    opening_s = time.monotonic() - began
    await asyncio.sleep(_SETTLE_S)
    held_kib = server.rss_kib()
    answering = await asyncio.to_thread(gateway.answers, server.port, gateway.HEALTH)
    await _close(held)
    await asyncio.sleep(_SETTLE_S)
    again = await _hold(server, request, 1)
    await _close(again)
    return {
        "streams": len(held),
        "opened_per_s": round(count / opening_s),
        "rss_before_mib": round(before_kib / 1024, 1),
        "rss_held_mib": round(held_kib / 1024, 1),
        "rss_after_mib": round(server.rss_kib() / 1024, 1),
        "kib_per_stream": round((held_kib - before_kib) / count, 1),
        "answers_others_meanwhile": answering,
    }


def _request(server: gateway.Server) -> bytes:
    script = 'script: [{"text": "held"}, {"pause": "until the client leaves"}]'
    prompt = f"\n\nHuman: {script}\n\nAssistant:"
    body = json.dumps({"prompt": prompt, "max_tokens_to_sample": 20}).encode()
    headers = {
        **gateway.sign(server.url + PATH, body),
        "Host": f"127.0.0.1:{server.port}",
        "Content-Length": str(len(body)),
    }
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _hold(server: gateway.Server, request: bytes, count: int) -> list[Held]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one() -> Held:
        async with gate:
            return await _open(server.port, request)

    return await asyncio.gather(*(one() for _ in range(count)))


async def _open(port: int, request: bytes) -> Held:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise StreamRefused((head + await reader.read(2000)).decode(errors="replace"))
    if not await reader.read(1):
        raise StreamRefused("the stream ended before its first frame")
    return Held(writer)


async def _close(streams: Sequence[Held]) -> None:
    for stream in streams:
        stream.writer.close()
    await asyncio.gather(
        *(stream.writer.wait_closed() for stream in streams), return_exceptions=True
    )


def _allow_files(wanted: int) -> None:
    """The gateway inherits the limit: a stream is one file there and one here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        if hard < wanted:
            sys.exit(f"This benchmark needs {wanted} open files; allow them: ulimit -Hn {wanted}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    main()
