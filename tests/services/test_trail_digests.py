"""Digests of trails: whatever is taken away or changed in the bucket is found by the chain."""

import asyncio
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from in_process import running_inside
from running_gateways import ACCOUNT
from trails_under_test import ARN, BUCKET, NAME, Trailing

from outcrop.stores.trail_records import Trail
from outcrop.trail.states import Chain, read_chain
from outcrop.trail.verifying import Report, Stored, TrailFiles, Verifier, decompressed


@dataclass
class Bucket:
    """What lies in the bucket, read once and then tampered with."""

    objects: dict[str, tuple[bytes, Mapping[str, str]]]
    keys: Mapping[str, bytes]
    chain: Chain

    @classmethod
    async def of(cls, trailing: Trailing) -> "Bucket":
        found = await trailing.admin.ask("cloudtrail", "ListPublicKeys")
        keys = {each["Fingerprint"]: each["Value"] for each in found["PublicKeyList"]}
        objects = {key: await trailing.read_whole(key) for key in await trailing.keys()}
        async with trailing.inside.deployment.state.stores.resources.reading() as view:
            trail = await view.find_arn(Trail, ARN)
            assert trail is not None
            return cls(objects, keys, await read_chain(view, trail))

    def read(self, bucket: str, key: str) -> Stored | None:
        assert bucket == BUCKET
        if key not in self.objects:
            return self.chain.pending.get((bucket, key))
        body, metadata = self.objects[key]
        return Stored(decompressed(body), metadata)

    def list_keys(self, bucket: str, prefix: str) -> Sequence[str]:
        return [key for key in self.objects if key.startswith(prefix)]

    def verify(self, start: datetime | None = None) -> Report:
        files = TrailFiles(BUCKET, "", ACCOUNT, NAME, "us-east-1", "us-east-1")
        newest = self.chain.newest.get("us-east-1")
        return Verifier(self, self.keys).verify(
            files, start, datetime.max.replace(tzinfo=UTC), newest
        )

    def found(self) -> list[tuple[str, str]]:
        return [(each.key, each.what) for each in self.verify().findings]

    @property
    def digests(self) -> list[str]:
        return sorted(key for key in self.objects if "/CloudTrail-Digest/" in key)

    @property
    def logs(self) -> list[str]:
        return sorted(key for key in self.objects if "/CloudTrail/" in key)

    def change(self, key: str, **changes: Any) -> None:
        body, metadata = self.objects[key]
        told = json.loads(gzip.decompress(body)) | changes
        self.objects[key] = gzip.compress(json.dumps(told).encode()), metadata


@dataclass
class Both:
    """A former bucket, and what is asked for of another one."""

    former: Bucket
    moved: Mapping[tuple[str, str], Stored]

    def read(self, bucket: str, key: str) -> Stored | None:
        found = self.moved.get((bucket, key))
        if found is None and bucket == BUCKET:
            found = self.former.read(bucket, key)
        return found

    def list_keys(self, bucket: str, prefix: str) -> Sequence[str]:
        return []


async def _three_hours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Of a trail, each with a log file and a digest."""
    async with running_inside(folder, monkeypatch) as inside:
        trailing = await Trailing.over(inside)
        await trailing.make_bucket()
        await trailing.make_trail(EnableLogFileValidation=True)
        for _ in range(3):
            await trailing.admin.ask("bedrock", "ListFoundationModels")
            await trailing.write()
            await trailing.digested_after(hours=1)
        return await Bucket.of(trailing)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return asyncio.run(_three_hours(tmp_path_factory.mktemp("trail"), monkeypatch))


@pytest.fixture
def bucket(untouched: Bucket) -> Bucket:
    return Bucket(dict(untouched.objects), untouched.keys, untouched.chain)


def test_a_chain_that_nobody_touched_verifies_whole(bucket: Bucket):
    report = bucket.verify()
    assert report.findings == []
    assert (report.digests, report.files) == (3, len(bucket.logs))
    assert report.files >= 3


def test_a_removed_log_file_is_found(bucket: Bucket):
    gone = bucket.logs[0]
    del bucket.objects[gone]
    assert bucket.found() == [(gone, "the log file is missing")]


def test_a_changed_byte_of_a_log_file_is_found(bucket: Bucket):
    key = bucket.logs[1]
    body, metadata = bucket.objects[key]
    content = bytearray(gzip.decompress(body))
    content[20] ^= 1
    bucket.objects[key] = gzip.compress(bytes(content)), metadata
    assert bucket.found() == [(key, "the log file was changed")]
    bucket.objects[key] = b"no gzip", metadata
    assert bucket.found() == [(key, "the log file was changed")]


def test_a_removed_digest_is_found_and_the_rest_is_still_checked(bucket: Bucket):
    gone, oldest = bucket.digests[1], bucket.logs[0]
    del bucket.objects[gone], bucket.objects[oldest]
    assert bucket.found() == [(gone, "the digest is missing"), (oldest, "the log file is missing")]


def test_the_newest_digest_cannot_be_taken_away(bucket: Bucket):
    gone = bucket.digests[2]
    # With another of a later name in its place, as of a time to come.
    later = gone.replace(gone[-24:-8], "29990101T000000Z"[:16])
    bucket.objects[later] = bucket.objects.pop(gone)
    assert bucket.found() == [(gone, "the digest is missing")]


def test_all_digests_cannot_be_taken_away(bucket: Bucket):
    newest = bucket.digests[2]
    for key in bucket.digests:
        del bucket.objects[key]
    assert bucket.found() == [(newest, "the digest is missing")]


def test_an_older_digest_does_not_pass_for_the_newest(bucket: Bucket):
    first, _, newest = bucket.digests
    body, metadata = bucket.objects[first]
    bucket.objects[newest] = body, metadata
    assert bucket.found()[0] == (newest, "the digest was moved here from elsewhere")


def test_a_changed_digest_is_found(bucket: Bucket):
    bucket.change(bucket.digests[1], logFiles=[])
    assert bucket.found() == [(bucket.digests[1], "the digest or its signature was changed")]


def test_a_digest_with_the_signature_of_another_is_found(bucket: Bucket):
    first, second, _ = bucket.digests
    body, _ = bucket.objects[second]
    bucket.objects[second] = body, bucket.objects[first][1]
    assert bucket.found() == [(second, "the digest or its signature was changed")]


def test_a_digest_in_the_place_of_another_is_found(bucket: Bucket):
    first, second, _ = bucket.digests
    bucket.objects[second] = bucket.objects[first]
    assert bucket.found() == [(second, "the digest was moved here from elsewhere")]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'{"logFiles":3}', b"\xff", b"[" * 100_000]
)
def test_a_digest_that_is_none_is_found(bucket: Bucket, content: bytes):
    key = bucket.digests[2]
    bucket.objects[key] = gzip.compress(content), bucket.objects[key][1]
    assert bucket.found() == [(key, "the digest cannot be read")]


def test_digests_have_the_members_of_aws(bucket: Bucket):
    digest = json.loads(gzip.decompress(bucket.objects[bucket.digests[1]][0]))
    assert list(digest) == [
        *("awsAccountId", "digestStartTime", "digestEndTime", "digestS3Bucket", "digestS3Object"),
        *("digestPublicKeyFingerprint", "digestSignatureAlgorithm", "newestEventTime"),
        *("oldestEventTime", "previousDigestS3Bucket", "previousDigestS3Object"),
        *("previousDigestHashValue", "previousDigestHashAlgorithm", "previousDigestSignature"),
        "logFiles",
    ]
    assert digest["previousDigestS3Object"] == bucket.digests[0]
    metadata = bucket.objects[bucket.digests[1]][1]
    assert metadata["signature-algorithm"] == "SHA256withRSA"
    assert ARN.split(":")[4] == digest["awsAccountId"]


async def test_a_digest_on_its_way_is_none_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with running_inside(tmp_path, monkeypatch) as inside:
        trailing = await Trailing.over(inside)
        await trailing.make_bucket()
        await trailing.make_trail(EnableLogFileValidation=True)
        await trailing.write()
        trailing.ahead += timedelta(hours=1)
        await trailing.cut()
        waiting = await Bucket.of(trailing)
        ((_, key),) = waiting.chain.pending
        assert (waiting.chain.newest["us-east-1"].key, waiting.digests) == (key, [])
        assert waiting.found() == []
        await trailing.deliver()
        assert (await Bucket.of(trailing)).chain.pending == {}


async def test_the_chain_of_a_trail_that_moved_goes_on_in_its_former_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with running_inside(tmp_path, monkeypatch) as inside:
        trailing = await Trailing.over(inside)
        await trailing.make_bucket()
        await trailing.make_bucket("moved-files")
        await trailing.make_trail(EnableLogFileValidation=True)
        await trailing.digested_after(hours=1)
        await trailing.admin.ask("cloudtrail", "UpdateTrail", Name=NAME, S3BucketName="moved-files")
        trailing.ahead += timedelta(hours=1)
        await trailing.write()
        former = await Bucket.of(trailing)
        link = former.chain.newest["us-east-1"]
        assert link.bucket == "moved-files"
        moved_here: dict[tuple[str, str], Stored] = {}
        for key in await trailing.keys("moved-files"):
            content, metadata = await trailing.read_whole(key, "moved-files")
            moved_here["moved-files", key] = Stored(decompressed(content), metadata)
        both = Both(former, moved_here)
        files = TrailFiles("moved-files", "", ACCOUNT, NAME, "us-east-1", "us-east-1")
        end = datetime.max.replace(tzinfo=UTC)
        report = Verifier(both, former.keys).verify(files, None, end, link)
        assert (report.findings, report.digests) == ([], 2)


async def test_a_clock_that_was_wrong_for_a_while_breaks_no_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with running_inside(tmp_path, monkeypatch) as inside:
        trailing = await Trailing.over(inside)
        await trailing.make_bucket()
        await trailing.make_trail(EnableLogFileValidation=True)
        await trailing.digested_after(hours=1)
        await trailing.digested_after(hours=24 * 365)
        trailing.ahead = timedelta(hours=2)
        await trailing.write()
        whole = await Bucket.of(trailing)
        assert len(whole.digests) == 3
        assert whole.chain.newest["us-east-1"].key == whole.digests[1]
        assert whole.found() == []
        assert whole.verify().digests == 3
