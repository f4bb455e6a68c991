"""A job's files in S3, as its role: the documents' policies and messages, and large files."""

import asyncio
import os
import stat
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from hypothesis import given, strategies as st
from in_process import ADMIN, Client
from statements import ACCOUNT, allow, document
from training_jobs_under_test import Jobs, example, left_in, running_jobs, trust, unique

from outcrop.objects.protocol import ObjectStore, StoreAnswer, StoreGone, StoreRequest
from outcrop.services.bedrock.customization.locations import read_file_uri, read_folder_uri
from outcrop.services.bedrock.customization.refusals import JobRefused
from outcrop.services.bedrock.customization.storage import JobStorage
from outcrop.stores.iam_records import RoleRecord

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRAINING, OUTPUT = "my-training-data-bucket", "my-output-bucket"
DOCUMENTED = ("RUN-098.json", "RUN-099.json")
MIB = 1 << 20
QUOTA = "Size of the training file"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jobs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Jobs]:
    async with running_jobs(tmp_path_factory.mktemp("jobs")) as jobs:
        yield jobs


async def refusal(asked: Awaitable[Any]) -> str:
    with pytest.raises(JobRefused) as caught:
        await asked
    return str(caught.value)


def unreadable(bucket: str, key: str) -> str:
    return (
        f"Could not validate GetObject permissions to access Amazon S3 bucket: {bucket} at key "
        f"{key}"
    )


def unwritable(bucket: str, key: str) -> str:
    return (
        "Amazon S3 perms missing (PutObject): Could not validate PutObject permissions to access "
        f"S3 bucket: {bucket} at key {key}"
    )


async def test_the_documents_policies_are_enough(jobs: Jobs, tmp_path: Path) -> None:
    """RUN-098 and RUN-099, whose s3:ListBucket is on the folder and not on the bucket."""
    await jobs.put(TRAINING, "myfolder/train.jsonl", b'{"input": "a", "output": "b"}\n')
    await jobs.bucket(OUTPUT)
    storage = await jobs.storage(*map(example, DOCUMENTED))
    uri = f"s3://{TRAINING}/myfolder/train.jsonl"
    assert await storage.check_read(uri) == 30
    assert await storage.download(uri, tmp_path / "train", 30, QUOTA) == 30
    assert (tmp_path / "train").read_bytes() == b'{"input": "a", "output": "b"}\n'
    await storage.check_write(f"s3://{OUTPUT}/myfolder")
    metrics = "model-customization-job-0/training_artifacts/step_wise_training_metrics.csv"
    where = await storage.upload(f"s3://{OUTPUT}/myfolder/", metrics, b"step_number\n")
    assert where == f"s3://{OUTPUT}/myfolder/{metrics}"
    # Nobody let the role delete, so what it wrote to see whether it may write stays.
    left = {"myfolder/.write_access_check_file.tmp", f"myfolder/{metrics}"}
    assert set(await jobs.keys(OUTPUT)) == left


@pytest.mark.parametrize(
    "policy",
    [
        document(allow("s3:ListBucket")),
        document(allow("s3:GetObject")),
        document(allow("s3:*"), allow("s3:GetObject", Effect="Deny")),
        document(allow("s3:*"), allow("s3:ListBucket", Effect="Deny")),
        document(allow("s3:*", "arn:aws:s3:::training-data-bucket/another/*")),
    ],
)
async def test_who_may_not_read_is_told_so_in_the_documents_words(jobs: Jobs, policy: str) -> None:
    await jobs.put("training-data-bucket", "train.jsonl")
    storage = await jobs.storage(policy)
    told = await refusal(storage.check_read("s3://training-data-bucket/train.jsonl"))
    assert told == example("RUN-124.txt").splitlines()[0]


async def test_who_may_not_write_is_told_so_in_the_documents_words(jobs: Jobs) -> None:
    await jobs.bucket("bedrock-output-bucket")
    storage = await jobs.storage(document(allow(["s3:GetObject", "s3:ListBucket"])))
    expected = example("RUN-125.txt").strip()
    for uri in ("s3://bedrock-output-bucket/output", "s3://bedrock-output-bucket/output/"):
        assert await refusal(storage.check_write(uri)) == expected
    told = await refusal(storage.check_write("s3://bedrock-output-bucket"))
    assert told == unwritable("bedrock-output-bucket", ".write_access_check_file.tmp")
    told = await refusal(storage.upload("s3://bedrock-output-bucket/output", "a/b.csv", b""))
    assert told == unwritable("bedrock-output-bucket", "output/a/b.csv")
    assert await jobs.keys("bedrock-output-bucket") == []


async def test_a_bucket_s_own_policy_decides_too(jobs: Jobs) -> None:
    bucket = unique("guarded")
    await jobs.put(bucket, "train.jsonl")
    denial = {**allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*"), "Effect": "Deny"}
    statement = {**denial, "Principal": "*"}
    await jobs.settle("PutBucketPolicy", Bucket=bucket, Policy=document(statement))
    storage = await jobs.storage()
    told = await refusal(storage.check_read(f"s3://{bucket}/train.jsonl"))
    assert told == unreadable(bucket, "train.jsonl")


async def test_the_check_leaves_nothing_where_the_role_may_delete(jobs: Jobs) -> None:
    bucket = await jobs.bucket(unique("out"))
    await (await jobs.storage()).check_write(f"s3://{bucket}/deep/er")
    assert await jobs.keys(bucket) == []


async def test_what_is_not_there_is_told(jobs: Jobs, tmp_path: Path) -> None:
    bucket = await jobs.bucket(unique("empty"))
    storage = await jobs.storage()
    missing = f"{unreadable(bucket, 'no.jsonl')}. The specified key does not exist."
    assert await refusal(storage.check_read(f"s3://{bucket}/no.jsonl")) == missing
    download = storage.download(f"s3://{bucket}/no.jsonl", tmp_path / "f", 1, QUOTA)
    assert await refusal(download) == missing
    assert left_in(tmp_path) == []
    # Who may not list is not told what is there.
    blind = await jobs.storage(document(allow("s3:GetObject")))
    told = await refusal(blind.check_read(f"s3://{bucket}/no.jsonl"))
    assert told == unreadable(bucket, "no.jsonl")
    nowhere = unique("nowhere")
    for told, sentence in (
        (await refusal(storage.check_read(f"s3://{nowhere}/a")), unreadable(nowhere, "a")),
        (
            await refusal(storage.check_write(f"s3://{nowhere}")),
            unwritable(nowhere, ".write_access_check_file.tmp"),
        ),
    ):
        assert told == f"{sentence}. The specified bucket does not exist"


async def test_a_bucket_of_another_region_is_refused(jobs: Jobs) -> None:
    name = unique("elsewhere")
    west = Client(jobs.inside.app, ADMIN, region="us-west-2")
    place = {"LocationConstraint": "us-west-2"}
    await jobs.bucket(name, west, CreateBucketConfiguration=place)
    await west.ask("s3", "PutObject", Bucket=name, Key="train.jsonl", Body=b"{}")
    storage = await jobs.storage()
    why = ". The bucket is in us-west-2, the job in us-east-1: they must be in the same Region."
    told = await refusal(storage.check_read(f"s3://{name}/train.jsonl"))
    assert told == unreadable(name, "train.jsonl") + why
    told = await refusal(storage.check_write(f"s3://{name}/o"))
    assert told == unwritable(name, "o/.write_access_check_file.tmp") + why


async def test_a_bucket_under_a_kms_key_needs_leave_to_use_it(jobs: Jobs, tmp_path: Path) -> None:
    bucket = await jobs.bucket(unique("sealed"))
    key = (await jobs.admin.ask("kms", "CreateKey"))["KeyMetadata"]["Arn"]
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}]}
    await jobs.settle("PutBucketEncryption", Bucket=bucket, ServerSideEncryptionConfiguration=rules)
    await jobs.put(bucket, "train.jsonl", b"{}")
    uri = f"s3://{bucket}/train.jsonl"
    on_s3 = document(allow("s3:*"))
    without = await jobs.storage(on_s3)
    for told in (
        await refusal(without.check_read(uri)),
        await refusal(without.download(uri, tmp_path / "f", 9, QUOTA)),
    ):
        assert told.startswith(f"{unreadable(bucket, 'train.jsonl')}. ")
        assert "kms:Decrypt" in told
    told = await refusal(without.check_write(f"s3://{bucket}/out"))
    sentence = unwritable(bucket, "out/.write_access_check_file.tmp")
    assert told.startswith(f"{sentence}. ")
    assert "kms:GenerateDataKey" in told
    keyed = await jobs.storage(on_s3, document(allow(["kms:Decrypt", "kms:GenerateDataKey"], key)))
    assert await keyed.download(uri, tmp_path / "f", 9, QUOTA) == 2
    await keyed.upload(f"s3://{bucket}/out", "metrics.csv", b"x")
    head = await jobs.admin.ask("s3", "HeadObject", Bucket=bucket, Key="out/metrics.csv")
    assert head["SSEKMSKeyId"] == key


async def test_a_role_that_is_gone_is_told_of(jobs: Jobs) -> None:
    await jobs.put("training-data-bucket", "train.jsonl")
    name = unique("gone")
    arn = await jobs.inside.role(ACCOUNT, name, trust(), document(allow("*")))
    storage = JobStorage(jobs.background, jobs.stores, jobs.acting(arn), "us-east-1")
    await jobs.inside.remove(RoleRecord, ACCOUNT, name)
    told = await refusal(storage.check_read("s3://training-data-bucket/train.jsonl"))
    assert told == f"Could not assume provided IAM role. There is no role {arn}."


async def test_a_file_over_its_quota_is_refused_by_the_quota_s_name(
    jobs: Jobs, tmp_path: Path
) -> None:
    bucket = unique("large")
    await jobs.put(bucket, "folder/train.jsonl", os.urandom(3 * MIB))
    storage, uri = await jobs.storage(), f"s3://{bucket}/folder/train.jsonl"
    told = await refusal(storage.download(uri, tmp_path / "f", 3 * MIB - 1, QUOTA))
    assert told == (
        f"The file train.jsonl is larger than the {3 * MIB - 1} bytes that the quota '{QUOTA}' "
        "allows."
    )
    assert left_in(tmp_path) == []
    assert await storage.download(uri, tmp_path / "f", 3 * MIB, QUOTA) == 3 * MIB


async def test_a_large_file_is_never_in_memory_whole(jobs: Jobs, tmp_path: Path) -> None:
    bucket, body = unique("huge"), os.urandom(MIB) * 50
    await jobs.put(bucket, "train.jsonl", body)
    storage = await jobs.storage()
    tracemalloc.start()
    try:
        size = await storage.download(
            f"s3://{bucket}/train.jsonl", tmp_path / "train", 100 * MIB, QUOTA
        )
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == 50 * MIB
    assert peak_bytes < 8 * MIB
    assert (tmp_path / "train").read_bytes() == body


async def test_a_file_is_its_owner_s_alone_and_follows_no_link(jobs: Jobs, tmp_path: Path) -> None:
    bucket = unique("private")
    await jobs.put(bucket, "train.jsonl", b"secret")
    storage, uri = await jobs.storage(), f"s3://{bucket}/train.jsonl"
    part = tmp_path / "train.part"
    part.write_bytes(b"something longer that was begun before")
    part.chmod(0o644)
    await storage.download(uri, tmp_path / "train", 6, QUOTA)
    assert stat.S_IMODE((tmp_path / "train").stat().st_mode) == 0o600
    assert (tmp_path / "train").read_bytes() == b"secret"
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    part.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        await storage.download(uri, tmp_path / "train", 6, QUOTA)
    assert victim.read_bytes() == b"untouched"


class CuttingStore:
    """A store whose connections break after some pieces, as often as ``cuts`` says. ``between`` is
    done after each."""

    failure = None

    def __init__(self, store: ObjectStore, cuts: int, between: Any = None) -> None:
        self._store = store
        self._cuts = cuts
        self._between = between
        self.ranges: list[str | None] = []

    async def start(self) -> None:
        await self._store.start()

    async def close(self) -> None:
        await self._store.close()

    async def send(self, request: StoreRequest) -> StoreAnswer:
        answer = await self._store.send(request)
        if request.method != "GET":
            return answer
        self.ranges.append(dict(request.headers or {}).get("range"))
        if self._cuts == 0:
            return answer
        self._cuts -= 1
        return replace(answer, body=self._cut(cast("AsyncGenerator[bytes]", answer.body)))

    async def _cut(self, body: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        async with aclosing(body) as pieces:
            async for piece in pieces:
                yield piece
                break
        if self._between is not None:
            await self._between()
        raise StoreGone("The connection to the object store was lost.")


async def test_a_download_goes_on_where_its_connection_was_lost(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, body = unique("cut"), os.urandom(4 * MIB)
    await jobs.put(bucket, "train.jsonl", body)
    storage, deployment = await jobs.storage(), jobs.inside.deployment
    cutting = CuttingStore(deployment.objects.store, 2)
    monkeypatch.setattr(deployment, "objects", replace(deployment.objects, store=cutting))
    path = tmp_path / "train"
    assert await storage.download(f"s3://{bucket}/train.jsonl", path, 4 * MIB, QUOTA) == 4 * MIB
    assert path.read_bytes() == body
    first, *later = cutting.ranges
    assert first is None
    assert len(later) == 2
    assert all(each and each != "bytes=0-" for each in later)


async def test_a_file_that_changes_meanwhile_is_read_anew(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, newer = unique("changed"), os.urandom(2 * MIB)
    await jobs.put(bucket, "train.jsonl", os.urandom(4 * MIB))
    storage, deployment = await jobs.storage(), jobs.inside.deployment

    async def change() -> None:
        await jobs.put(bucket, "train.jsonl", newer)

    cutting = CuttingStore(deployment.objects.store, 1, change)
    monkeypatch.setattr(deployment, "objects", replace(deployment.objects, store=cutting))
    path = tmp_path / "train"
    assert await storage.download(f"s3://{bucket}/train.jsonl", path, 4 * MIB, QUOTA) == 2 * MIB
    assert path.read_bytes() == newer


async def test_a_download_that_is_cancelled_leaves_nothing(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = unique("cancelled")
    await jobs.put(bucket, "train.jsonl", b"x" * 4 * MIB)
    storage, deployment = await jobs.storage(), jobs.inside.deployment
    begun = asyncio.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    cutting = CuttingStore(deployment.objects.store, 1, wait)
    monkeypatch.setattr(deployment, "objects", replace(deployment.objects, store=cutting))
    download = storage.download(f"s3://{bucket}/train.jsonl", tmp_path / "f", 4 * MIB, QUOTA)
    task = asyncio.ensure_future(download)
    await begun.wait()
    assert left_in(tmp_path) == ["f.part"]
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert left_in(tmp_path) == []


async def test_an_empty_file_is_one_too(jobs: Jobs, tmp_path: Path) -> None:
    bucket = unique("nothing")
    await jobs.put(bucket, "train.jsonl", b"")
    storage = await jobs.storage()
    assert await storage.check_read(f"s3://{bucket}/train.jsonl") == 0
    assert await storage.download(f"s3://{bucket}/train.jsonl", tmp_path / "f", 0, QUOTA) == 0
    assert left_in(tmp_path) == ["f"]


async def test_a_store_that_stays_away_is_no_fault_of_the_job(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = unique("away")
    await jobs.put(bucket, "train.jsonl", b"x" * MIB)
    storage, deployment = await jobs.storage(), jobs.inside.deployment
    cutting = CuttingStore(deployment.objects.store, 99)
    monkeypatch.setattr(deployment, "objects", replace(deployment.objects, store=cutting))
    with pytest.raises(StoreGone):
        await storage.download(f"s3://{bucket}/train.jsonl", tmp_path / "f", MIB, QUOTA)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    "uri",
    ["", "train.jsonl", "http://bucket/key", "s3:/bucket/key", "s3://", "s3://B/key", "s3://a/key",
     "s3:///key", " s3://bucket/key", "s3://bucket/a\nb", "s3://-bucket/key", "S3://bucket/key"],
)  # fmt: skip
async def test_what_is_no_uri_of_s3_is_refused(uri: str) -> None:
    for read in (read_file_uri, read_folder_uri):
        with pytest.raises(JobRefused, match="is no URI of S3"):
            read(uri)


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/", "s3://bucket/folder/"])
async def test_a_folder_is_no_file_to_train_on(uri: str) -> None:
    with pytest.raises(JobRefused, match="names no file in S3"):
        read_file_uri(uri)
    folder = read_folder_uri(uri)
    assert folder.below("x").key in ("x", "folder/x")


async def test_a_key_that_s3_does_not_take_is_refused() -> None:
    with pytest.raises(JobRefused, match="more than 1024 bytes"):
        read_folder_uri(f"s3://bucket/{'a' * 1020}").below(".write_access_check_file.tmp")


@given(
    st.from_regex(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", fullmatch=True),
    st.lists(st.from_regex(r"[-!_*'().a-z0-9A-Z]+", fullmatch=True), min_size=1, max_size=4),
)
async def test_every_uri_that_the_api_takes_is_read_as_it_is(bucket: str, parts: list[str]) -> None:
    key = "/".join(parts)
    place = read_file_uri(f"s3://{bucket}/{key}")
    assert (place.bucket, place.key, place.name) == (bucket, key, parts[-1])
    for uri in (f"s3://{bucket}/{key}", f"s3://{bucket}/{key}/"):
        assert read_folder_uri(uri).key == f"{key}/"


@given(st.text())
async def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (read_file_uri, read_folder_uri):
        try:
            place = read(text)
        except JobRefused:
            continue
        assert text.startswith(f"s3://{place.bucket}")
