"""Headers that travel in a presigned URL: S3 takes them from there, and the signature covers them.

SDKs put ``x-amz-`` headers of a presigned request into its query (``x-amz-acl``, checksums).
"""

from dataclasses import replace

from outcrop.security.canonical import query_pairs
from outcrop.wire.http import Request

_OF_THE_SIGNATURE = frozenset(
    {
        *("x-amz-algorithm", "x-amz-content-sha256", "x-amz-credential", "x-amz-date"),
        *("x-amz-expires", "x-amz-security-token", "x-amz-signature", "x-amz-signedheaders"),
    }
)
_PLAIN = frozenset({"content-md5", "content-type"})


def with_headers_of_query(request: Request) -> Request:
    """A header that was sent as one stays; the URL's is what was signed where there is none."""
    sent = {name for name, _ in request.headers}
    found = [
        (name.lower(), value)
        for name, value in query_pairs(request.raw_query)
        if _is_header(name.lower()) and name.lower() not in sent
    ]
    return replace(request, headers=(*request.headers, *found)) if found else request


def _is_header(name: str) -> bool:
    if name.startswith("x-amz-"):
        return name not in _OF_THE_SIGNATURE
    return name in _PLAIN
