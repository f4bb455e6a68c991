"""Logs while their bucket's store is down, and a gateway that is killed meanwhile: every record is
there in the end, once."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from logging_under_test import Logging, eventually
from running_gateways import ACCESS_KEY, SCRIPTED, SECRET_KEY, Gateway, start_gateway

CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
CALLS = 1_000
ON_THE_WAY = 20
"""Records that lie in the bucket before its store goes away."""


@dataclass
class Pair:
    """A gateway whose objects lie in another one's S3. Both can be stopped and started."""

    folder: Path
    store: Gateway
    gateway: Gateway

    @classmethod
    def start(cls, folder: Path) -> "Pair":
        for name in ("store", "gateway"):
            (folder / name).mkdir()
        store = start_gateway(folder / "store", SCRIPTED)
        return cls(folder, store, cls._gateway(folder, store))

    @staticmethod
    def _gateway(folder: Path, store: Gateway) -> Gateway:
        toml = f'{SCRIPTED}\n[services.s3]\nendpoint = "{store.url}"\n'
        return start_gateway(folder / "gateway", toml, variables=CREDENTIALS)

    def start_store(self) -> None:
        """Where it was."""
        port = str(urlsplit(self.store.url).port)
        self.store = start_gateway(self.folder / "store", SCRIPTED, "--port", port)

    def kill_gateway(self) -> None:
        self.gateway.process.send_signal(signal.SIGKILL)
        self.gateway.process.wait()
        self.gateway = self._gateway(self.folder, self.store)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair.start(tmp_path)
    yield pair
    pair.gateway.stop()
    if pair.store.process.poll() is None:
        pair.store.stop()


def test_no_record_is_lost_or_doubled_while_s3_is_down(pair: Pair):
    logging = Logging(pair.gateway, "us-east-1")
    logging.client("s3").create_bucket(Bucket="logs")
    logging.put(s3Config={"bucketName": "logs"})
    calls = [logging.converse() for _ in range(ON_THE_WAY)]
    eventually(lambda: len(logging.records("logs")) == len(calls))
    pair.store.stop()
    for _ in range(2):
        calls += [logging.converse() for _ in range(CALLS // 2)]
        pair.kill_gateway()
        logging = replace(logging, gateway=pair.gateway)
    with pytest.raises(ClientError):
        logging.keys("logs")
    pair.start_store()
    eventually(lambda: len(logging.records("logs")) >= len(calls), seconds=240)
    assert sorted(log["requestId"] for log in logging.records("logs")) == sorted(calls)
    # Nothing is left to deliver.
    eventually(lambda: not any((pair.gateway.data_dir / "invocations").iterdir()))
    assert len(logging.records("logs")) == len(calls)
