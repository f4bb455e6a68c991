"""Whether what a trail delivered is all there and as it was: the chain of digests, their
signatures, and the hash of every log file that they name.

Begins at the newest digest that was made and follows each to the one before, as far back as is
asked. Which one is the newest, no bucket can say: what was taken away at the end leaves no trace.
"""

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol, cast

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from outcrop.stores.trail_records import Link
from outcrop.trail.files import SIGNATURE_ALGORITHM, sha256, text_to_sign

_NAMED_AT: Final = "%Y%m%dT%H%M%SZ"
_NAMED: Final = ("digestS3Bucket", "digestS3Object", "digestStartTime", "digestEndTime")


@dataclass(frozen=True, slots=True)
class Stored:
    """An object of a bucket, its content not compressed any more; None where it cannot be."""

    content: bytes | None
    metadata: Mapping[str, str]


class Store(Protocol):
    def read(self, bucket: str, key: str) -> Stored | None:
        """None where there is no such object."""
        ...

    def list_keys(self, bucket: str, prefix: str) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class TrailFiles:
    """Where a trail's digests of one region lie. ``prefix`` is empty or ends in a slash."""

    bucket: str
    prefix: str
    account: str
    name: str
    home: str
    region: str

    @property
    def digests(self) -> str:
        return f"{self.prefix}AWSLogs/{self.account}/CloudTrail-Digest/{self.region}/"

    def ended_at(self, key: str) -> datetime | None:
        """When the digest of that key ends; None for what is none of this trail."""
        name = key.rpartition("/")[2]
        begin = f"{self.account}_CloudTrail-Digest_{self.region}_{self.name}_{self.home}_"
        found = re.fullmatch(re.escape(begin) + r"([0-9]{8}T[0-9]{6}Z)\.json\.gz", name)
        if found is None or not key.startswith(self.digests):
            return None
        try:
            return datetime.strptime(found[1], _NAMED_AT).replace(tzinfo=UTC)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Finding:
    key: str
    what: str


@dataclass(slots=True)
class Report:
    digests: int = 0
    files: int = 0
    findings: list[Finding] = field(default_factory=list[Finding])

    def find(self, key: str, what: str) -> None:
        self.findings.append(Finding(key, what))


@dataclass(frozen=True, slots=True)
class _Expected:
    """What the digest after it says of a digest. Trails may move to another bucket."""

    bucket: str
    key: str
    sha256: str | None = None
    signature: str | None = None


class Verifier:
    """``keys`` are public keys (PKCS #1, DER) by fingerprint."""

    def __init__(self, store: Store, keys: Mapping[str, bytes]) -> None:
        self._store = store
        self._keys = keys

    def verify(
        self,
        trail: TrailFiles,
        start: datetime | None,
        end: datetime,
        newest: Link | None = None,
    ) -> Report:
        """``newest`` is the last digest that was made; without it, it is the last one there."""
        report = Report()
        listed = {
            key: ended_at
            for key in self._store.list_keys(trail.bucket, trail.digests)
            if (ended_at := trail.ended_at(key)) is not None
        }
        wanted = {key: at for key, at in listed.items() if at <= end}
        left = sorted(wanted, key=wanted.__getitem__)
        if newest is not None:
            expected = _Expected(newest.bucket, newest.key, newest.sha256, newest.signature)
        else:
            expected = _Expected(trail.bucket, left.pop()) if left else None
        while expected is not None:
            digest = self._digest(trail, expected, report)
            before = None if digest is None else _previous(digest)
            if digest is not None and start is not None and _time(digest) <= start:
                break
            # Where a digest is gone or broken, nothing tells of the one before but the bucket.
            key = before.key if before else _before(left, expected.key)
            if before is None and key is not None:
                before = _Expected(trail.bucket, key)
            left = [each for each in left if before and each < before.key]
            expected = before
        return report

    def _digest(
        self, trail: TrailFiles, expected: _Expected, report: Report
    ) -> dict[str, Any] | None:
        key = expected.key
        stored = self._store.read(expected.bucket, key)
        if stored is None:
            report.find(key, "the digest is missing")
            return None
        digest = _decoded(stored.content)
        if digest is None or stored.content is None:
            report.find(key, "the digest cannot be read")
            return None
        wrong = self._wrong(expected, digest, stored)
        if wrong is not None:
            report.find(key, wrong)
            return None
        report.digests += 1
        for file in cast("list[dict[str, Any]]", digest["logFiles"]):
            self._file(file, report)
        return digest

    def _wrong(self, expected: _Expected, digest: dict[str, Any], stored: Stored) -> str | None:
        content = stored.content or b""
        if (digest["digestS3Bucket"], digest["digestS3Object"]) != (expected.bucket, expected.key):
            return "the digest was moved here from elsewhere"
        public = self._keys.get(digest["digestPublicKeyFingerprint"])
        if public is None:
            return "the digest is signed with a key that is none of CloudTrail's"
        signature = stored.metadata.get("signature", "")
        text = text_to_sign(
            digest["digestEndTime"],
            expected.bucket,
            expected.key,
            content,
            digest["previousDigestSignature"],
        )
        is_known = stored.metadata.get("signature-algorithm") == SIGNATURE_ALGORITHM
        if not is_known or not _is_signed(public, signature, text):
            return "the digest or its signature was changed"
        if expected.sha256 not in (None, sha256(content)):
            return "the digest is not the one that the next digest follows"
        if expected.signature not in (None, signature):
            return "the digest's signature is not the one that the next digest follows"
        return None

    def _file(self, file: Mapping[str, Any], report: Report) -> None:
        stored = self._store.read(file["s3Bucket"], file["s3Object"])
        if stored is None:
            report.find(file["s3Object"], "the log file is missing")
        elif stored.content is None or sha256(stored.content) != file["hashValue"]:
            report.find(file["s3Object"], "the log file was changed")
        else:
            report.files += 1


def decompressed(body: bytes) -> bytes | None:
    """None where it is not gzip, or something follows it."""
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        return None


def _decoded(content: bytes | None) -> dict[str, Any] | None:
    try:
        digest = msgspec.json.decode(content or b"", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return digest if all(_texts(digest)) and _has_files(digest) else None


def _texts(digest: Mapping[str, Any]) -> Iterator[bool]:
    for name in (*_NAMED, "digestPublicKeyFingerprint"):
        yield isinstance(digest.get(name), str)
    for name in ("S3Bucket", "S3Object", "HashValue", "Signature"):
        yield isinstance(digest.get(f"previousDigest{name}", ""), str | None)
    yield "previousDigestSignature" in digest
    yield _read_time(digest.get("digestStartTime")) is not None


def _has_files(digest: Mapping[str, Any]) -> bool:
    files: Any = digest.get("logFiles")
    return isinstance(files, list) and all(map(_is_file, cast("list[Any]", files)))


def _is_file(file: Any) -> bool:
    names = ("s3Bucket", "s3Object", "hashValue")
    told = cast("dict[str, Any]", file) if isinstance(file, dict) else {}
    return all(isinstance(told.get(name), str) for name in names)


def _previous(digest: Mapping[str, Any]) -> _Expected | None:
    key = digest.get("previousDigestS3Object")
    if key is None:
        return None
    return _Expected(
        digest.get("previousDigestS3Bucket") or digest["digestS3Bucket"],
        key,
        digest.get("previousDigestHashValue"),
        digest.get("previousDigestSignature"),
    )


def _before(left: Sequence[str], key: str) -> str | None:
    return max((each for each in left if each < key), default=None)


def _time(digest: Mapping[str, Any]) -> datetime:
    return cast(datetime, _read_time(digest["digestStartTime"]))


def _read_time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def _is_signed(public: bytes, signature: str, text: bytes) -> bool:
    try:
        key = cast(rsa.RSAPublicKey, load_der_public_key(public))
        key.verify(bytes.fromhex(signature), text, padding.PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True
