"""A job's files in S3: everything is asked for as the job's role, so that its policies, those of
the buckets and keys, and that of the VPC endpoint decide.

What the role may not, or what is not there, is a ``JobRefused``; an S3 that fails by itself raises
its error (``refusals.may_pass``) or ``ObjectsError``, and may be asked again.
"""

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from outcrop.authorization.access import Access
from outcrop.authorization.s3 import bucket_arn, object_arn
from outcrop.errors import AWSError
from outcrop.identity import Caller
from outcrop.services.background import Background, VpcPath
from outcrop.services.bedrock.customization.downloads import CHANGED, Download
from outcrop.services.bedrock.customization.locations import (
    Location,
    read_file_uri,
    read_folder_uri,
)
from outcrop.services.bedrock.customization.refusals import JobRefused, may_pass
from outcrop.services.call import RawAnswer
from outcrop.services.service_roles import RoleInUse, RoleNotAssumable
from outcrop.stores.bucket_records import Bucket, bucket_place
from outcrop.stores.opened import Stores

WRITE_CHECK: Final = ".write_access_check_file.tmp"

_WRITE_CHECK_BODY: Final = (
    b"Amazon Bedrock wrote this to see whether the job's role may write here."
)


class JobStorage:
    """``region`` is the job's. ``path`` is the way through its VPC, of a job that has one."""

    def __init__(
        self,
        background: Background,
        stores: Stores,
        role: RoleInUse,
        region: str,
        path: VpcPath | None = None,
    ) -> None:
        self._background = background
        self._stores = stores
        self._role = role
        self._region = region
        self._path = path

    async def check_read(self, uri: str) -> int:
        """Whether the role may list and read the file, which is there: its size in bytes."""
        place = read_file_uri(uri)
        await self._check_region(place, _unreadable(place))
        with _told(_unreadable(place)):
            answer = await self._fetch("HeadObject", place)
        async with aclosing(_pieces(answer)) as pieces:
            async for _ in pieces:
                pass
        if not await self._may_list(place):
            raise JobRefused(_unreadable(place))
        return int(answer.headers["content-length"])

    async def check_write(self, uri: str) -> None:
        """Puts a file below the folder, and takes it away again where the role may delete."""
        place = read_folder_uri(uri).below(WRITE_CHECK)
        await self._put(place, _WRITE_CHECK_BODY)
        caller = await self._caller()
        deletion = Access("s3:DeleteObject", object_arn(self._region, place.bucket, place.key))
        if await self._background.may(caller, deletion, path=self._path):
            params = {"Bucket": place.bucket, "Key": place.key}
            with _told(_unwritable(place)):
                await self._background.perform(
                    caller, "s3", "DeleteObject", params, path=self._path
                )

    async def download(self, uri: str, path: Path, most_bytes: int, quota_name: str) -> int:
        """Its size in bytes. The file at ``path`` is there once it is whole; what was begun before
        begins anew. Refuses what has more than ``most_bytes``, which is the quota's value."""
        place = read_file_uri(uri)
        await self._check_region(place, _unreadable(place))
        too_large = JobRefused(
            f"The file {place.name} is larger than the {most_bytes} bytes that the quota "
            f"{quota_name!r} allows."
        )

        async def fetch(**asked: str) -> RawAnswer:
            with _told(_unreadable(place), CHANGED):
                return await self._fetch("GetObject", place, **asked)

        return await Download(fetch, path, most_bytes, too_large).run()

    async def upload(self, uri: str, name: str, data: bytes) -> str:
        """The URI of what lies below the folder ``uri`` now, encrypted as the bucket's default
        says."""
        place = read_folder_uri(uri).below(name)
        await self._put(place, data)
        return f"s3://{place.bucket}/{place.key}"

    async def _fetch(self, operation: str, place: Location, **asked: str) -> RawAnswer:
        params = {"Bucket": place.bucket, "Key": place.key, **asked}
        caller = await self._caller()
        return await self._background.fetch(caller, "s3", operation, params, path=self._path)

    async def _put(self, place: Location, data: bytes) -> None:
        await self._check_region(place, _unwritable(place))
        params: Mapping[str, Any] = {"Bucket": place.bucket, "Key": place.key}
        caller = await self._caller()
        with _told(_unwritable(place)):
            await self._background.perform(
                caller, "s3", "PutObject", params, body=data, path=self._path
            )

    async def _may_list(self, place: Location) -> bool:
        """On the bucket, or on the data's own URI, as the documents' policies have it."""
        caller = await self._caller()
        for arn in (
            bucket_arn(self._region, place.bucket),
            object_arn(self._region, place.bucket, place.key),
        ):
            access = Access("s3:ListBucket", arn, {"s3:prefix": place.key})
            if await self._background.may(caller, access, path=self._path):
                return True
        return False

    async def _check_region(self, place: Location, sentence: str) -> None:
        async with self._stores.resources.reading() as view:
            bucket = await view.find(Bucket, bucket_place(place.bucket))
        if bucket is None:
            raise JobRefused(f"{sentence}. The specified bucket does not exist")
        if bucket.record.region != self._region:
            raise JobRefused(
                f"{sentence}. The bucket is in {bucket.record.region}, the job in {self._region}: "
                "they must be in the same Region."
            )

    async def _caller(self) -> Caller:
        try:
            return await self._role.caller(datetime.now(UTC))
        except RoleNotAssumable as error:
            raise JobRefused(f"Could not assume provided IAM role. {error}") from error


def _pieces(answer: RawAnswer) -> AsyncGenerator[bytes]:
    return cast("AsyncGenerator[bytes]", answer.body)


def _unreadable(place: Location) -> str:
    return (
        "Could not validate GetObject permissions to access Amazon S3 bucket: "
        f"{place.bucket} at key {place.key}"
    )


def _unwritable(place: Location) -> str:
    return (
        "Amazon S3 perms missing (PutObject): Could not validate PutObject permissions to access "
        f"S3 bucket: {place.bucket} at key {place.key}"
    )


@contextmanager
def _told(sentence: str, *passing: int) -> Generator[None]:
    """The documents' sentence; where more is to be said than that S3 denied it, with the reason.
    Errors with a status in ``passing`` stay as they are, and those that may pass."""
    try:
        yield
    except AWSError as error:
        if may_pass(error) or error.status in passing:
            raise
        is_s3 = "perform: s3:" in error.message or error.message == "Access Denied"
        raise JobRefused(sentence if is_s3 else f"{sentence}. {error.message}") from error
