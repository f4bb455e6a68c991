"""Where the certificate is that SNS signs with, for anyone who checks a message."""

from typing import Final

from outcrop.stores.opened import Stores
from outcrop.topics.certificates import PATH, certificate_path, find_signing_key
from outcrop.wire.http import Request, Response

_METHODS: Final = ("GET", "HEAD")


async def find_certificate(request: Request, stores: Stores) -> Response | None:
    """None where the path is not below SNS's."""
    if not request.raw_path.startswith(PATH):
        return None
    key = await find_signing_key(stores)
    if (
        key is None
        or request.method not in _METHODS
        or request.raw_path != certificate_path(key.certificate)
    ):
        return Response(404, {"Content-Type": "text/plain; charset=utf-8"}, b"Not found.\n")
    body = key.certificate if request.method == "GET" else b""
    return Response(200, {"Content-Type": "application/x-pem-file"}, body)
