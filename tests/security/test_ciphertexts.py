"""Ciphertext blobs: only the same bytes, key and context open them."""

import pytest
from hypothesis import given, strategies as st

from outcrop.security.ciphertexts import (
    Header,
    NotOurs,
    canonical_context,
    read_header,
    seal,
    unseal,
)
from outcrop.security.grant_tokens import (
    GrantToken,
    MalformedToken,
    make_grant_token,
    read_grant_token,
)

HEADER = Header("000000000042", "134f2428-cec1-4b25-a1ae-9048164dba47", "ab" * 32)
MATERIAL = bytes(range(32))
CONTEXTS = st.dictionaries(st.text(), st.text(), max_size=4)


def opens(blob: bytes, context: dict[str, str]) -> bool:
    try:
        header = read_header(blob)
        unseal(blob, MATERIAL, context)
    except NotOurs:
        return False
    return header == HEADER


@given(st.binary(max_size=4096), CONTEXTS)
def test_what_was_sealed_opens_with_its_context(plaintext: bytes, context: dict[str, str]) -> None:
    blob = seal(HEADER, MATERIAL, plaintext, context)
    turned = dict(reversed(context.items()))
    assert read_header(blob) == HEADER
    assert opens(blob, turned)
    assert unseal(blob, MATERIAL, turned) == plaintext


@given(st.binary(max_size=64), st.data())
def test_a_changed_bit_opens_nothing(plaintext: bytes, data: st.DataObject) -> None:
    blob = bytearray(seal(HEADER, MATERIAL, plaintext, {"a": "1"}))
    position = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[position // 8] ^= 1 << position % 8
    assert not opens(bytes(blob), {"a": "1"})


@given(st.binary(max_size=300))
def test_other_bytes_are_no_ciphertext(blob: bytes) -> None:
    assert not opens(blob, {})


@given(st.binary(max_size=64), st.integers(0, 400))
def test_a_cut_ciphertext_opens_nothing(plaintext: bytes, length: int) -> None:
    blob = seal(HEADER, MATERIAL, plaintext, {})
    assert not opens(blob[: min(length, len(blob) - 1)], {})


@given(CONTEXTS, CONTEXTS)
def test_contexts_have_the_same_text_only_if_they_are_the_same(
    one: dict[str, str], other: dict[str, str]
) -> None:
    assert (canonical_context(one) == canonical_context(other)) == (one == other)


def test_the_same_plaintext_is_never_the_same_ciphertext() -> None:
    assert len({seal(HEADER, MATERIAL, b"x", {}) for _ in range(100)}) == 100


def test_a_grant_token_names_its_grant() -> None:
    token = GrantToken("000000000042", HEADER.key_id, "cd" * 32)
    assert read_grant_token(make_grant_token(token)) == token


@given(st.text(max_size=120))
def test_other_texts_are_no_grant_tokens(text: str) -> None:
    with pytest.raises(MalformedToken):
        read_grant_token(text)
