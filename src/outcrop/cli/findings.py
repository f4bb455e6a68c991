"""What ``outcrop doctor`` finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """``mend`` is empty when all is well."""

    what: str
    mend: str = ""
