"""Bedrock API keys: long-term ones are looked up, short-term ones are presigned URLs in base64.

An unknown key and a wrong secret get the same answer after the same work.
"""

import base64
import binascii
import hmac
from datetime import datetime, timedelta

from outcrop.errors import AuthorizationDenied, AWSError, ExpiredTokenException
from outcrop.identity import (
    Caller,
    CredentialLookup,
    hash_api_secret,
    is_long_term_api_key,
    parse_api_key,
)
from outcrop.security.canonical import query_pairs
from outcrop.security.claim import Claim, read_query
from outcrop.security.sigv4 import verify
from outcrop.wire.http import Request

_SHORT_TERM_PREFIX = "bedrock-api-key-"
_SHORT_TERM_HOST = "bedrock.amazonaws.com"
_MAX_SHORT_TERM_S = 12 * 3600
# The client appends the version after signing (aws-bedrock-token-generator).
_UNSIGNED = frozenset({"Version"})

_BAD_FORMAT = "Invalid API Key format: Must start with pre-defined prefix"
_INVALID = "Authentication failed: Please make sure your API Key is valid."
_EXPIRED = "Bearer Token has expired"


def find_bearer_token(authorization: str) -> str | None:
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def verify_bearer(
    token: str, *, signing_name: str, lookup: CredentialLookup, now: datetime
) -> Caller:
    if token.startswith(_SHORT_TERM_PREFIX):
        return _verify_short_term(token, signing_name, lookup, now)
    if is_long_term_api_key(token):
        return _verify_long_term(token, lookup, now)
    raise AuthorizationDenied(_BAD_FORMAT)


def _verify_long_term(token: str, lookup: CredentialLookup, now: datetime) -> Caller:
    key_id, secret = parse_api_key(token) or ("", "")
    key = lookup.find_api_key(key_id)
    expected = key.secret_hash if key else bytes(32)
    matches = hmac.compare_digest(expected, hash_api_secret(secret))
    if key is None or not matches or key.status != "Active":
        raise AuthorizationDenied(_INVALID)
    if key.expires_at is not None and key.expires_at <= now:
        raise AuthorizationDenied(_EXPIRED)
    return Caller(key.principal, key.id, None, "bearer", key.expires_at)


def _verify_short_term(
    token: str, signing_name: str, lookup: CredentialLookup, now: datetime
) -> Caller:
    try:
        request = _presigned_request(token.removeprefix(_SHORT_TERM_PREFIX))
        claim = read_query(request)
        expires_at = _expiry(claim)
        if expires_at <= now:
            raise ExpiredTokenException(_EXPIRED)
        key = verify(
            request,
            claim,
            signing_name=signing_name,
            lookup=lookup,
            now=now,
            unsigned_query=_UNSIGNED,
        )
    except ExpiredTokenException as error:
        raise AuthorizationDenied(_EXPIRED) from error
    except AWSError as error:
        raise AuthorizationDenied(_INVALID) from error
    if key.expires_at is not None:
        expires_at = min(expires_at, key.expires_at)
    return Caller(key.principal, key.id, claim.region, "bearer", expires_at, key.session)


def _presigned_request(encoded: str) -> Request:
    """The request the token would make: it is verified, never sent."""
    try:
        url = base64.b64decode(encoded, validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise AuthorizationDenied(_INVALID) from error
    place, _, query = url.partition("?")
    pairs = query_pairs(query)
    actions = [value for name, value in pairs if name == "Action"]
    versions = [value for name, value in pairs if name == "Version"]
    if place != f"{_SHORT_TERM_HOST}/" or actions != ["CallWithBearerToken"] or versions != ["1"]:
        raise AuthorizationDenied(_INVALID)
    host = (("host", _SHORT_TERM_HOST),)
    return Request("POST", "/", query, host, b"", _SHORT_TERM_HOST)


def _expiry(claim: Claim) -> datetime:
    if claim.expires_s is None or claim.expires_s > _MAX_SHORT_TERM_S:
        raise AuthorizationDenied(_INVALID)
    return claim.time + timedelta(seconds=claim.expires_s)
