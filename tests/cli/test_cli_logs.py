"""``outcrop logs tail``: the last requests, filtered, and what comes after them."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from typer.testing import CliRunner

from outcrop.cli.app import build
from outcrop.cli.request_lines import Follower, read_last, wants
from outcrop.server.request_log import Line, log_files

RUN = CliRunner()


def line(number: int, **fields: object) -> Line:
    base = Line(
        time="2026-01-01T00:00:00.000Z",
        request_id=f"id-{number}",
        account="123456789012",
        region="us-east-1",
        principal="arn:aws:iam::123456789012:user/ann",
        service="bedrock-runtime",
        operation="InvokeModel",
        model="anthropic.claude-v2",
        engine="script",
        input_tokens=3,
        output_tokens=5,
        latency_ms=1500,
        status=200,
        error_code="",
    )
    return msgspec.structs.replace(base, **fields)


def write(path: Path, *found: Line) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for one in found:
            file.write(msgspec.json.encode(one) + b"\n")


def ids(found: Iterator[tuple[bytes, Line]] | list[tuple[bytes, Line]]) -> list[str]:
    return [one.request_id for _, one in found]


def tail(data_dir: Path, *options: str) -> str:
    result = RUN.invoke(build(["logs"]), ["logs", "tail", "--data-dir", str(data_dir), *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_last_lines_come_oldest_first_across_files(tmp_path: Path) -> None:
    newest, older, oldest = log_files(tmp_path)[:3]
    write(oldest, line(1), line(2))
    write(older, line(3))
    write(newest, line(4), line(5))
    rows = tail(tmp_path, "-n", "4").splitlines()
    assert [row.rpartition("  ")[2] for row in rows] == ["id-2", "id-3", "id-4", "id-5"]
    assert rows[0] == (
        "2026-01-01T00:00:00.000Z  200  bedrock-runtime.InvokeModel  1.5 s  anthropic.claude-v2  "
        "3+5 tokens  by script  arn:aws:iam::123456789012:user/ann  id-2"
    )


def test_json_is_the_line_itself(tmp_path: Path) -> None:
    write(log_files(tmp_path)[0], line(1))
    assert msgspec.json.decode(tail(tmp_path, "--json"), type=Line) == line(1)


def test_errors_and_models_are_picked_out(tmp_path: Path) -> None:
    write(
        log_files(tmp_path)[0],
        line(1),
        line(2, status=429, error_code="ThrottlingException"),
        line(3, status=200, error_code="ModelStreamErrorException"),
        line(4, model="meta.llama3-8b-instruct-v1:0", status=500),
    )
    wanted = tail(tmp_path, "--errors", "--model", "anthropic.*").splitlines()
    assert [row.rpartition("  ")[2] for row in wanted] == ["id-2", "id-3"]


def test_no_log_is_no_lines(tmp_path: Path) -> None:
    tmp_path.joinpath("data").mkdir()
    assert tail(tmp_path / "data") == ""


def test_names_that_callers_chose_move_no_cursor(tmp_path: Path) -> None:
    write(log_files(tmp_path)[0], line(1, model="\x1b[2Jgone\r\n"))
    assert "\x1b" not in tail(tmp_path)
    assert len(tail(tmp_path).splitlines()) == 1


def test_json_moves_no_cursor_either_and_says_the_same(tmp_path: Path) -> None:
    # As one character and as two; text from right to left; none of the basic plane.
    model = "\x9b2J\x1b[2J\x7f\u202e\U000e0001é"
    write(log_files(tmp_path)[0], line(1, model=model))
    shown = tail(tmp_path, "--json").removesuffix("\n")
    assert shown.isprintable()
    assert msgspec.json.decode(shown, type=Line) == line(1, model=model)


def test_what_comes_is_followed_through_a_rotation(tmp_path: Path) -> None:
    newest, older = log_files(tmp_path)[:2]
    write(newest, line(1))
    follower = Follower(newest, wants(None, errors=False))
    assert ids(follower.take()) == []
    write(newest, line(2))
    assert ids(follower.take()) == ["id-2"]
    write(newest, line(3))
    newest.replace(older)
    write(newest, line(4))
    assert ids(follower.take()) == ["id-3", "id-4"]
    write(newest, line(5))
    assert ids(follower.take()) == ["id-5"]
    follower.close()


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    newest = log_files(tmp_path)[0]
    write(newest, line(1))
    follower = Follower(newest, wants(None, errors=False))
    raw = msgspec.json.encode(line(2)) + b"\n"
    for part, expected in ((raw[:20], []), (raw[20:], ["id-2"])):
        with newest.open("ab") as file:
            file.write(part)
        assert ids(follower.take()) == expected
    follower.close()


def test_following_begins_before_there_is_a_log(tmp_path: Path) -> None:
    newest = log_files(tmp_path)[0]
    follower = Follower(newest, wants(None, errors=False))
    assert ids(follower.take()) == []
    write(newest, line(1))
    assert ids(islice(follower.follow(), 1)) == ["id-1"]
    follower.close()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=20), st.integers(min_value=0, max_value=5))
def test_damage_hides_no_whole_line(
    tmp_path_factory: pytest.TempPathFactory, junk: list[bytes], most: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "requests.jsonl"
    with path.open("wb") as file:
        for number, piece in enumerate(junk):
            file.write(piece.replace(b"\n", b"") + b"\n")
            file.write(msgspec.json.encode(line(number, principal="p" * 30_000)) + b"\n")
    found = ids(read_last([path], most, wants(None, errors=False)))
    assert found == [f"id-{number}" for number in range(len(junk))][-most:] * (most > 0)
    os.unlink(path)
