"""Presigned URLs of S3 in Signature Version 2, which boto3 still makes for us-east-1.

The signature covers the path, the ``x-amz-`` headers and parameters, and of the query the names
listed here; whatever else could change what the request does is refused.
Source: "Signing and authenticating REST requests" of the S3 user guide.
"""

import base64
import hmac
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import unquote

from outcrop.errors import InvalidSignatureException, ServiceError
from outcrop.identity import AccessKey, CredentialLookup, PayloadProof
from outcrop.security.canonical import query_pairs
from outcrop.security.sigv4 import UNSIGNED_PAYLOAD, check_s3_hash, get_key
from outcrop.wire.hosts import HostNames
from outcrop.wire.http import Request
from outcrop.wire.spec import load_service

_OWN = frozenset({"AWSAccessKeyId", "Signature", "Expires"})
_SIGNED = frozenset(
    {
        *("accelerate", "acl", "analytics", "cors", "delete", "inventory", "lifecycle", "location"),
        *("logging", "metrics", "notification", "object-lock", "partNumber", "policy"),
        *("replication", "requestPayment", "restore", "select", "select-type", "tagging"),
        *("torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website"),
        *("response-cache-control", "response-content-disposition", "response-content-encoding"),
        *("response-content-language", "response-content-type", "response-expires"),
    }
)
_HARMLESS = frozenset(
    {
        *("continuation-token", "delimiter", "encoding-type", "fetch-owner", "key-marker"),
        *("list-type", "marker", "max-keys", "max-parts", "part-number-marker", "prefix"),
        *("start-after", "upload-id-marker", "version-id-marker", "x-id"),
    }
)
"""Unsigned: which part of a list is asked for."""

_HEADERS = ("content-md5", "content-type")
_EXPIRES = re.compile(r"[0-9]{1,12}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def is_presigned_v2(request: Request) -> bool:
    return "AWSAccessKeyId=" in request.raw_query and any(
        name == "AWSAccessKeyId" for name, _ in query_pairs(request.raw_query)
    )


def verify_v2(
    request: Request, lookup: CredentialLookup, now: datetime
) -> tuple[AccessKey, PayloadProof]:
    """The key that signed, and what it says of the body."""
    fields = _fields(request)
    key_id, signature, expires = (
        fields[name] for name in ("AWSAccessKeyId", "Signature", "Expires")
    )
    if not _EXPIRES.fullmatch(expires):
        raise _denied(f"Invalid date (should be seconds since epoch): {expires[:64]}")
    key = get_key(key_id, _covered(request, fields).get("x-amz-security-token"), lookup, now)
    if _EPOCH + timedelta(seconds=int(expires)) <= now:
        raise _denied("Request has expired")
    covered = _covered(request, fields)
    lines = "".join(f"{name}:{covered[name]}\n" for name in sorted(covered) if name not in _HEADERS)
    plain = "\n".join(covered.get(name, "") for name in _HEADERS)
    text = f"{request.method}\n{plain}\n{expires}\n{lines}{_resource(request)}"
    computed = base64.b64encode(
        hmac.digest(key.secret.encode(), text.encode("utf-8", "surrogateescape"), "sha1")
    )
    if not hmac.compare_digest(computed, signature.encode("utf-8", "surrogateescape")):
        raise InvalidSignatureException("The signature of version 2 does not match.")
    return key, _payload(covered.get("x-amz-content-sha256"), request)


def _fields(request: Request) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in query_pairs(request.raw_query):
        if name in fields:
            raise _denied(f"The parameter {name[:64]!r} must be sent only once.")
        if not (name in _OWN or name in _SIGNED or name in _HARMLESS or _is_header(name)):
            raise _denied(
                f"A signature of version 2 does not cover the parameter {name[:64]!r}. "
                "Sign with AWS4-HMAC-SHA256."
            )
        fields[name] = value
    if not fields.keys() >= _OWN:
        raise _denied(
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId "
            "parameters"
        )
    return fields


def _is_header(name: str) -> bool:
    return name.lower().startswith("x-amz-") or name.lower() in _HEADERS


def _covered(request: Request, fields: dict[str, str]) -> dict[str, str]:
    """The headers that are signed, wherever they were sent."""
    covered = {name.lower(): value.strip() for name, value in fields.items() if _is_header(name)}
    sent: dict[str, str] = {}
    for name, value in request.headers:
        if _is_header(name):
            sent[name] = f"{sent[name]},{value.strip()}" if name in sent else value.strip()
    return covered | sent


def _resource(request: Request) -> str:
    bucket = _hosts().find(request.host).bucket
    path = request.raw_path if bucket is None else f"/{bucket}{request.raw_path}"
    fields = [field.partition("=") for field in request.raw_query.split("&")]
    signed = sorted(
        (name, equals, unquote(value)) for name, equals, value in fields if name in _SIGNED
    )
    query = "&".join("".join(each) for each in signed)
    return f"{path}?{query}" if query else path


@cache
def _hosts() -> HostNames:
    """As the router reads them: a signature for one bucket must not be read as another's."""
    return HostNames([load_service("s3")])


def _payload(declared: str | None, request: Request) -> PayloadProof:
    if declared is None or declared == UNSIGNED_PAYLOAD:
        return PayloadProof("unsigned")
    if not _SHA256.fullmatch(declared):
        raise _denied("A signature of version 2 has no payload that is signed in chunks.")
    if request.incoming is None:
        check_s3_hash(declared, request.body)
    return PayloadProof("hash", declared)


def _denied(message: str) -> ServiceError:
    return ServiceError("AccessDenied", message, status=403)
