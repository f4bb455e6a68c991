"""Where in a rendered prompt the last cache point is.

A template may put texts anywhere, so each cache point is rendered as a mark that no caller can
guess; the marks are taken out of the segments again.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace

from outcrop.generation import CachePoint, Generation
from outcrop.prompting.templates import Segment


def has_cache_points(generation: Generation) -> bool:
    return bool(generation.cached) or any(
        isinstance(part, CachePoint) for turn in generation.turns for part in turn.parts
    )


def new_mark(generation: Generation) -> str:
    """Empty where nothing needs marking."""
    return f"\ue0f2{secrets.token_hex(8)}\ue0f2" if has_cache_points(generation) else ""


def take_out(
    segments: Sequence[Segment], mark: str
) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """The segments without the marks, and those up to the last mark: none, where there is none."""
    if not mark:
        return tuple(segments), ()
    clean = tuple(_without(one, mark) for one in segments)
    for index in range(len(segments) - 1, -1, -1):
        before, found, _ = segments[index].text.rpartition(mark)
        if found:
            last = Segment(before.replace(mark, ""), segments[index].special)
            return clean, (*clean[:index], last)
    return clean, ()


def _without(segment: Segment, mark: str) -> Segment:
    def place(at: int) -> int:
        return len(segment.text[:at].replace(mark, ""))

    said = tuple((place(start), place(end)) for start, end in segment.said)
    return replace(segment, text=segment.text.replace(mark, ""), said=said)
