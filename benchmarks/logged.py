"""What an invocation log costs a call: the same call in a region that logs and in one that does
not, in turns, of one gateway and one connection each. Trail and metrics are on in both.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from typing import Any

import gateway
import logging_setup
import report
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

LOGS, SILENT = "us-east-1", "us-west-2"
PATH = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke"
BODY = (
    b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,'
    b'"messages":[{"role":"user","content":"Say hello"}]}'
)
_ENGINES = {
    "scripted": gateway.SCRIPTED.format(settings=""),
    "smollm2": """
[engines.smollm2]
kind = "llama"
model = "smollm2-135m-instruct"
context = 512
slots = 1
threads = 1
""",
}
_UNCOUNTED = 20


class Refused(Exception):
    pass


def main() -> None:
    options = _options()
    figures = {
        "scripted": _measure("scripted", options.pairs),
        "smollm2": _measure("smollm2", options.real_pairs),
    }
    report.show("logged", figures)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=4000, help="of calls of the scripted engine")
    parser.add_argument("--real-pairs", type=int, default=60, help="of calls of SmolLM2")
    return parser.parse_args()


def _measure(engine: str, pairs: int) -> dict[str, Any]:
    # A real engine is not put on the gateway's own CPU.
    cpu = gateway.GATEWAY_CPU if engine == "scripted" else None
    with gateway.gateway(_ENGINES[engine], cpu=cpu) as server:
        logging_setup.log_to_s3(server.url, LOGS)
        taken = _pairs(server, pairs)
    logged, silent = ([each[place] for each in taken] for place in (0, 1))
    return {
        "pairs": len(taken),
        "logged_p50_us": round(statistics.median(logged) * 1e6, 1),
        "silent_p50_us": round(statistics.median(silent) * 1e6, 1),
        "added_p50_us": round((statistics.median(logged) - statistics.median(silent)) * 1e6, 1),
        "ratio_of_medians": round(statistics.median(logged) / statistics.median(silent), 4),
    }


def _pairs(server: gateway.Server, pairs: int) -> Sequence[tuple[float, float]]:
    """Seconds with and without, each pair in the other order than the one before."""
    connections = {region: HTTPConnection("127.0.0.1", server.port) for region in (LOGS, SILENT)}
    taken: list[tuple[float, float]] = []
    for turn in range(pairs + _UNCOUNTED):
        order = (LOGS, SILENT) if turn % 2 else (SILENT, LOGS)
        seconds = {region: _call(connections[region], server.url, region) for region in order}
        taken.append((seconds[LOGS], seconds[SILENT]))
    return taken[_UNCOUNTED:]


def _call(connection: HTTPConnection, url: str, region: str) -> float:
    headers = _signed(url, region)
    began = time.perf_counter()
    connection.request("POST", PATH, BODY, headers)
    response = connection.getresponse()
    answer = response.read()
    took_s = time.perf_counter() - began
    if response.status != 200:
        raise Refused(answer.decode(errors="replace"))
    return took_s


def _signed(url: str, region: str) -> dict[str, str]:
    request = AWSRequest(
        "POST", url + PATH, data=BODY, headers={"Content-Type": "application/json"}
    )
    credentials = Credentials(gateway.ACCESS_KEY, gateway.SECRET_KEY)
    SigV4Auth(credentials, "bedrock", region).add_auth(request)
    return {str(name): str(value) for name, value in request.headers.items()}


if __name__ == "__main__":
    main()
