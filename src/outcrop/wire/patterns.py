"""Patterns of the models as whole matches in linear time.

RE2 runs them, so no input makes one backtrack. The few that RE2 cannot read (look-ahead, repeats
above 1,000) run on ``re``; a test lists them and holds them to time.
"""

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, cast

import re2

# The package ships no types.
_re2 = cast(Any, re2)
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")


_MAX_CACHED_CHARS = 256


def fits(pattern: str, text: str) -> bool:
    """The whole of ``text`` matches. AWS matches whole values: the recorded refusals show patterns
    without anchors at work."""
    if len(text) <= _MAX_CACHED_CHARS:
        return _fits_cached(pattern, text)
    return _fits(pattern, text)


def _fits(pattern: str, text: str) -> bool:
    try:
        return bool(_fullmatch(pattern)(text))
    except UnicodeError:
        # A header that is no valid text holds lone surrogates, which RE2 cannot read.
        return False


# The same identifiers come again and again.
_fits_cached = lru_cache(maxsize=4096)(_fits)


@cache
def _fullmatch(pattern: str) -> Callable[[str], object]:
    compiled = _linear(pattern) or re.compile(pattern)
    return cast(Callable[[str], object], compiled.fullmatch)


def _linear(pattern: str) -> Any:
    options = _re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        # RE2 spells the model's \u00FF as \x{00FF}.
        return _re2.compile(_ESCAPE.sub(r"\\x{\1}", pattern), options)
    except _re2.error:
        return None


def is_linear(pattern: str) -> bool:
    return _linear(pattern) is not None
