"""Whether Bedrock may deliver logs to a bucket or a log group: it tries, with a line of its own.

Sources: the documents' policies for buckets, keys and roles; the text about log groups is recorded,
those about buckets are ours.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from outcrop.authorization.access import Access
from outcrop.authorization.public_policies import listed
from outcrop.authorization.s3 import bucket_arn
from outcrop.errors import AWSError, InternalServerException, ServiceError, ValidationException
from outcrop.invocations.configurations import (
    CHECK_LINE,
    CHECK_NAME,
    STREAM,
    folder,
    source_arn,
)
from outcrop.invocations.records import longest_key
from outcrop.services.call import Call
from outcrop.services.service_callers import BEDROCK, act_as_service
from outcrop.services.service_roles import act, assume, pass_role
from outcrop.stores.bucket_records import Bucket, bucket_place
from outcrop.stores.model_records import LogBucket, LogGroup
from outcrop.stores.tables import to_ms

_SID: Final = "AmazonBedrockLogsWrite"
_SERVER_ERROR: Final = 500
_MOST_KEY_BYTES: Final = 1024
_THERE_ALREADY: Final = "ResourceAlreadyExistsException"

Statement = dict[str, Any]


async def check_bucket(call: Call, wanted: LogBucket) -> None:
    """Leaves an object there that says so. Adds what the bucket's policy lacks, where the caller
    may."""
    await _check_owned(call, wanted)
    if len(longest_key(wanted, call.account, call.region).encode()) > _MOST_KEY_BYTES:
        raise ValidationException(
            f"The keyPrefix is too long: keys of log objects would have more than {_MOST_KEY_BYTES}"
            " bytes, which is more than S3 takes."
        )
    key = f"{folder(wanted, call.account)}{CHECK_NAME}"
    try:
        await _put_word(call, wanted, key)
    except AWSError as error:
        if not await _mends(call, wanted, key, error):
            raise _refused(wanted, key, error) from error
        try:
            await _put_word(call, wanted, key)
        except AWSError as again:
            raise _refused(wanted, key, again) from again


async def check_group(call: Call, group: LogGroup) -> None:
    """Leaves a line in the group's stream that says so."""
    sentence = (
        f"Failed to validate permissions for log group: {group.name}, with role: "
        f"{group.role_arn}. Verify the IAM role permissions are correct."
    )
    source = source_arn(call.account, call.region)
    role = await pass_role(call, group.role_arn, source_arn=source, not_assumable=sentence)
    acting = act(call, await assume(call.stores, role, call.now))
    stream = {"logGroupName": group.name, "logStreamName": STREAM}
    line = {"timestamp": to_ms(call.now), "message": CHECK_LINE}
    try:
        await _create_stream(acting, stream)
        await acting.perform("logs", "PutLogEvents", {**stream, "logEvents": [line]})
    except AWSError as error:
        if error.status >= _SERVER_ERROR:
            raise InternalServerException(error.message) from error
        raise ValidationException(sentence) from error


async def _create_stream(acting: Call, stream: Mapping[str, str]) -> None:
    try:
        await acting.perform("logs", "CreateLogStream", stream)
    except AWSError as error:
        if error.code != _THERE_ALREADY:
            raise


async def _check_owned(call: Call, wanted: LogBucket) -> None:
    async with call.stores.resources.reading() as view:
        found = await view.find(Bucket, bucket_place(wanted.bucket))
    if found is None or (found.record.account, found.record.region) != (call.account, call.region):
        raise ValidationException(
            f"There is no S3 bucket {wanted.bucket} of this account in this Region. Invocation "
            "logs are delivered to the account and Region of the invocations only."
        )
    if found.record.ownership != "BucketOwnerEnforced":
        raise ValidationException(
            f"The S3 bucket {wanted.bucket} has ACLs enabled. Disable them: set its object "
            "ownership to BucketOwnerEnforced."
        )


async def _put_word(call: Call, wanted: LogBucket, key: str) -> None:
    source = source_arn(call.account, call.region)
    acting = act_as_service(call, BEDROCK, source, CHECK_LINE.encode())
    params = {"Bucket": wanted.bucket, "Key": key, "ContentType": "text/plain"}
    await acting.perform("s3", "PutObject", params)


async def _mends(call: Call, wanted: LogBucket, key: str, error: AWSError) -> bool:
    """Whether the bucket's policy says now what it did not say before. What it denies stays so."""
    if error.status >= _SERVER_ERROR:
        return False
    access = Access("s3:PutObject", f"{bucket_arn(call.region, wanted.bucket)}/{key}")
    source = source_arn(call.account, call.region)
    decision = await call.gateway.decide(act_as_service(call, BEDROCK, source), access)
    if decision.allowed or decision.reason != "implicit-deny":
        return False
    via = f"bedrock.{call.region}.amazonaws.com"
    try:
        policy = await _find_policy(call, wanted.bucket, via)
        policy["Statement"] = [*listed(policy["Statement"]), _statement(call, wanted, policy)]
        params = {"Bucket": wanted.bucket, "Policy": json.dumps(policy)}
        await call.perform("s3", "PutBucketPolicy", params, via=via)
    except AWSError:
        # Not theirs to do: they are told what the bucket's policy lacks.
        return False
    return True


async def _find_policy(call: Call, bucket: str, via: str) -> dict[str, Any]:
    try:
        found = await call.perform("s3", "GetBucketPolicy", {"Bucket": bucket}, via=via)
    except ServiceError as error:
        if error.code != "NoSuchBucketPolicy":
            raise
        return {"Version": "2012-10-17", "Statement": []}
    return json.loads(found["Policy"])


def _statement(call: Call, wanted: LogBucket, policy: Mapping[str, Any]) -> Statement:
    """As the documents have it."""
    pattern = f"{source_arn(call.account, call.region).rpartition(':')[0]}:*"
    path = f"{folder(wanted, call.account)}*"
    return {
        "Sid": _free_sid(policy),
        "Effect": "Allow",
        "Principal": {"Service": BEDROCK},
        "Action": ["s3:PutObject"],
        "Resource": [f"{bucket_arn(call.region, wanted.bucket)}/{path}"],
        "Condition": {
            "StringEquals": {"aws:SourceAccount": call.account},
            "ArnLike": {"aws:SourceArn": pattern},
        },
    }


def _free_sid(policy: Mapping[str, Any]) -> str:
    taken = {statement.get("Sid") for statement in listed(policy["Statement"])}
    numbered = (f"{_SID}{number}" for number in range(2, len(taken) + 2))
    return next(sid for sid in (_SID, *numbered) if sid not in taken)


def _refused(wanted: LogBucket, key: str, error: AWSError) -> AWSError:
    if error.status >= _SERVER_ERROR:
        return InternalServerException(error.message)
    place = key.rpartition("/")[0]
    return ValidationException(
        f"Failed to validate permissions for S3 bucket: {wanted.bucket}. Verify that the bucket "
        f"policy, and the policy of its KMS key if it has one, let {BEDROCK} put objects at "
        f"{place}/*. {error.message}"
    )
