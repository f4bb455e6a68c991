"""tokens/s and first-token delay of a stream through Outcrop against the same llama.cpp process
asked directly, with 1 and with 8 clients at once.

Every pair is the same prompt at temperature 0 once each way, in alternating order; both must give
the same text. llama.cpp has one thread. Intervals are bootstrapped over the pairs.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import gateway
import msgspec
import numpy as np
import report
from with_engine import ENGINE, Told
from yarl import URL

from outcrop.engines.llama.sampling import request_body
from outcrop.generation import Sampling
from outcrop.wire.eventstream import Decoder

CLIENTS = (1, 8)
MODEL_PATH = "/model/meta.llama3-8b-instruct-v1%3A0/invoke-with-response-stream"
PROMPT = "Tell the story of {}, at length, with many details."
HEROES = ("a lighthouse keeper", "a baker", "two rivers", "a clock", "an old ferry", "a fox")
_TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
_CONFIG = """
data_dir = {folder}
[server]
port = {port}
[engines.{engine}]
kind = "llama"
model = "smollm2-135m-instruct"
context = 1024
slots = 8
threads = 1
[[bind]]
pattern = "meta.llama*"
engine = "{engine}"
"""
_RESAMPLES = 10_000
_LOAD_S = 120.0


class Unequal(Exception):
    """The two ways did not do the same work."""


@dataclass(frozen=True)
class Stream:
    text: str
    tokens: int
    first_s: float
    whole_s: float


Way = Callable[[aiohttp.ClientSession, str, int], Awaitable[Stream]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=128, help="of each answer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as name:
        folder = Path(name)
        config = folder / "outcrop.toml"
        port = gateway.free_port()
        data_dir = msgspec.json.encode(str(folder / "data")).decode()
        config.write_text(_CONFIG.format(folder=data_dir, port=port, engine=ENGINE), "utf-8")
        program = Path(__file__).with_name("with_engine.py")
        command = [sys.executable, str(program), str(config), str(folder / "told.json")]
        environment = gateway.environment()
        log = folder / "log"
        with gateway.running(command, port, log, environment, gateway.HEALTH):
            told = _read(folder / "told.json")
            figures = asyncio.run(_measure(told, options.pairs, options.tokens))
    report.show("stream", figures)


def _read(file: Path) -> Told:
    """What ``with_engine.py`` writes once its engine has loaded the model."""
    deadline = time.monotonic() + _LOAD_S
    while not file.exists():
        if time.monotonic() > deadline:
            sys.exit("The engine did not start. Fetch its model: outcrop models pull")
        time.sleep(0.05)
    return msgspec.json.decode(file.read_bytes(), type=Told)


async def _measure(told: Told, pairs: int, tokens: int) -> dict[str, Any]:
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        ways = (_through(told), _straight(told))
        for way in ways:
            await way(session, PROMPT.format(HEROES[0]), 8)
        return {
            f"clients_{clients}": await _compare(session, ways, clients, pairs, tokens)
            for clients in CLIENTS
        }


async def _compare(
    session: aiohttp.ClientSession, ways: tuple[Way, Way], clients: int, pairs: int, tokens: int
) -> dict[str, Any]:
    rates: list[tuple[float, float]] = []
    delays_ms: list[tuple[float, float]] = []
    for pair in range(pairs):
        prompts = [
            PROMPT.format(
                f"{HEROES[(pair + each) % len(HEROES)]} and {pair * clients + each} stars"
            )
            for each in range(clients)
        ]
        order = (0, 1) if pair % 2 else (1, 0)
        done = {way: await _together(session, ways[way], prompts, tokens) for way in order}
        # Answers computed beside others may differ in the last digits, so alone they must agree.
        if clients == 1 and done[0][0].text != done[1][0].text:
            raise Unequal(f"{done[0][0].text!r} is not {done[1][0].text!r}")
        rates.append((_rate(done[0]), _rate(done[1])))
        delays_ms.append((_first_ms(done[0]), _first_ms(done[1])))
    through, straight = np.array(rates).T
    first_through, first_straight = np.array(delays_ms).T
    return {
        "pairs": pairs,
        "tokens_per_s_through": round(float(np.median(through)), 1),
        "tokens_per_s_straight": round(float(np.median(straight)), 1),
        "ratio": _interval(through / straight),
        "first_token_ms_straight": round(float(np.median(first_straight)), 2),
        "first_token_later_ms": _interval(first_through - first_straight),
    }


async def _together(
    session: aiohttp.ClientSession, way: Way, prompts: list[str], tokens: int
) -> list[Stream]:
    return await asyncio.gather(*(way(session, prompt, tokens) for prompt in prompts))


def _rate(streams: list[Stream]) -> float:
    """Tokens of all streams by the time until the last has ended."""
    return sum(stream.tokens for stream in streams) / max(stream.whole_s for stream in streams)


def _first_ms(streams: list[Stream]) -> float:
    return float(np.median([stream.first_s for stream in streams])) * 1000


def _interval(values: Any) -> dict[str, float]:
    """The median and its 95 % bootstrap interval."""
    chosen = np.random.default_rng(0).choice(values, (_RESAMPLES, len(values)))
    low, high = np.percentile(np.median(chosen, axis=1), (2.5, 97.5))
    middle = float(np.median(values))
    return {"median": round(middle, 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def _through(told: Told) -> Way:
    async def stream(session: aiohttp.ClientSession, prompt: str, tokens: int) -> Stream:
        asked = {"prompt": prompt, "max_gen_len": tokens, "temperature": 0}
        body = msgspec.json.encode(asked)
        url = told.gateway + MODEL_PATH
        decoder = Decoder()
        text: list[str] = []
        count = 0
        clock = _Clock()
        async for piece in _pieces(session, url, body, gateway.sign(url, body)):
            for frame in decoder.feed(piece):
                chunk = _chunk(frame.payload)
                if chunk["generation"]:
                    clock.tick()
                text.append(chunk["generation"])
                count = chunk["generation_token_count"] or count
        return clock.stream("".join(text), count)

    return stream


def _chunk(payload: bytes) -> dict[str, Any]:
    return msgspec.json.decode(msgspec.json.decode(payload, type=_Bytes).bytes)


class _Bytes(msgspec.Struct):
    bytes: bytes


def _straight(told: Told) -> Way:
    headers = {"Authorization": f"Bearer {told.engine_key}"}

    async def stream(session: aiohttp.ClientSession, prompt: str, tokens: int) -> Stream:
        clock = _Clock()
        # The engine's own server tokenizes a text: the least work there is.
        completion = {
            **request_body((), tokens, Sampling(temperature=0.0)),
            "prompt": _TEMPLATE.format(prompt),
            "stream": True,
        }
        text: list[str] = []
        rest, last = b"", dict[str, Any]()
        body = msgspec.json.encode(completion)
        async for piece in _pieces(session, f"{told.engine}/completion", body, headers):
            *events, rest = (rest + piece).split(b"\n\n")
            for event in events:
                last = msgspec.json.decode(event.removeprefix(b"data: "))
                if last["content"]:
                    clock.tick()
                text.append(last["content"])
        return clock.stream("".join(text), last["tokens_predicted"])

    return stream


async def _pieces(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]
) -> AsyncIterator[bytes]:
    address = URL(url, encoded=True)
    async with session.post(address, data=body, headers=headers) as response:
        if response.status != 200:
            raise RuntimeError(await response.text())
        async for piece in response.content.iter_any():
            yield piece


class _Clock:
    """Runs from when it is made; the first tick is the first token."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._first_s: float | None = None

    def tick(self) -> None:
        if self._first_s is None:
            self._first_s = time.perf_counter() - self._began

    def stream(self, text: str, tokens: int) -> Stream:
        if self._first_s is None:
            raise Unequal("a stream without text")
        return Stream(text, tokens, self._first_s, time.perf_counter() - self._began)


if __name__ == "__main__":
    main()
