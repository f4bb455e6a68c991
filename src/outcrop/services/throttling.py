"""A rate that is exceeded, in AWS's words, with the time to wait for SDKs that read it."""

import math
from typing import Final

from outcrop.errors import ThrottlingException
from outcrop.quotas.limiter import LimitExceeded

_REQUESTS: Final = "Too many requests, please wait before trying again."
_TOKENS: Final = "Too many tokens, please wait before trying again."


def throttling_error(error: LimitExceeded) -> ThrottlingException:
    refusal = ThrottlingException(_REQUESTS if error.charge.unit == "requests" else _TOKENS)
    if error.retry_after_s is not None:
        refusal.headers["x-amz-retry-after"] = str(math.ceil(error.retry_after_s * 1000))
    return refusal
