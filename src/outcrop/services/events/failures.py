"""Which failures of a delivery pass: what is refused for good goes to the dead letters at once."""

from outcrop.errors import AWSError
from outcrop.jobs.delivery import NotDelivered

_PASSING = ("AccessDenied", "AuthorizationError", "Throttl", "TooManyRequests", "KMS", "Kms")


class Refused(Exception):
    """Trying again would not help. ``code`` is for the dead letter."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def failure_of(code: str, status: int, message: str) -> NotDelivered | Refused:
    """A policy may be put right while the event is tried again; what is gone or malformed stays."""
    said = f"{code}: {message}"
    if status >= 500 or status in (403, 429) or any(word in code for word in _PASSING):
        return NotDelivered(said)
    return Refused(code, said)


def failure_of_ours(error: AWSError) -> NotDelivered | Refused:
    return failure_of(error.code, error.status, error.message)
