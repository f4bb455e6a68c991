"""Compressed bodies: as botocore writes them, where the model says so, and never without end."""

import gzip
import zlib
from typing import Any, cast

import botocore.compress
import pytest
from botocore.config import Config
from botocore.loaders import Loader
from botocore.model import ServiceModel
from hypothesis import given, strategies as st

from outcrop.errors import SerializationException, ValidationException
from outcrop.wire.compression import decompressed, is_compressed
from outcrop.wire.http import Request
from outcrop.wire.spec import load_service

METRICS = load_service("cloudwatch").operations["PutMetricData"]


def request(body: bytes, encoding: str = "gzip") -> Request:
    headers = (("content-encoding", encoding),)
    return Request("POST", "/", "", headers, body, "127.0.0.1")


def test_what_botocore_compresses_is_opened() -> None:
    model = ServiceModel(cast(Any, Loader()).load_service_model("cloudwatch", "service-2"))
    config = cast(Any, Config)(request_min_compression_size_bytes=0)
    parts: dict[str, Any] = {"body": b"Namespace=" + b"x" * 20_000, "headers": {}}
    maybe_compress = cast(Any, botocore.compress).maybe_compress_request
    maybe_compress(config, parts, cast(Any, model).operation_model("PutMetricData"))
    sent = request(parts["body"], parts["headers"]["Content-Encoding"])
    assert len(sent.body) < 1_000
    assert is_compressed(METRICS, sent)
    assert decompressed(sent).body == b"Namespace=" + b"x" * 20_000


def test_only_operations_whose_model_says_so_take_compressed_bodies() -> None:
    assert not is_compressed(load_service("kms").operations["Encrypt"], request(b""))
    assert not is_compressed(load_service("s3").operations["PutObject"], request(b""))
    assert not is_compressed(METRICS, request(b"", "identity"))


def test_a_body_that_opens_to_more_than_any_body_may_have_is_refused() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    assert len(decompressed(request(bomb), 10_000_000).body) == 10_000_000
    with pytest.raises(ValidationException, match="at most 9999999 bytes"):
        decompressed(request(bomb), 9_999_999)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"plain",
        gzip.compress(b"cut", mtime=0)[:-1],
        gzip.compress(b"two", mtime=0) + gzip.compress(b"members", mtime=0),
        gzip.compress(b"more", mtime=0) + b"behind",
        zlib.compress(b"another container"),
        gzip.compress(b"a wrong sum", mtime=0)[:-8] + bytes(8),
    ],
)
def test_what_is_no_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(SerializationException):
        decompressed(request(body))


@given(st.binary(max_size=2_000), st.integers(0, 9))
def test_every_body_comes_back(body: bytes, level: int) -> None:
    assert decompressed(request(gzip.compress(body, level))).body == body
