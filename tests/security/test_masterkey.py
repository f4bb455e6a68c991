"""The master key and the envelope around secrets."""

import base64
import stat
from pathlib import Path

import pytest

from outcrop.security.masterkey import FILE_NAME, MasterKey, MasterKeyError, load_master_key

KEY = MasterKey(bytes(range(32)))


def test_a_sealed_secret_opens_again_and_never_looks_the_same() -> None:
    first, second = KEY.seal(b"secret", b"a"), KEY.seal(b"secret", b"a")
    assert KEY.open(first, b"a") == KEY.open(second, b"a") == b"secret"
    assert first != second
    assert b"secret" not in first


def test_a_secret_opens_only_for_what_it_was_sealed_for() -> None:
    with pytest.raises(MasterKeyError):
        KEY.open(KEY.seal(b"secret", b"a"), b"b")


def test_the_wrong_key_is_told_what_to_do() -> None:
    with pytest.raises(MasterKeyError, match=r"Restore its own master\.key"):
        MasterKey(bytes(32)).open(KEY.seal(b"secret", b"a"), b"a")


def test_a_changed_byte_is_noticed_wherever_it_is() -> None:
    envelope = KEY.seal(b"secret", b"a")
    for at in range(len(envelope)):
        changed = bytes([*envelope[:at], envelope[at] ^ 1, *envelope[at + 1 :]])
        with pytest.raises(MasterKeyError):
            KEY.open(changed, b"a")
        with pytest.raises(MasterKeyError):
            KEY.open(envelope[:at], b"a")


def test_the_file_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    sealed = load_master_key(tmp_path, {}, create=True).seal(b"x", b"")
    assert load_master_key(tmp_path, {}, create=True).open(sealed, b"") == b"x"
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


def test_the_environment_is_asked_first(tmp_path: Path) -> None:
    preset = base64.b64encode(bytes(range(32))).decode()
    key = load_master_key(tmp_path, {"OUTCROP_MASTER_KEY": preset}, create=True)
    assert key.open(KEY.seal(b"x", b""), b"") == b"x"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("preset", ["short", "AAAA", "é"])
def test_a_malformed_key_is_named_and_not_shown(preset: str, tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="OUTCROP_MASTER_KEY") as caught:
        load_master_key(tmp_path, {"OUTCROP_MASTER_KEY": preset}, create=False)
    assert preset not in str(caught.value)


def test_a_lost_file_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="is missing"):
        load_master_key(tmp_path, {}, create=False)
    assert not list(tmp_path.iterdir())
