"""The URLs of queues: ``…/<account>/<name>``. Only their end counts: whoever came here by one name
of the host may go on by another."""

import re
from typing import Final

_END: Final = re.compile(r"(?:^|/)([0-9]{12})/([A-Za-z0-9_-]{1,80}(?:\.fifo)?)/?$", re.ASCII)
_MAX_CHARACTERS: Final = 2048


def find_queue_name(url: str) -> tuple[str, str] | None:
    """Account and name; None where it is no queue's URL."""
    found = _END.search(url) if len(url) <= _MAX_CHARACTERS else None
    return (found[1], found[2]) if found else None
