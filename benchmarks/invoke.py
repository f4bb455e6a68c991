"""InvokeModel with the scripted engine: requests/s at 1, 8 and 32 connections, and beside it, in
the same run, LiteLLM's proxy and llm-katan's echo. Server on CPU 0, load on CPU 1.
"""

import argparse
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gateway
import load
import peers
import report

CONNECTIONS = (1, 8, 32)
# The path as boto3 sends it; the body is one that llm-katan takes too.
PATH = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke"
BODY = (
    b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,'
    b'"messages":[{"role":"user","content":"Say hello"}]}'
)


def main() -> None:
    options = _options()
    load.need_wrk()
    figures: dict[str, Any] = {"outcrop": _outcrop(options.seconds)}
    if not options.alone:
        figures |= _peers(options.seconds, options.peers)
        figures["ratios"] = {
            name: [
                round(ours["per_s"] / theirs["per_s"], 1)
                for ours, theirs in zip(figures["outcrop"], figures[name], strict=True)
            ]
            for name in ("litellm", "llm_katan")
        }
    figures["added_latency_p50_ms"] = figures["outcrop"][0]["p50_ms"]
    report.show("invoke", figures)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="of load at each step")
    parser.add_argument("--alone", action="store_true", help="leave the peers out")
    parser.add_argument("--peers", type=Path, help="keep the peers' environment in this folder")
    return parser.parse_args()


def _outcrop(seconds: int) -> list[dict[str, Any]]:
    with gateway.gateway(gateway.SCRIPTED.format(settings="")) as server:
        url = server.url + PATH
        return _steps(server, load.Request(url, BODY, gateway.sign(url, BODY)), seconds)


def _peers(seconds: int, kept: Path | None) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with ExitStack() as stack:
        place = stack.enter_context(peers.environment(kept))
        with peers.litellm(place) as (server, request):
            figures["litellm"] = _steps(server, request, seconds)
        with peers.llm_katan(place, PATH, BODY) as (server, request):
            figures["llm_katan"] = _steps(server, request, seconds)
    return figures


def _steps(server: gateway.Server, request: load.Request, seconds: int) -> list[dict[str, Any]]:
    """``per_cpu_s`` is requests by the CPU seconds of the server's own process."""
    load.measure(request, 8, 1)
    steps: list[dict[str, Any]] = []
    for connections in CONNECTIONS:
        before_s = server.cpu_s()
        measured = load.measure(request, connections, seconds)
        used_s = server.cpu_s() - before_s
        steps.append({**asdict(measured), "per_cpu_s": round(measured.requests / used_s, 1)})
    return steps


if __name__ == "__main__":
    main()
