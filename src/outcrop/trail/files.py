"""Log files and digests: their keys, what is in them, how a digest is signed.

Source: the CloudTrail user guide, "CloudTrail log file examples" and "Custom implementations of
CloudTrail log file integrity validation". AWS's own ``validate-logs`` reads what is made here.
"""

import gzip
import hashlib
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from outcrop.stores.resources import Item
from outcrop.stores.trail_records import Link, LogFile, Trail

_ALPHABET: Final = string.ascii_letters + string.digits
_RANDOM: Final = 16
SIGNATURE_ALGORITHM: Final = "SHA256withRSA"
_ISO: Final = "%Y-%m-%dT%H:%M:%SZ"


def log_prefix(trail: Trail, account: str) -> str:
    """Below which everything lies that is delivered for an account."""
    return f"{_folder(trail)}AWSLogs/{account}/"


def _folder(trail: Trail) -> str:
    return f"{trail.prefix}/" if trail.prefix else ""


def log_key(trail: Item[Trail], region: str, now: datetime) -> str:
    account = trail.place.account
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return (
        f"{log_prefix(trail.record, account)}CloudTrail/{region}/{now:%Y/%m/%d}/"
        f"{account}_CloudTrail_{region}_{now:%Y%m%dT%H%MZ}_{random}.json.gz"
    )


def digest_key(trail: Item[Trail], region: str, end: datetime) -> str:
    place = trail.place
    return (
        f"{log_prefix(trail.record, place.account)}CloudTrail-Digest/{region}/{end:%Y/%m/%d}/"
        f"{place.account}_CloudTrail-Digest_{region}_{place.name}_{place.region}_"
        f"{end:%Y%m%dT%H%M%SZ}.json.gz"
    )


def render_file(events: Sequence[bytes]) -> bytes:
    return b'{"Records":[' + b",".join(events) + b"]}"


def compress(content: bytes) -> bytes:
    """The same bytes for the same content, whenever it is tried again."""
    return gzip.compress(content, compresslevel=6, mtime=0)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class Span:
    """What one digest is about."""

    region: str
    began_at: datetime
    ended_at: datetime
    files: Sequence[LogFile]
    previous: Link | None


def render_digest(trail: Item[Trail], span: Span, key: str, fingerprint: str) -> bytes:
    previous, files = span.previous, span.files
    told: dict[str, Any] = {
        "awsAccountId": trail.place.account,
        "digestStartTime": span.began_at.strftime(_ISO),
        "digestEndTime": span.ended_at.strftime(_ISO),
        "digestS3Bucket": trail.record.bucket,
        "digestS3Object": key,
        "digestPublicKeyFingerprint": fingerprint,
        "digestSignatureAlgorithm": SIGNATURE_ALGORITHM,
        "newestEventTime": _iso(max((file.newest_at for file in files), default=None)),
        "oldestEventTime": _iso(min((file.oldest_at for file in files), default=None)),
        "previousDigestS3Bucket": previous.bucket if previous else None,
        "previousDigestS3Object": previous.key if previous else None,
        "previousDigestHashValue": previous.sha256 if previous else None,
        "previousDigestHashAlgorithm": "SHA-256" if previous else None,
        "previousDigestSignature": previous.signature if previous else None,
        "logFiles": [
            {
                "s3Bucket": file.bucket,
                "s3Object": file.key,
                "hashValue": file.sha256,
                "hashAlgorithm": "SHA-256",
                "newestEventTime": _iso(file.newest_at),
                "oldestEventTime": _iso(file.oldest_at),
            }
            for file in files
        ],
    }
    return msgspec.json.encode(told)


def text_to_sign(end: str, bucket: str, key: str, content: bytes, previous: str | None) -> bytes:
    """``end`` as in the digest, ``content`` not compressed, ``previous`` the signature before."""
    return f"{end}\n{bucket}/{key}\n{sha256(content)}\n{previous or 'null'}".encode()


def sign(key: rsa.RSAPrivateKey, text: bytes) -> str:
    return key.sign(text, padding.PKCS1v15(), SHA256()).hex()


def iso(time: datetime) -> str:
    return time.strftime(_ISO)


def _iso(time: datetime | None) -> str | None:
    return None if time is None else iso(time)
