"""Keys as the store keeps them: each comes back, in its place, under its prefixes alone."""

import pytest
from hypothesis import given
from hypothesis.strategies import characters, lists, sampled_from, text

from outcrop.errors import ServiceError
from outcrop.services.s3.keys import Named, Plain

NAMED = Named()
LAST = "\U0010ffff"
# What the coding treats apart, more often than chance would.
SPECIAL = '/.\\!"+~[ \x00\x1f\x7fa0\u07ff\ufffd\ufffe\uffff\U0010ffff'
CHARACTERS = sampled_from(SPECIAL) | characters(exclude_categories=["Cs"])
KEYS = text(CHARACTERS, min_size=1, max_size=12) | text(sampled_from("ab/é\U0001f600"), min_size=1)
LONG = lists(sampled_from(["a" * 114, "é" * 60, "/" * 50, ".", "b", "\U0001f600"]), min_size=1).map(
    lambda pieces: "".join(pieces[:9])
)


@given(KEYS | LONG)
def test_a_key_comes_back(key: str) -> None:
    assert NAMED.decoded(NAMED.place(key)) == key


@given(KEYS | LONG)
def test_the_store_finds_nothing_in_a_key_that_it_would_read_otherwise(key: str) -> None:
    names = NAMED.place(key).split("/")
    assert all(name and len(name.encode()) + len(".versions") <= 255 for name in names)
    assert not any(name.startswith(".") and len(name) <= 2 for name in names)
    assert not any(character < " " or character in "\\\x7f" for name in names for character in name)


def _in_store(stored: str) -> list[bytes]:
    """The store walks its folders, and sorts the names in each."""
    return [name.encode() for name in stored.split("/")]


@given(KEYS | LONG, KEYS | LONG)
def test_keys_sort_in_the_store_as_by_their_bytes(one: str, other: str) -> None:
    before = one.encode() < other.encode()
    assert (_in_store(NAMED.place(one)) < _in_store(NAMED.place(other))) == before


@given(KEYS | LONG, KEYS | LONG)
def test_a_prefix_is_one_in_the_store_too(prefix: str, key: str) -> None:
    for whole in (key, prefix + key):
        stored = NAMED.place(whole)
        assert stored.startswith(NAMED.prefix(prefix)) == whole.startswith(prefix)


@given((KEYS | LONG).filter(lambda prefix: prefix[-1] != LAST), KEYS | LONG)
def test_behind_a_prefix_come_the_keys_that_sort_after_all_with_it(prefix: str, key: str) -> None:
    for whole in (key, prefix + key):
        is_behind = _in_store(NAMED.place(whole)) > _in_store(NAMED.behind(prefix))
        assert is_behind == (whole.encode() > prefix.encode() and not whole.startswith(prefix))


@pytest.mark.parametrize("coding", [NAMED, Plain()])
def test_a_key_of_more_than_1024_bytes_is_refused(coding: Named | Plain) -> None:
    assert coding.decoded(coding.key("k" * 1000)) == "k" * 1000
    with pytest.raises(ServiceError, match="too long"):
        coding.key("é" * 513)


def test_a_key_that_is_too_long_for_the_store_alone_is_said_to_be_so() -> None:
    with pytest.raises(ServiceError) as caught:
        NAMED.key("/" * 1024)
    assert caught.value.code == "NotImplemented"
