"""The operations that a request without a signature may ask for: the links in SNS's messages.

What they carry proves enough: a token that was sent to an endpoint, or a subscription's ARN.
"""

import re
from typing import Final
from urllib.parse import unquote_plus

from outcrop.identity import Caller, Principal
from outcrop.security.claim import is_presigned
from outcrop.wire.forms import form_text
from outcrop.wire.http import Request
from outcrop.wire.spec import Operation

_OPERATIONS: Final = frozenset({("sns", "ConfirmSubscription"), ("sns", "Unsubscribe")})
_ARN: Final = re.compile(r"(?:TopicArn|SubscriptionArn)=(arn[^&]{1,1024})")
_PLACE: Final = re.compile(r"arn:aws:sns:([a-z]{2,4}(?:-[a-z]+){1,3}-[0-9]{1,2}):([0-9]{12}):")


def find_anonymous(operation: Operation, request: Request) -> Caller | None:
    """Nobody, in the account and region of the topic: that is whose trail tells of it. None for
    who signs, and for every other operation."""
    if (operation.service.name, operation.name) not in _OPERATIONS:
        return None
    if request.header("authorization") is not None or is_presigned(request):
        return None
    named = _ARN.search(form_text(request))
    place = _PLACE.match(unquote_plus(named[1])) if named else None
    region, account = place.groups() if place else (None, "")
    return Caller(Principal(account, "anonymous", "*", "anonymous"), "", region, "none")
