"""What a request claims about its signature, read from the Authorization header or the query.

Reading proves nothing; ``sigv4.verify`` does.
"""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from outcrop.errors import IncompleteSignatureException, InvalidSignatureException
from outcrop.security.canonical import query_pairs
from outcrop.wire.http import Request

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_EXPIRES_S = 604_800

_BASIC_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_MAX_SIGNED_HEADERS = 200
_SIGNED_HEADERS = re.compile(r"[!-~]+")
_QUERY_PARAMETERS = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)
_AT_MOST_ONCE = frozenset({*_QUERY_PARAMETERS, "X-Amz-Security-Token", "X-Amz-Content-Sha256"})


# Not frozen: that makes building one, which happens once a request, five times slower.
@dataclass(slots=True)
class Claim:
    """``expires_s`` is set in a presigned URL only; ``content_sha256`` is what the client says."""

    key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str = field(repr=False)
    timestamp: str
    time: datetime
    session_token: str | None = field(default=None, repr=False)
    content_sha256: str | None = None
    expires_s: int | None = None


def read_header(request: Request, authorization: str) -> Claim:
    fields = _header_fields(authorization)
    # Reversed, so that of a repeated header the first value stands.
    sent = dict(reversed(request.headers))
    date = sent.get("x-amz-date") or sent.get("date")
    complaints = [
        f"Authorization header requires '{name}' parameter. "
        for name in ("Credential", "Signature", "SignedHeaders")
        if not fields.get(name)
    ]
    if not date:
        complaints.append(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        )
    if complaints or not date:
        # AWS hashes the value since 2023, so that a secret pasted there is not echoed.
        complaints.append(
            "(Hashed with SHA-256 and encoded with Base64) Authorization="
            + _fingerprint(authorization)
        )
        raise IncompleteSignatureException("".join(complaints))
    claim = _read_claim(date, fields["Credential"], fields["SignedHeaders"], fields["Signature"])
    claim.session_token = sent.get("x-amz-security-token")
    claim.content_sha256 = sent.get("x-amz-content-sha256")
    return claim


def is_presigned(request: Request) -> bool:
    return "X-Amz-" in request.raw_query and any(
        name in ("X-Amz-Signature", "X-Amz-Algorithm", "X-Amz-Credential")
        for name, _ in query_pairs(request.raw_query)
    )


def read_query(request: Request) -> Claim:
    fields = _query_fields(request.raw_query)
    claim = _read_claim(
        fields["X-Amz-Date"],
        fields["X-Amz-Credential"],
        fields["X-Amz-SignedHeaders"],
        fields["X-Amz-Signature"],
    )
    claim.session_token = fields.get("X-Amz-Security-Token")
    claim.content_sha256 = fields.get("X-Amz-Content-Sha256") or request.header(
        "x-amz-content-sha256"
    )
    claim.expires_s = _read_expires(fields["X-Amz-Expires"])
    return claim


def _read_claim(date: str, credential: str, signed_headers: str, signature: str) -> Claim:
    timestamp, time = _read_time(date)
    key_id, scope_date, region, service = _read_credential(credential, timestamp)
    return Claim(
        key_id=key_id,
        date=scope_date,
        region=region,
        service=service,
        signed_headers=_read_signed_headers(signed_headers),
        signature=signature,
        timestamp=timestamp,
        time=time,
    )


def _header_fields(authorization: str) -> dict[str, str]:
    algorithm, space, rest = authorization.strip().partition(" ")
    if space and algorithm != ALGORITHM:
        raise IncompleteSignatureException(f"Unsupported AWS 'algorithm': '{algorithm[:64]}'.")
    fields: dict[str, str] = {}
    for part in rest.split(",") if rest else ():
        name, equals, value = part.strip().partition("=")
        if not equals:
            raise IncompleteSignatureException(
                "Invalid key=value pair (missing equal-sign) in Authorization header "
                f"(hashed with SHA-256 and encoded with Base64): '{_fingerprint(authorization)}'."
            )
        if name in fields:
            raise IncompleteSignatureException(
                f"Authorization header has more than one '{name[:64]}' parameter."
            )
        fields[name] = value
    return fields


def _query_fields(raw_query: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in query_pairs(raw_query):
        if name in _AT_MOST_ONCE and name in fields:
            raise IncompleteSignatureException(
                f"AWS query-string parameters must include '{name}' only once."
            )
        fields[name] = value
    missing = [name for name in _QUERY_PARAMETERS if not fields.get(name)]
    if missing:
        complaints = [f"AWS query-string parameters must include '{name}'. " for name in missing]
        raise IncompleteSignatureException(
            "".join(complaints) + "Re-examine the query-string parameters."
        )
    if fields["X-Amz-Algorithm"] != ALGORITHM:
        raise IncompleteSignatureException(
            f"Unsupported AWS 'algorithm': '{fields['X-Amz-Algorithm'][:64]}'."
        )
    return fields


def _read_signed_headers(text: str) -> tuple[str, ...]:
    """A line break among the names would let one signature be read as another's headers."""
    names = tuple(text.split(";"))
    if len(names) > _MAX_SIGNED_HEADERS or not _SIGNED_HEADERS.fullmatch(text):
        raise IncompleteSignatureException(
            f"SignedHeaders must be names of headers joined by semicolons, got {text[:64]!r}."
        )
    return names


def _read_expires(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise IncompleteSignatureException("X-Amz-Expires should be a number")
    expires_s = int(text)
    if not 1 <= expires_s <= MAX_EXPIRES_S:
        raise IncompleteSignatureException(
            f"X-Amz-Expires must be between 1 and {MAX_EXPIRES_S} seconds (one week)."
        )
    return expires_s


def _read_credential(text: str, timestamp: str) -> tuple[str, str, str, str]:
    parts = text.split("/")
    if len(parts) != 5:
        raise IncompleteSignatureException(
            "Credential must have exactly 5 slash-delimited elements, "
            f"e.g. keyid/date/region/service/term, got '{text[:200]}'"
        )
    key_id, date, region, service, term = parts
    if term != "aws4_request":
        raise InvalidSignatureException(
            "Credential should be scoped with a valid terminator: "
            f"'aws4_request', not '{term[:64]}'. "
        )
    if date != timestamp[:8]:
        raise InvalidSignatureException(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
            f"HTTP: '{date[:64]}' != '{timestamp[:8]}', from '{timestamp}'."
        )
    return key_id, date, region, service


@lru_cache(maxsize=256)
def _read_time(text: str) -> tuple[str, datetime]:
    match = _BASIC_DATE.fullmatch(text)
    try:
        if match:
            year, month, day, hour, minute, second = map(int, match.groups())
            return text, datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        time = parsedate_to_datetime(text)
        # The zone "-0000" of RFC 5322 reads as a time without zone; it means UTC.
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise IncompleteSignatureException(
            f"Date must be in ISO-8601 'basic format'. Got '{text[:64]}'. "
            "See http://en.wikipedia.org/wiki/ISO_8601"
        ) from error
    return time.strftime("%Y%m%dT%H%M%SZ"), time


def _fingerprint(authorization: str) -> str:
    digest = hashlib.sha256(authorization.encode("utf-8", "surrogateescape")).digest()
    return base64.b64encode(digest).decode()
