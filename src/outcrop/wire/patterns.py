"""Patterns of the models as whole matches in linear time.

RE2 runs them, so no input makes one backtrack. The few that RE2 cannot read (look-ahead, repeats
above 1,000) run on ``re``; a test lists them and holds them to time.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import re2

# The package ships no types.
_re2 = cast(Any, re2)
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")


@cache
def matcher(pattern: str) -> Callable[[str], object]:
    """A function that gives something true for a text the whole of which matches."""
    # AWS matches whole values: the recorded refusals show patterns without anchors at work.
    compiled = _linear(pattern) or re.compile(pattern)
    return cast(Callable[[str], object], compiled.fullmatch)


def _linear(pattern: str) -> Any:
    options = _re2.Options()
    options.log_errors = False
    try:
        # RE2 spells the model's \u00FF as \x{00FF}.
        return _re2.compile(_ESCAPE.sub(r"\\x{\1}", pattern), options)
    except _re2.error:
        return None


def is_linear(pattern: str) -> bool:
    return _linear(pattern) is not None
