"""The journal on disk: what a kill, a full disk or damage leaves of it, and what is read then."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from outcrop.journal.files import MARK, START, Journal, Position

_HEAD = 12


def read_all(journal: Journal, start: Position = START, max_bytes: int = 1000) -> list[bytes]:
    """In pieces, until there is no more; it ends."""
    found: list[bytes] = []
    position = start
    for _ in range(100_000):
        records, after = journal.read(position, max_bytes)
        assert after >= position
        if after == position:
            assert position >= journal.end
            return found
        found += records
        position = after
    raise AssertionError("reading goes on for ever")


def write(folder: Path, *records: bytes, segment_bytes: int = 1_000_000) -> None:
    journal = Journal(folder, segment_bytes=segment_bytes)
    for record in records:
        journal.append(record)
    journal.close()


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.journal"))


def test_what_is_appended_is_read_in_order_and_only_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    records = [str(number).encode() * number for number in range(200)]
    for record in records[:100]:
        journal.append(record)
    first, position = journal.read(START, 1_000_000)
    for record in records[100:]:
        journal.append(record)
    assert first + read_all(journal, position) == records
    journal.close()
    again = Journal(tmp_path / "j")
    assert read_all(again) == records
    again.close()


def test_a_record_larger_than_what_is_asked_for_is_read_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(b"x" * 5000)
    journal.append(b"y")
    assert journal.read(START, 10)[0] == [b"x" * 5000]
    journal.close()


def test_segments_are_rotated_and_forgotten_when_they_are_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", segment_bytes=100)
    records = [bytes([number]) * 40 for number in range(20)]
    for record in records:
        journal.append(record)
    assert len(segments(tmp_path / "j")) > 3
    assert read_all(journal, max_bytes=1) == records
    half = Position(4, 0)
    assert journal.bytes_after(half) < journal.bytes_after(START)
    journal.forget_before(half)
    assert read_all(journal, half)[-1] == records[-1]
    journal.forget_before(journal.end)
    assert len(segments(tmp_path / "j")) == 1
    assert journal.bytes_after(journal.end) == 0
    journal.close()


@pytest.mark.parametrize("cut", range(1, _HEAD + 9))
def test_what_a_kill_cut_off_is_gone_and_what_follows_is_whole(tmp_path: Path, cut: int) -> None:
    folder = tmp_path / "j"
    write(folder, b"first", b"second--")
    [file] = segments(folder)
    os.truncate(file, file.stat().st_size - cut)
    journal = Journal(folder)
    journal.append(b"third")
    expected = [b"first", b"third"] if cut <= _HEAD + 8 else []
    assert read_all(journal) == expected
    journal.close()


@pytest.mark.parametrize("at", [0, 5, 9, 12, 14])
def test_damage_in_the_middle_costs_the_record_it_hit_and_no_other(tmp_path: Path, at: int) -> None:
    folder = tmp_path / "j"
    write(folder, b"first", b"second", b"third")
    [file] = segments(folder)
    data = bytearray(file.read_bytes())
    data[_HEAD + len(b"first") + at] ^= 0xFF
    file.write_bytes(data)
    journal = Journal(folder)
    journal.append(b"fourth")
    assert read_all(journal) == [b"first", b"third", b"fourth"]
    journal.close()


def test_damage_in_an_older_segment_ends_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    records = [bytes([65 + number]) * 40 for number in range(8)]
    write(folder, *records, segment_bytes=100)
    first = segments(folder)[0]
    first.write_bytes(b"\x00" * first.stat().st_size)
    journal = Journal(folder, segment_bytes=100)
    assert read_all(journal) == records[2:]
    journal.close()


def test_damage_that_comes_while_it_is_open_does_not_stop_the_reader(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    journal = Journal(folder)
    journal.append(b"first")
    [file] = segments(folder)
    with file.open("r+b") as damaged:
        damaged.write(b"\x00" * file.stat().st_size)
    assert journal.read(START, 100) == ([], journal.end)
    journal.append(b"second")
    assert read_all(journal) == [b"second"]
    journal.close()


def test_a_position_in_the_middle_of_a_record_finds_the_next_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for record in (b"first", b"second"):
        journal.append(record)
    assert read_all(journal, Position(0, 3)) == [b"second"]
    journal.close()


def test_a_record_that_holds_the_mark_is_a_record_like_others(tmp_path: Path) -> None:
    records = [MARK, MARK * 3, b"x" + MARK + b"\x01\x00\x00\x00"]
    write(tmp_path / "j", *records)
    journal = Journal(tmp_path / "j")
    assert read_all(journal) == records
    journal.close()


def test_a_full_disk_keeps_nothing_of_the_record_and_everything_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(b"first")
    real = os.write

    def half(file: int, data: bytes) -> int:
        return real(file, data[: len(data) // 2])

    def fails(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for broken in (half, fails):
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", broken)
            with pytest.raises(OSError, match=r"takes no more bytes|No space left"):
                journal.append(b"lost")
    journal.append(b"second")
    assert read_all(journal) == [b"first", b"second"]
    journal.close()


def test_what_cannot_be_taken_back_is_left_behind_with_its_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(b"first")
    real = os.write

    def cut(file: int, data: bytes) -> int:
        return real(file, data[:-1])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", cut)
        patch.setattr(os, "ftruncate", _fails)
        with pytest.raises(OSError, match="takes no more bytes"):
            journal.append(b"lost")
    journal.append(b"second")
    assert read_all(journal) == [b"first", b"second"]
    journal.close()


def _fails(file: int, size: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.close()
    journal.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        journal.append(b"late")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=60), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 255)), max_size=3),
    st.integers(0, 2000),
)
def test_whatever_happens_to_the_file_reading_ends_and_makes_nothing_up(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[bytes],
    flips: list[tuple[int, int]],
    cut: int,
) -> None:
    folder = tmp_path_factory.mktemp("journal") / "j"
    write(folder, *records, segment_bytes=100)
    files = segments(folder)
    for at, bits in flips:
        file = files[at % len(files)]
        data = bytearray(file.read_bytes())
        if data:
            data[at % len(data)] ^= bits
            file.write_bytes(data)
    last = files[-1]
    os.truncate(last, min(cut, last.stat().st_size))
    journal = Journal(folder, segment_bytes=100)
    journal.append(b"the last")
    found = read_all(journal)
    assert found[-1] == b"the last"
    left = iter(records)
    assert all(record in left for record in found[:-1])
    journal.close()


_APPENDER = """
import sys
from pathlib import Path
from outcrop.journal.files import Journal
journal = Journal(Path(sys.argv[1]), segment_bytes=4096)
number = 0
while True:
    journal.append(str(number).encode() * 20)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


def test_what_was_appended_is_there_after_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    with subprocess.Popen(
        [sys.executable, "-c", _APPENDER, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(500)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
    journal = Journal(folder)
    found = read_all(journal)
    acknowledged = sum(line.endswith("\n") for line in told)
    assert len(found) in (acknowledged, acknowledged + 1)
    assert found == [str(number).encode() * 20 for number in range(len(found))]
    journal.close()


def test_what_was_appended_behind_an_end_is_left(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", segment_bytes=100)
    journal.append(b"a" * 90)
    end = journal.end
    for letter in (b"b", b"c"):
        journal.append(letter * 90)
    assert journal.read(START, 1000, end) == ([b"a" * 90], end)
    assert journal.read(end, 1000, end) == ([], end)
    assert journal.read(end, 1000)[0] == [b"b" * 90]
    journal.close()
