"""Objects in another S3 by its endpoint: here that of a second gateway."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from buckets_under_test import new_bucket, refusal
from running_gateways import ACCESS_KEY, SCRIPTED, SECRET_KEY, Gateway, start_gateway


@pytest.fixture(scope="module")
def outer(scripted_gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    toml = f'{SCRIPTED}\n[services.s3]\nendpoint = "{scripted_gateway.url}"\n'
    credentials = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    folder = tmp_path_factory.mktemp("outer")
    gateway = start_gateway(folder, toml, variables=credentials)
    yield gateway
    gateway.stop()


def test_objects_lie_in_the_other_store(outer: Gateway, scripted_gateway: Gateway):
    s3: Any = outer.client("s3")
    bucket, body = new_bucket(s3), os.urandom(1_000_000)
    s3.put_object(Bucket=bucket, Key="a b/ü", Body=body)
    assert s3.get_object(Bucket=bucket, Key="a b/ü")["Body"].read() == body
    inner: Any = scripted_gateway.client("s3")
    assert inner.get_object(Bucket=bucket, Key="a b/ü")["Body"].read() == body
    assert not (outer.data_dir / "objects").exists()


def test_a_bucket_of_somebody_else_there_is_not_taken_over(
    outer: Gateway, scripted_gateway: Gateway
):
    ireland: Any = scripted_gateway.client("s3", "eu-west-1")
    name = f"tests-elsewhere-{os.getpid()}"
    where = {"LocationConstraint": "eu-west-1"}
    ireland.create_bucket(Bucket=name, CreateBucketConfiguration=where)
    taken = refusal(outer.client("s3").create_bucket, Bucket=name)
    assert taken[:2] == ("BucketAlreadyExists", 409)


def test_no_data_key_goes_to_it_in_clear(outer: Gateway):
    s3: Any = outer.client("s3")
    bucket = new_bucket(s3)
    sealed = {"Bucket": bucket, "Key": "k", "Body": b"x", "ServerSideEncryption": "aws:kms"}
    assert refusal(s3.put_object, **sealed)[:2] == ("NotImplemented", 501)
