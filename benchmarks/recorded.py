"""A gateway under load with trail, metrics and invocation logs in S3 all on: what it answers, what
of it is delivered, and how its memory grows. Nothing may be missing and nothing twice.

The load is wrk's, in runs of some minutes since a signature does not last for ever. What wrk leaves
at the end of a run, an answer for each connection, is recorded and not counted as answered.
"""

import argparse
import gzip
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import gateway
import load
import logging_setup
import msgspec
import report

PATH = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke"
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
BODY = (
    b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,'
    b'"messages":[{"role":"user","content":"Say hello"}]}'
)
_RUN_S = 120
_DELIVERED_WITHIN_S = 1800.0
_SETTLE_S = 15.0


class Missing(Exception):
    pass


class _Record(msgspec.Struct, rename="camel"):
    request_id: str


_decode = msgspec.json.Decoder(_Record).decode


def main() -> None:
    options = _options()
    load.need_wrk()
    with gateway.gateway(gateway.SCRIPTED.format(settings=""), cpu=None) as server:
        s3 = logging_setup.log_to_s3(server.url, gateway.REGION)
        began = datetime.now(UTC)
        with _memory(server) as memory:
            answered, seconds = _load(server, options)
            idle_from = time.monotonic()
            delivered = _delivered(s3, answered)
            delivered_after_s = time.monotonic() - idle_from
        counted = _counted(server.url, began)
    figures = {
        "answered": answered,
        "per_s": round(answered / seconds, 1),
        "delivered": len(delivered),
        "delivered_twice": sum(1 for times in delivered.values() if times > 1),
        "delivered_after_the_last_answer_s": round(delivered_after_s, 1),
        "metric_invocations": counted,
        "memory_mib": memory,
    }
    report.show("recorded", figures)
    if set(delivered.values()) != {1} or not answered <= len(delivered) == counted:
        raise Missing(f"{answered} calls, {len(delivered)} in the log, {counted} counted")


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="of load in all")
    parser.add_argument("--connections", type=int, default=16)
    return parser.parse_args()


def _load(server: gateway.Server, options: Any) -> tuple[int, float]:
    """Requests that were answered, and the seconds that took."""
    url = server.url + PATH
    answered, seconds = 0, 0
    while seconds < options.seconds:
        run_s = min(_RUN_S, options.seconds - seconds)
        request = load.Request(url, BODY, gateway.sign(url, BODY))
        answered += load.measure(request, options.connections, run_s).requests
        seconds += run_s
    return answered, float(seconds)


def _delivered(s3: Any, wanted: int) -> Counter[str]:
    """How often each request is in the log, once all are and no more come, or time is up."""
    found = Counter[str]()
    seen: set[str] = set()
    deadline = time.monotonic() + _DELIVERED_WITHIN_S
    before = -1
    while (len(found) < wanted or before < len(found)) and time.monotonic() < deadline:
        before = len(found)
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=logging_setup.BUCKET):
            for each in page.get("Contents", ()):
                key = each["Key"]
                if key in seen or not key.endswith(".json.gz"):
                    continue
                seen.add(key)
                body = s3.get_object(Bucket=logging_setup.BUCKET, Key=key)["Body"].read()
                lines = gzip.decompress(body).splitlines()
                found.update(_decode(line).request_id for line in lines)
        time.sleep(_SETTLE_S)
    return found


def _counted(url: str, began: datetime) -> int:
    answer = logging_setup.client("cloudwatch", url).get_metric_statistics(
        Namespace="AWS/Bedrock",
        MetricName="Invocations",
        Dimensions=[{"Name": "ModelId", "Value": MODEL}],
        StartTime=began - timedelta(minutes=1),
        EndTime=datetime.now(UTC) + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )
    return round(sum(point["Sum"] for point in answer["Datapoints"]))


@contextmanager
def _memory(server: gateway.Server) -> Generator[dict[str, float]]:
    """MiB that the gateway holds: before, at most, and after."""
    told = {"before": round(server.rss_kib() / 1024, 1), "most": 0.0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            told["most"] = max(told["most"], round(server.rss_kib() / 1024, 1))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield told
    finally:
        ended.set()
        watcher.join()
        told["after"] = round(server.rss_kib() / 1024, 1)


if __name__ == "__main__":
    main()
