"""RE2 for patterns that clients write: linear time, bounded memory."""

from typing import Any, Final

import re2

# The package has no types: its values are typed where they enter.
_RE2: Final[Any] = re2
_MAX_PROGRAM_BYTES: Final = 1 << 20


class InvalidRegex(Exception):
    pass


def compile_regex(source: str, *, ignore_case: bool = False, dot_all: bool = False) -> Any:
    """Raises ``InvalidRegex``."""
    options = _RE2.Options()
    options.log_errors = False
    options.max_mem = _MAX_PROGRAM_BYTES
    options.case_sensitive = not ignore_case
    options.dot_nl = dot_all
    try:
        return _RE2.compile(source, options=options)
    except (_RE2.error, UnicodeError) as error:
        raise InvalidRegex(source) from error


def escape(text: str) -> str:
    return _RE2.escape(text)
