"""Signature Version 4: is this request signed by the key it names, now, for this service?

Every refusal is AWS's own error; a signature is compared in constant time.
Sources: AWS's signing reference, the published vectors, answers recorded from the real service.
"""

import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256

from outcrop.errors import (
    ExpiredTokenException,
    InvalidSignatureException,
    NotImplementedException,
    ServiceError,
    UnrecognizedClientException,
)
from outcrop.identity import AccessKey, CredentialLookup, PayloadKind, PayloadProof
from outcrop.security.canonical import PRESIGNED, canonical_headers, canonical_resources
from outcrop.security.claim import ALGORITHM, Claim
from outcrop.wire.http import Request

CLOCK_SKEW = timedelta(minutes=5)
S3_CLOCK_SKEW = timedelta(minutes=15)
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
STREAMED_PAYLOADS: Mapping[str, PayloadKind] = {
    UNSIGNED_PAYLOAD: "unsigned",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": "unsigned-trailer",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": "chunks",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": "chunks-trailer",
}
"""What ``x-amz-content-sha256`` may say instead of a hash."""

_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details."
)
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_HEX_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_BASIC = "%Y%m%dT%H%M%SZ"


def verify(
    request: Request,
    claim: Claim,
    *,
    signing_name: str,
    lookup: CredentialLookup,
    now: datetime,
    unsigned_payload: bool = False,
    unsigned_query: frozenset[str] = frozenset(),
) -> AccessKey:
    """The key that signed. ``unsigned_payload`` says the operation takes UNSIGNED-PAYLOAD;
    ``unsigned_query`` names query parameters that the client adds after signing."""
    # An unknown key is refused before any hashing: the error itself says that it is unknown.
    key = get_key(claim.key_id, claim.session_token, lookup, now)
    _check_scope(claim, signing_name)
    _check_signed_headers(request, claim)
    is_s3 = signing_name == "s3"
    _check_time(claim, now, is_s3)
    payload = _signed_payload(request, claim, unsigned_payload or is_s3, is_s3)
    tail = (
        f"{canonical_headers(request, claim.signed_headers)}\n"
        f"{';'.join(claim.signed_headers)}\n{payload}"
    )
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    head = f"{ALGORITHM}\n{claim.timestamp}\n{scope}\n"
    signing = signing_key(key.secret, claim.date, claim.region, claim.service)
    claimed = claim.signature.encode("utf-8", "surrogateescape")
    unsigned = unsigned_query if claim.expires_s is None else unsigned_query | PRESIGNED
    for path, query in canonical_resources(request, encode_twice=not is_s3, unsigned=unsigned):
        canonical = f"{request.method}\n{path}\n{query}\n{tail}"
        digest = sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
        computed = hmac.digest(signing, (head + digest).encode(), "sha256").hex().encode()
        if hmac.compare_digest(computed, claimed):
            return key
    raise InvalidSignatureException(_MISMATCH)


def payload_proof(claim: Claim, key: AccessKey) -> PayloadProof:
    """What a claim that ``verify`` has confirmed says of a body that is yet to be read."""
    declared = claim.content_sha256 or UNSIGNED_PAYLOAD
    kind = STREAMED_PAYLOADS.get(declared, "hash")
    if kind in ("hash", "unsigned"):
        return PayloadProof(kind, declared if kind == "hash" else "")
    return PayloadProof(
        kind,
        signature=claim.signature,
        key=signing_key(key.secret, claim.date, claim.region, claim.service),
        timestamp=claim.timestamp,
        scope=f"{claim.date}/{claim.region}/{claim.service}/aws4_request",
    )


@lru_cache(maxsize=1024)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """Derived once a key, day, region and service; the scope is checked before it comes here."""
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def get_key(
    key_id: str, session_token: str | None, lookup: CredentialLookup, now: datetime
) -> AccessKey:
    """The key of that ID, which may sign now."""
    if session_token:
        key = lookup.find_session_key(key_id, session_token)
    else:
        key = lookup.find_access_key(key_id)
    if key is None or key.status != "Active":
        raise UnrecognizedClientException("The security token included in the request is invalid.")
    if key.expires_at is not None and key.expires_at <= now:
        raise ExpiredTokenException("The security token included in the request is expired")
    return key


def _check_scope(claim: Claim, signing_name: str) -> None:
    if not _REGION.fullmatch(claim.region):
        raise InvalidSignatureException("Credential should be scoped to a valid region. ")
    if claim.service != signing_name:
        raise InvalidSignatureException(
            f"Credential should be scoped to correct service: '{signing_name}'. "
        )


def _check_signed_headers(request: Request, claim: Claim) -> None:
    """Host and every ``x-amz-`` header must be signed (AWS's reference, "create a signed request").

    Content-Type need not: the reference asks for it, the services do not, and awscurl omits it.
    The session token need not either (vector post-sts-header-after): it opens for its key only.
    """
    signed = claim.signed_headers
    if "host" not in signed and ":authority" not in signed:
        raise InvalidSignatureException(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
        )
    for name, _ in request.headers:
        if name.startswith("x-amz-") and name not in signed and name != "x-amz-security-token":
            raise InvalidSignatureException(
                f"'{name}' must be a 'SignedHeader' in the AWS Authorization."
            )


def _check_time(claim: Claim, now: datetime, is_s3: bool) -> None:
    skew = S3_CLOCK_SKEW if is_s3 else CLOCK_SKEW
    if claim.time > now + skew:
        latest = (now + skew).strftime(_BASIC)
        raise InvalidSignatureException(
            f"Signature not yet current: {claim.timestamp} is still later than {latest} "
            f"({now.strftime(_BASIC)} + {_duration(skew)})"
        )
    lifetime = skew if claim.expires_s is None else timedelta(seconds=claim.expires_s)
    if claim.time < now - lifetime:
        if is_s3 and claim.expires_s is not None:
            raise ServiceError("AccessDenied", "Request has expired", status=403)
        earliest = (now - lifetime).strftime(_BASIC)
        raise InvalidSignatureException(
            f"Signature expired: {claim.timestamp} is now earlier than {earliest} "
            f"({now.strftime(_BASIC)} - {_duration(lifetime)})"
        )


def _duration(lifetime: timedelta) -> str:
    minutes, seconds = divmod(int(lifetime.total_seconds()), 60)
    return f"{minutes} min." if not seconds else f"{minutes * 60 + seconds} sec."


def _signed_payload(request: Request, claim: Claim, unsigned_payload: bool, is_s3: bool) -> str:
    """What the signature covers in place of the body: usually its hash."""
    declared = claim.content_sha256
    if is_s3:
        declared = _declared_by_s3(claim)
        if request.incoming is not None:
            return declared
    if declared == UNSIGNED_PAYLOAD and unsigned_payload:
        return UNSIGNED_PAYLOAD
    if declared is not None and declared.startswith("STREAMING-"):
        raise NotImplementedException(
            f"A payload signed in chunks ({declared[:64]}) is not supported by this operation. "
            "Sign the whole payload instead."
        )
    if is_s3 and declared is not None:
        check_s3_hash(declared, request.body)
        return declared
    actual = sha256(request.body).hexdigest()
    if declared is not None and declared != actual:
        raise InvalidSignatureException(_MISMATCH)
    return actual


def check_s3_hash(declared: str, body: bytes) -> None:
    actual = sha256(body).hexdigest()
    if declared != actual:
        raise ServiceError(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
            status=400,
            ClientComputedContentSHA256=declared,
            S3ComputedContentSHA256=actual,
        )


def _declared_by_s3(claim: Claim) -> str:
    """S3 wants every request to say how its body is signed; a presigned URL leaves it open."""
    declared = claim.content_sha256
    if declared is None and claim.expires_s is not None:
        return UNSIGNED_PAYLOAD
    if declared is None:
        raise ServiceError(
            "InvalidRequest",
            "Missing required header for this request: x-amz-content-sha256",
            status=400,
        )
    if declared.startswith("STREAMING-AWS4-ECDSA-"):
        raise NotImplementedException(
            f"Outcrop does not verify signatures with elliptic curves ({declared[:64]}). "
            "Sign with AWS4-HMAC-SHA256."
        )
    if declared not in STREAMED_PAYLOADS and not _HEX_SHA256.fullmatch(declared):
        raise ServiceError(
            "InvalidArgument",
            f"x-amz-content-sha256 must be {', '.join(STREAMED_PAYLOADS)} or a valid sha256 value.",
            status=400,
            ArgumentName="x-amz-content-sha256",
            ArgumentValue=declared[:128],
        )
    return declared
