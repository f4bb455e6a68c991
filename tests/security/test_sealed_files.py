"""A sealed file opens with its key, as what it is, unchanged; else not at all."""

import pytest
from hypothesis import given, strategies

from outcrop.security.sealed_files import NotSealed, open_file, seal_file

KEY = bytes(range(32))
JOB = "arn:aws:bedrock:us-east-1:111122223333:model-customization-job/base/abcdefghijkl"


@given(strategies.binary(max_size=4096))
def test_what_was_sealed_opens(plain: bytes) -> None:
    assert open_file(KEY, seal_file(KEY, plain, JOB, "adapter"), JOB, "adapter") == plain


@pytest.mark.parametrize(
    ("key", "context", "name"),
    [(bytes(32), JOB, "adapter"), (KEY, f"{JOB}x", "adapter"), (KEY, JOB, "checkpoint")],
)
def test_another_key_model_or_file_does_not_open_it(key: bytes, context: str, name: str) -> None:
    sealed = seal_file(KEY, b"weights", JOB, "adapter")
    with pytest.raises(NotSealed):
        open_file(key, sealed, context, name)


@given(strategies.integers(min_value=0), strategies.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    sealed = bytearray(seal_file(KEY, b"weights", JOB, "adapter"))
    sealed[place % len(sealed)] ^= change
    with pytest.raises(NotSealed):
        open_file(KEY, bytes(sealed), JOB, "adapter")


@given(strategies.binary(max_size=64))
def test_bytes_of_any_kind_are_refused_alike(noise: bytes) -> None:
    with pytest.raises(NotSealed):
        open_file(KEY, noise, JOB, "adapter")
