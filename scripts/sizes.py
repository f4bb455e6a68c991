"""Fails when a file or class is too long for the house, or a waiver has no reason above it."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES = 400
WIRE_AND_TEST_LINES = 600
CLASS_LINES = 250
WAIVERS = ("# noqa", "# type: ignore", "# pyright: ignore")


def main() -> int:
    problems: list[str] = []
    for folder in ("src", "tests", "benchmarks", "scripts"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            problems += _problems(file)
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return bool(problems)


def _problems(file: Path) -> list[str]:
    name = file.relative_to(ROOT)
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    generous = name.parts[0] == "tests" or "wire" in name.parts
    limit = WIRE_AND_TEST_LINES if generous else FILE_LINES
    problems: list[str] = []
    if len(lines) > limit:
        problems.append(f"{name}: {len(lines)} lines, {limit} allowed: split it by noun")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.end_lineno is not None:
            size = node.end_lineno - node.lineno + 1
            if size > CLASS_LINES:
                what = f"class {node.name} has {size} lines"
                problems.append(f"{name}: {what}, {CLASS_LINES} allowed")
    for number, line in enumerate(lines):
        if any(waiver in line for waiver in WAIVERS) and file.name != "sizes.py":
            above = lines[number - 1].strip() if number else ""
            if not above.startswith("#"):
                problems.append(f"{name}:{number + 1}: a waiver needs its reason on the line above")
    return problems


if __name__ == "__main__":
    raise SystemExit(main())
