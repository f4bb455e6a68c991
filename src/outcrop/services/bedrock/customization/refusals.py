"""Why a customization job cannot go on, as its owner is told, and what is no reason to end it."""

from outcrop.errors import AWSError, ThrottlingException

_SERVER_ERROR = 500
_NOT_IMPLEMENTED = 501


class JobRefused(Exception):
    """It is the job's failure message: what is missing or wrong is its owner's to mend."""


def may_pass(error: AWSError) -> bool:
    """It says nothing about the job: asked later, the same may succeed."""
    if error.status == _NOT_IMPLEMENTED:
        # What the object store cannot keep it cannot keep later.
        return False
    return error.status >= _SERVER_ERROR or isinstance(error, ThrottlingException)
