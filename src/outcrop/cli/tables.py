"""Tables for people: what they copy out of one stands there whole, on one line, however narrow the
terminal is; only the columns of words are folded. Without a terminal a row is one line."""

import os
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_GAP: Final = 2
_FOLDED: Final = 24
"""Columns of a folded column, at least."""


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    folded: Collection[str] = (),
    *,
    figures: Collection[str] = (),
) -> None:
    """Cells are text, not markup: some hold what accounts wrote. ``figures`` stand to the right."""
    cells = [headings, *rows]
    console = Console()
    widths = [max(cell_len(row[number]) for row in cells) for number in range(len(headings))]
    if console.is_terminal or "COLUMNS" in os.environ:
        are_folded = [heading in folded for heading in headings]
        widths = _fitting(widths, are_folded, console.width)
    table = Table(box=None, pad_edge=False)
    for heading, width in zip(headings, widths, strict=True):
        side = "right" if heading in figures else "left"
        table.add_column(Text(heading), width=width, overflow="fold", justify=side)
    for row in cells[1:]:
        table.add_row(*map(Text, row))
    console.width = sum(widths) + _GAP * len(widths)
    console.print(table)


def _fitting(widths: Sequence[int], are_folded: Sequence[bool], columns: int) -> list[int]:
    """Folded columns share, from left to right, what the others leave of the terminal."""
    least = [
        min(width, _FOLDED) if is_folded else width
        for width, is_folded in zip(widths, are_folded, strict=True)
    ]
    left = max(0, columns - sum(least) - _GAP * len(least))
    fitting: list[int] = []
    for width, smallest in zip(widths, least, strict=True):
        fitting.append(smallest + min(left, width - smallest))
        left -= fitting[-1] - smallest
    return fitting
