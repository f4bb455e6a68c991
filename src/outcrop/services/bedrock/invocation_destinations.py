"""Where invocation logs go, as Bedrock puts them there: buckets by their own policies, log groups
with a role that was passed to Bedrock.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from outcrop.errors import AWSError
from outcrop.identity import Caller
from outcrop.invocations.configurations import STREAM, source_arn
from outcrop.invocations.delivery import LogEvent
from outcrop.jobs.delivery import NotDelivered
from outcrop.services.background import Background
from outcrop.services.service_callers import BEDROCK, service_caller
from outcrop.services.service_roles import RoleNotAssumable, ServiceRole, assume
from outcrop.stores.model_records import LogGroup
from outcrop.stores.opened import Stores

_GZIP: Final = "gzip"
_MISSING: Final = "ResourceNotFoundException"
_THERE_ALREADY: Final = "ResourceAlreadyExistsException"


def _now() -> datetime:
    return datetime.now(UTC)


class InvocationDestinations:
    """``invocations.delivery.Destinations``."""

    def __init__(
        self, stores: Stores, background: Background, clock: Callable[[], datetime] = _now
    ) -> None:
        self._stores = stores
        self._background = background
        self._clock = clock

    async def put_object(
        self,
        owner: tuple[str, str],
        bucket: str,
        key: str,
        body: bytes,
        content_type: str,
    ) -> None:
        account, region = owner
        params = {
            "Bucket": bucket,
            "Key": key,
            "ContentType": content_type,
            "ContentEncoding": _GZIP,
            # A bucket that was deleted may be another account's by now.
            "ExpectedBucketOwner": account,
        }
        caller = service_caller(BEDROCK, source_arn(account, region))
        try:
            await self._background.perform(caller, "s3", "PutObject", params, body=body)
        except AWSError as error:
            raise NotDelivered(f"{error.code}: {error.message}") from error

    async def put_events(
        self, owner: tuple[str, str], group: LogGroup, events: Sequence[LogEvent], once: str
    ) -> int:
        role = ServiceRole(group.role_arn, source_arn(*owner))
        try:
            caller = await assume(self._stores, role, self._clock())
            answer = await self._put(caller, group, events, once)
        except RoleNotAssumable as error:
            raise NotDelivered(str(error)) from error
        except AWSError as error:
            raise NotDelivered(f"{error.code}: {error.message}") from error
        return _taken(answer, len(events))

    async def _put(
        self, caller: Caller, group: LogGroup, events: Sequence[LogEvent], once: str
    ) -> Mapping[str, Any]:
        stream = {"logGroupName": group.name, "logStreamName": STREAM}
        told = [{"timestamp": event.at_ms, "message": event.message} for event in events]
        # Of a service, the token says that events which come again are the same.
        params = {**stream, "logEvents": told, "sequenceToken": once}
        try:
            return await self._background.perform(caller, "logs", "PutLogEvents", params)
        except AWSError as error:
            if error.code != _MISSING:
                raise
        # Somebody deleted the stream; if it is the group, this says so.
        try:
            await self._background.perform(caller, "logs", "CreateLogStream", stream)
        except AWSError as error:
            if error.code != _THERE_ALREADY:
                raise
        return await self._background.perform(caller, "logs", "PutLogEvents", params)


def _taken(answer: Mapping[str, Any], number: int) -> int:
    """Events older than the group keeps are refused one by one."""
    rejected: Mapping[str, int] = answer.get("rejectedLogEventsInfo", {})
    first = max(
        rejected.get("tooOldLogEventEndIndex", 0), rejected.get("expiredLogEventEndIndex", 0)
    )
    end = rejected.get("tooNewLogEventStartIndex", number)
    return max(end - first, 0)
