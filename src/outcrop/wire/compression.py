"""Compressed request bodies, as the operations take them whose model says so (``gzip``).

The signature covers the bytes as sent, so a body is opened after it has been verified. What it
opens to is bounded like any other body.
"""

import zlib
from dataclasses import replace

from outcrop.errors import SerializationException, ValidationException
from outcrop.wire.http import Request
from outcrop.wire.parse import MAX_BODY_BYTES
from outcrop.wire.spec import Operation

_GZIP = "gzip"
_WITH_GZIP_HEADER = 16 + zlib.MAX_WBITS


def is_compressed(operation: Operation, request: Request) -> bool:
    """Elsewhere ``Content-Encoding`` is about what the body holds (an object of S3)."""
    taken = operation.raw.get("requestcompression", {}).get("encodings", ())
    return _GZIP in taken and (request.header("content-encoding") or "").strip().lower() == _GZIP


def decompressed(request: Request, max_bytes: int = MAX_BODY_BYTES) -> Request:
    """Never holds more than ``max_bytes``, whatever the body would open to."""
    reader = zlib.decompressobj(_WITH_GZIP_HEADER)
    try:
        body = reader.decompress(request.body, max_bytes + 1)
    except zlib.error as error:
        raise SerializationException("The request body is not valid gzip.") from error
    if len(body) > max_bytes:
        raise ValidationException(f"A decompressed body has at most {max_bytes} bytes.")
    if not reader.eof or reader.unused_data:
        raise SerializationException("The request body is not one whole gzip member.")
    return replace(request, body=body)
