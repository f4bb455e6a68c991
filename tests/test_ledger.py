"""docs/requirements.md: each test it names exists, and no demand of its chapters is left out."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
DEMANDS = (ROOT.parent / "shared" / "requirements.md").read_text(encoding="utf-8")
COVERED, NOT_COVERED = PAGE.split("\n## Not covered\n")
# AP-24 and IP-77 to IP-81 are images.
IMAGES = {"AP-24", *(f"IP-{number}" for number in range(77, 82))}
# Models, billing, credentials.
OVERVIEW = {f"OV-{number:02}" for number in (1, 3, *range(7, 15), *range(16, 24))}
# What knowledge bases and agents need of the account before they are there themselves.
ROLES = {
    *(f"KB-{number:02}" for number in range(6, 17)),
    *(f"AG-{number:02}" for number in range(8, 14)),
}

_ROW = re.compile(r"^\| ([A-Z]{2}-\d{2}) \| ([^|]+) \| (.+) \|$", re.MULTILINE)
PROOFS = [(row[0], proof) for row in _ROW.findall(COVERED) for proof in row[2].split("<br>")]


def ids(text: str) -> list[str]:
    return [row[0] for row in _ROW.findall(text)]


KNOWN = re.findall(r"^\| ([A-Z]{2}-\d{2}) \|", DEMANDS, re.MULTILINE)
WHOLE = (
    *("MA", "ST", "AP", "IP", "EM", "CM", "PT", "IA", "TG"),
    *("SE", "RI", "MO", "PL", "QU", "SU", "XR", "RG"),
)
COUNTS = (39, 33, 44, 76, 6, 82, 54, 18, 16, 71, 5, 45, 11, 26, 13, 6, 6)
WANTED = OVERVIEW | ROLES | {each for each in {*KNOWN} - IMAGES if each[:2] in WHOLE}


@cache
def functions_of(file: Path) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Of a module: its tests, and what they ask."""
    return {
        node.name: node
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize(("demand", "proof"), PROOFS)
def test_the_test_that_proves_a_demand_exists_and_asserts(demand: str, proof: str) -> None:
    named = re.fullmatch(r"`(tests/[\w/]+/test_\w+\.py)::(test_\w+)`", proof)
    assert named, f"{demand}: {proof}"
    assert (ROOT / named[1]).exists(), f"{demand}: {proof}"
    found = functions_of(ROOT / named[1]).get(named[2])
    assert found, f"{demand}: {proof}"
    names = {node.id for node in ast.walk(found) if isinstance(node, ast.Name)}
    asked = map(functions_of(ROOT / named[1]).get, names)
    assert any(map(_judges, [found, *asked])), f"{demand}: {proof} asserts nothing"


def _judges(function: ast.AST | None) -> bool:
    """An assertion, an expected error, or a call of a function that is named for them."""
    return function is not None and any(
        isinstance(node, ast.Assert) or _name(node) == "raises" or _name(node).startswith("_assert")
        for node in ast.walk(function)
    )


def _name(node: ast.AST) -> str:
    return getattr(node, "attr", None) or getattr(node, "id", None) or ""


def test_every_demand_of_the_chapters_is_covered_or_said_not_to_be() -> None:
    assert {*ids(COVERED), *ids(NOT_COVERED)} == WANTED
    wanted = [sum(one.startswith(chapter) for one in WANTED) for chapter in WHOLE]
    assert tuple(wanted) == COUNTS
    assert len(WANTED) == sum(COUNTS) + len(OVERVIEW) + len(ROLES)
    assert (len(OVERVIEW), len(ROLES)) == (18, 17)


def test_a_demand_stands_once_in_each_list_and_in_order() -> None:
    for listed in (ids(COVERED), ids(NOT_COVERED)):
        assert listed == sorted(set(listed), key=KNOWN.index)


def test_every_row_of_the_page_is_read() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| [A-Z]{2}", line)]
    heads = [line for line in rows if line.startswith("| ID |")]
    assert len(rows) - len(heads) == len(ids(COVERED)) + len(ids(NOT_COVERED))
