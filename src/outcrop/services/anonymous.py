"""The operations that a request without a signature may ask for: the links in SNS's messages.

What they carry proves enough: a token that was sent to an endpoint, or a subscription's ARN.
"""

import re
from typing import Final

from outcrop.identity import Caller, Principal
from outcrop.security.claim import is_presigned
from outcrop.wire.forms import form_text, parse_query
from outcrop.wire.http import Request
from outcrop.wire.spec import Operation

_OPERATIONS: Final = {"ConfirmSubscription": "TopicArn", "Unsubscribe": "SubscriptionArn"}
"""Of SNS, with the parameter that says in whose account it is."""
_LARGEST_FORM: Final = 16 * 1024
_PLACE: Final = re.compile(r"arn:aws:sns:([a-z]{2,4}(?:-[a-z]+){1,3}-[0-9]{1,2}):([0-9]{12}):")


def find_anonymous(operation: Operation, request: Request) -> Caller | None:
    """Nobody, in the account and region of the topic: that is whose trail tells of it. None for
    who signs, and for every other operation."""
    if operation.service.name != "sns" or operation.name not in _OPERATIONS:
        return None
    if request.header("authorization") is not None or is_presigned(request):
        return None
    if len(form_text(request)) > _LARGEST_FORM:
        return None
    # As the handler will read it: no other text of the form names an account.
    params = parse_query(operation, request, {})
    place = _PLACE.match(params.get(_OPERATIONS[operation.name], ""))
    region, account = place.groups() if place else (None, "")
    return Caller(Principal(account, "anonymous", "*", "anonymous"), "", region, "none")
