"""RE2 for patterns that clients write: linear time, bounded memory."""

from typing import Any, Final

import re2

# The package has no types: its values are typed where they enter.
_RE2: Final[Any] = re2
_MAX_MEMORY_BYTES: Final = 1 << 20
_MAX_INSTRUCTIONS: Final = 1000
"""RE2 may look at each for each character of an event, of which there are a million."""


class InvalidRegex(Exception):
    pass


def compile_regex(source: str, *, ignore_case: bool = False) -> Any:
    """Raises ``InvalidRegex``."""
    options = _RE2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY_BYTES
    options.case_sensitive = not ignore_case
    try:
        regex = _RE2.compile(source, options=options)
    except (_RE2.error, UnicodeError) as error:
        raise InvalidRegex(source) from error
    if regex.programsize > _MAX_INSTRUCTIONS:
        raise InvalidRegex(source)
    return regex


def escape(text: str) -> str:
    return _RE2.escape(text)
