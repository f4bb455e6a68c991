"""The one door: who sends this request? Header signature, presigned URL or bearer key.

An Authorization header decides alone; the query is read only where there is none.
"""

from datetime import datetime

from outcrop.errors import (
    IncompleteSignatureException,
    MissingAuthenticationTokenException,
    ServiceError,
)
from outcrop.identity import AccessKey, Caller, CredentialLookup, PayloadProof, Proof
from outcrop.security.bearer import find_bearer_token, verify_bearer
from outcrop.security.claim import Claim, is_presigned, read_header, read_query
from outcrop.security.sigv2 import is_presigned_v2, verify_v2
from outcrop.security.sigv4 import payload_proof, verify
from outcrop.wire.http import Request

MAX_AUTHORIZATION_CHARS = 16_384
"""A bearer key of a session has about 3,000. Reading it must not take long: nobody is known yet."""


def authenticate(
    request: Request,
    *,
    signing_name: str,
    accepts_bearer: bool,
    lookup: CredentialLookup,
    now: datetime,
    unsigned_payload: bool = False,
) -> Caller:
    """Raises AWS's own error where the caller is not proven. ``unsigned_payload`` says that the
    operation takes a body left out of the signature (S3 always does)."""
    authorization = _find_authorization(request)
    if authorization is None and signing_name == "s3" and is_presigned_v2(request):
        return _caller_v2(request, lookup, now)
    if authorization is None and not is_presigned(request):
        raise MissingAuthenticationTokenException("Missing Authentication Token")
    if authorization is not None and accepts_bearer:
        token = find_bearer_token(authorization)
        if token is not None:
            return verify_bearer(token, signing_name=signing_name, lookup=lookup, now=now)
    proof: Proof = "query" if authorization is None else "header"
    claim = _read_claim(request, authorization, signing_name)
    key = verify(
        request,
        claim,
        signing_name=signing_name,
        lookup=lookup,
        now=now,
        unsigned_payload=unsigned_payload,
    )
    payload = payload_proof(claim, key) if request.incoming is not None else None
    return _caller(key, claim, proof, payload)


def _read_claim(request: Request, authorization: str | None, signing_name: str) -> Claim:
    if authorization is not None:
        return read_header(request, authorization)
    try:
        return read_query(request)
    except IncompleteSignatureException as error:
        if signing_name != "s3":
            raise
        is_missing = error.message.startswith("AWS query-string parameters must include")
        raise ServiceError(
            "AuthorizationQueryParametersError",
            _MISSING_IN_QUERY if is_missing else error.message,
            status=400,
        ) from error


_MISSING_IN_QUERY = (
    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
    "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
)


def _find_authorization(request: Request) -> str | None:
    values = [value for name, value in request.headers if name == "authorization"]
    if len(values) > 1:
        raise IncompleteSignatureException("The Authorization header must be sent only once.")
    if values and len(values[0]) > MAX_AUTHORIZATION_CHARS:
        raise IncompleteSignatureException(
            f"The Authorization header has at most {MAX_AUTHORIZATION_CHARS} characters."
        )
    return values[0] if values else None


def _caller_v2(request: Request, lookup: CredentialLookup, now: datetime) -> Caller:
    """Version 2 has no region in it."""
    key, payload = verify_v2(request, lookup, now)
    held = None if request.incoming is None else payload
    return Caller(key.principal, key.id, None, "query", key.expires_at, key.session, payload=held)


def _caller(key: AccessKey, claim: Claim, proof: Proof, payload: PayloadProof | None) -> Caller:
    return Caller(
        key.principal,
        key.id,
        claim.region,
        proof,
        key.expires_at,
        key.session,
        payload=payload,
    )
