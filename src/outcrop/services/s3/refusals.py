"""What the store refuses, in S3's words: its codes are kept where S3 has them, its texts never."""

import logging
import re
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, cast

from outcrop.errors import AWSError, ServiceError
from outcrop.objects.protocol import StoreAnswer

log = logging.getLogger(__name__)

_BODY_BYTES = 64 << 10
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")

_FAILED = "We encountered an internal error. Please try again."

# Codes and texts as S3's answers have them.
_TEXTS: Mapping[str, tuple[int, str]] = {
    "AccessDenied": (403, "Access Denied"),
    "BadDigest": (400, "The Content-MD5 you specified did not match what we received."),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty"),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed size"),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size"),
    "IncompleteBody": (
        400,
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    ),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidPart": (
        400,
        "One or more of the specified parts could not be found.  The part may not have been "
        "uploaded, or the specified entity tag may not match the part's entity tag.",
    ),
    "InvalidPartOrder": (
        400,
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    ),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidTag": (400, "The tag provided was not a valid tag. "),
    "KeyTooLongError": (400, "Your key is too long"),
    "MalformedXML": (
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchTagSet": (404, "The TagSet does not exist"),
    "NoSuchUpload": (
        404,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may "
        "have been aborted or completed.",
    ),
    "NoSuchVersion": (404, "The specified version does not exist."),
    "NotImplemented": (
        501,
        "A header you provided implies functionality that is not implemented",
    ),
    "PreconditionFailed": (
        412,
        "At least one of the pre-conditions you specified did not hold",
    ),
    "ServiceUnavailable": (503, "Reduce your request rate."),
    "SlowDown": (503, "Please reduce your request rate."),
}
# An answer to HEAD has no body: only its status tells.
_BY_STATUS = {
    400: "InvalidRequest",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    412: "PreconditionFailed",
    416: "InvalidRange",
}


async def read_refusal(answer: StoreAnswer, **members: Any) -> AWSError:
    """``members`` name what the request was about."""
    body = await read_start(answer)
    match = _CODE.search(body)
    code = match[1].decode() if match else _BY_STATUS.get(answer.status, "")
    if code not in _TEXTS:
        log.warning("the object store answered %d %s", answer.status, code or body[:200])
        return ServiceError("InternalError", _FAILED, status=500)
    status, text = _TEXTS[code]
    return ServiceError(code, text, status=status, **members)


async def read_start(answer: StoreAnswer) -> bytes:
    body = b""
    async with aclosing(cast(Any, answer.body)) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) > _BODY_BYTES:
                break
    return body[:_BODY_BYTES]


def unreachable(reason: object) -> AWSError:
    """What is wrong with a store is the operator's to know, except what it takes to have one."""
    return ServiceError("ServiceUnavailable", str(reason), status=503)
