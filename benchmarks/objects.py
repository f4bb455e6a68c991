"""A file of 1 GiB up and down through S3, by boto3's upload_file and in one request.

What came back must be what was sent (SHA-256); the gateway's memory must not grow with the file.
"""

import argparse
import hashlib
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import boto3
import gateway
import report

_MIB = 1 << 20
_LOOK_S = 0.02


class _Peak:
    """The most memory a process had in RAM while something was done."""

    def __init__(self, server: gateway.Server) -> None:
        self._server = server
        self._done = threading.Event()
        self.kib = server.rss_kib()

    def of(self, action: Callable[[], object]) -> float:
        """Runs ``action``; returns its seconds."""
        looking = threading.Thread(target=self._look)
        looking.start()
        began = time.monotonic()
        try:
            action()
            return time.monotonic() - began
        finally:
            self._done.set()
            looking.join()

    def _look(self) -> None:
        while not self._done.wait(_LOOK_S):
            self.kib = max(self.kib, self._server.rss_kib())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="outcrop-bench-") as folder,
        gateway.gateway(gateway.SCRIPTED.format(settings=""), cpu=None) as server,
    ):
        source, target = Path(folder) / "source", Path(folder) / "target"
        digest = _fill(source, options.mib)
        s3 = _client(server)
        s3.create_bucket(Bucket="benchmark")
        s3.put_object(Bucket="benchmark", Key="first", Body=b"x")
        figures: dict[str, Any] = {"mib": options.mib, "idle_rss_mib": server.rss_kib() / 1024}

        def put_whole() -> None:
            with source.open("rb") as body:
                s3.put_object(Bucket="benchmark", Key="whole", Body=body)

        def download(key: str) -> None:
            s3.download_file("benchmark", key, str(target))

        steps: dict[str, Callable[[], object]] = {
            "upload_file": lambda: s3.upload_file(str(source), "benchmark", "parts"),
            "download_file": lambda: download("parts"),
            "put_object": put_whole,
            "download_of_put": lambda: download("whole"),
        }
        for name, step in steps.items():
            figures[name] = _measured(server, step, options.mib)
            if name.startswith("download"):
                figures[name]["equal"] = _digest(target) == digest
        report.show("objects", figures)


def _measured(server: gateway.Server, step: Callable[[], object], mib: int) -> dict[str, Any]:
    before_kib, cpu_s = server.rss_kib(), server.cpu_s()
    peak = _Peak(server)
    seconds = peak.of(step)
    return {
        "mib_per_s": round(mib / seconds, 1),
        "gateway_cpu_s": round(server.cpu_s() - cpu_s, 2),
        "rss_growth_mib": round((peak.kib - before_kib) / 1024, 1),
    }


def _fill(file: Path, mib: int) -> str:
    digest = hashlib.sha256()
    with file.open("wb") as out, Path("/dev/urandom").open("rb") as random:
        for _ in range(mib):
            piece = random.read(_MIB)
            digest.update(piece)
            out.write(piece)
    return digest.hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _client(server: gateway.Server) -> Any:
    return cast(Any, boto3).client(
        "s3",
        region_name=gateway.REGION,
        endpoint_url=server.url,
        aws_access_key_id=gateway.ACCESS_KEY,
        aws_secret_access_key=gateway.SECRET_KEY,
    )


if __name__ == "__main__":
    main()
