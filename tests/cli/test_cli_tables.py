"""Tables on terminals of any width, and without one."""

import pytest

from outcrop.cli.tables import print_table

ID = "89430ad1d0424555ace097f9710dfe97Qb5SPHhb"
HEADINGS = ("ID", "Region", "Quota", "Now")
QUOTA = "On-demand InvokeModel requests per minute for Anthropic Claude 3 Haiku"
ROWS = [(ID, "ap-northeast-1", QUOTA, "1,000"), ("8b", "us-east-1", "[bold]", "2")]


@pytest.mark.parametrize("columns", [1, 40, 80, 100, 300])
def test_what_is_not_folded_stands_whole_on_one_line(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(HEADINGS, ROWS, folded=["Quota"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines if ID in line] == [[ID, "ap-northeast-1"]]
    assert [line for line in lines if line[0] == "8b"] == [["8b", "us-east-1", "[bold]", "2"]]
    words = " ".join(word for line in lines for word in line)
    assert all(word in words for word in QUOTA.split())


def test_words_are_folded_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    print_table(HEADINGS, ROWS, folded=["Quota"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= 100


def test_without_a_terminal_a_row_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table(HEADINGS, ROWS, folded=["Quota"])
    told = capsys.readouterr().out
    assert len(told.splitlines()) == 3
    assert f"{ID}  ap-northeast-1  {QUOTA}  1,000" in told


def test_figures_stand_to_the_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_table(("Name", "Sum"), [("a", "1"), ("b", "1,000")], figures=["Sum"])
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "Name    Sum",
        "a         1",
        "b     1,000",
    ]
