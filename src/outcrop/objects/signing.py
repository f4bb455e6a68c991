"""Signs requests for the store by Signature Version 4; paths and queries go out as given here.

The payload is not signed: it passes piece by piece, over loopback or TLS. Headers may say how it is
coded (``x-amz-content-sha256``).
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from outcrop.security.sigv4 import signing_key

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True)
class Credentials:
    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """What is signed besides the headers. ``host`` is the one of the Host header."""

    method: str
    host: str
    path: str
    query: str


def sign(
    target: Target,
    headers: Mapping[str, str],
    credentials: Credentials,
    region: str,
    now: datetime,
) -> dict[str, str]:
    """All headers to send, Host among them, in lower case."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed |= {"host": target.host, "x-amz-date": stamp}
    payload = signed.setdefault("x-amz-content-sha256", UNSIGNED_PAYLOAD)
    if credentials.token is not None:
        signed["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    canonical = (
        f"{target.method}\n{target.path}\n{_canonical_query(target.query)}\n"
        f"{lines}\n{names}\n{payload}"
    )
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    digest = sha256(canonical.encode()).hexdigest()
    key = signing_key(credentials.secret, stamp[:8], region, "s3")
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.key_id}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return signed


def _canonical_query(query: str) -> str:
    pairs = [part if "=" in part else f"{part}=" for part in query.split("&") if part]
    return "&".join(sorted(pairs, key=lambda pair: pair.split("=", 1)))
