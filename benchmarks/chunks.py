"""Chunks/s of InvokeModelWithResponseStream and ConverseStream with the scripted engine.

The client reads raw bytes from one socket at a time and counts frames after the clock has stopped,
so that it costs little beside the gateway. Gateway on CPU 0, client on CPU 1.
"""

import argparse
import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import gateway
import report

TOKENS = 4000
STREAMS = {
    "invoke_model_with_response_stream": (
        "/model/anthropic.claude-v2/invoke-with-response-stream",
        b'{"prompt":"\\n\\nHuman: Say hello\\n\\nAssistant:","max_tokens_to_sample":4000}',
    ),
    "converse_stream": (
        "/model/anthropic.claude-v2/converse-stream",
        b'{"messages":[{"role":"user","content":[{"text":"Say hello"}]}],'
        b'"inferenceConfig":{"maxTokens":4000}}',
    ),
}
_READ_BYTES = 1 << 20


class StreamBroken(Exception):
    pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of streaming per operation")
    options = parser.parse_args()
    if (os.cpu_count() or 1) > gateway.LOAD_CPU:
        os.sched_setaffinity(0, {gateway.LOAD_CPU})
    with gateway.gateway(gateway.SCRIPTED.format(settings=f"tokens = {TOKENS}")) as server:
        figures = {
            name: _measure(server, path, body, options.seconds)
            for name, (path, body) in STREAMS.items()
        }
    report.show("chunks", figures)


def _measure(server: gateway.Server, path: str, body: bytes, seconds: float) -> dict[str, Any]:
    request = _request(server, path, body)
    _read(server.port, request)
    used_s = server.cpu_s()
    began = time.monotonic()
    answers: list[bytes] = []
    while time.monotonic() - began < seconds:
        answers.append(_read(server.port, request))
    took_s = time.monotonic() - began
    used_s = server.cpu_s() - used_s
    # A stream of TOKENS tokens has at least as many frames, or it broke off.
    frames = [_count_frames(answer) for answer in answers]
    if min(frames) < TOKENS:
        raise StreamBroken(f"a stream of {TOKENS} tokens had {min(frames)} frames")
    return {
        "streams": len(answers),
        "chunks": sum(frames),
        "chunks_per_s": round(sum(frames) / took_s),
        "chunks_per_cpu_s": round(sum(frames) / used_s),
        "bytes_per_chunk": round(sum(map(len, answers)) / sum(frames)),
    }


def _request(server: gateway.Server, path: str, body: bytes) -> bytes:
    """The signed request as it travels; the connection ends with its answer."""
    headers = {
        **gateway.sign(server.url + path, body),
        "Host": f"127.0.0.1:{server.port}",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _read(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        pieces: list[bytes] = []
        while piece := connection.recv(_READ_BYTES):
            pieces.append(piece)
    return b"".join(pieces)


def _count_frames(answer: bytes) -> int:
    head, _, rest = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise StreamBroken(answer[:2000].decode(errors="replace"))
    body = b"".join(_unchunked(rest))
    count = place = 0
    while place < len(body):
        (size,) = struct.unpack_from(">I", body, place)
        place += size
        count += 1
    if place != len(body):
        raise StreamBroken("the stream ended inside a frame")
    return count


def _unchunked(body: bytes) -> Iterator[bytes]:
    """The pieces of a body in HTTP/1.1's chunked coding."""
    place = 0
    while True:
        line_end = body.index(b"\r\n", place)
        size = int(body[place:line_end], 16)
        if not size:
            return
        yield body[line_end + 2 : line_end + 2 + size]
        place = line_end + 2 + size + 2


if __name__ == "__main__":
    main()
