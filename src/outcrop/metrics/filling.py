"""Values where a line has none: the last one again, or on the way from one to the next."""

from collections.abc import Iterable, Mapping


def repeated(values: Mapping[int, float], times: Iterable[int]) -> dict[int, float]:
    filled: dict[int, float] = {}
    last: float | None = None
    for at_s in times:
        last = values.get(at_s, last)
        if last is not None:
            filled[at_s] = last
    return filled


def linear(values: Mapping[int, float], times: Iterable[int]) -> dict[int, float]:
    """Straight from value to value; before the first and after the last there is nothing."""
    filled: dict[int, float] = {}
    before: int | None = None
    waiting: list[int] = []
    for at_s in times:
        if at_s not in values:
            waiting.append(at_s)
            continue
        if before is not None:
            rise = (values[at_s] - values[before]) / (at_s - before)
            filled |= {each: values[before] + rise * (each - before) for each in waiting}
        filled[at_s] = values[at_s]
        before, waiting = at_s, []
    return filled
