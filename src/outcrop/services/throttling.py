"""A rate that is exceeded, in AWS's words, with the time to wait for the SDKs that read it.

Of botocore and the SDK for JavaScript the milliseconds are read, by the latter and by others
``retry-after`` in whole seconds: the first of the two counts.
"""

from typing import Final

from outcrop.errors import ThrottlingException
from outcrop.quotas.limiter import LimitExceeded

_REQUESTS: Final = "Too many requests, please wait before trying again."
_TOKENS: Final = "Too many tokens, please wait before trying again."


def throttling_error(error: LimitExceeded) -> ThrottlingException:
    """Without a time where waiting does not help."""
    refusal = ThrottlingException(_REQUESTS if error.charge.unit == "requests" else _TOKENS)
    if error.retry_after_s is not None:
        # Whole microseconds first: a float like 1.1 is a little more than that.
        wait_us = round(error.retry_after_s * 1e6)
        refusal.headers["x-amz-retry-after"] = str(-(-wait_us // 1000))
        refusal.headers["retry-after"] = str(-(-wait_us // 1_000_000))
    return refusal
