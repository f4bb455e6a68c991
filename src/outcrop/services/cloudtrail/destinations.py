"""What a trail delivers to, checked as it is set: bucket, topic, key, log group and role.

CloudTrail is asked for as itself, for the trail: what it may is decided as at each delivery.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from outcrop.authorization.access import Access, KeyValues
from outcrop.authorization.s3 import bucket_arn, object_arn
from outcrop.errors import AWSError, ServiceError
from outcrop.services.call import Call
from outcrop.services.service_callers import CLOUDTRAIL, act_as_service
from outcrop.services.service_roles import ServiceRole, act, assume, pass_role
from outcrop.stores.bucket_records import Bucket, bucket_place
from outcrop.stores.kms_records import read_reference
from outcrop.stores.trail_records import Trail
from outcrop.trail.files import log_prefix

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_LONGEST_PREFIX: Final = 200
_TOPIC: Final = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]{1,256}")
_TOPIC_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)
_LOG_GROUP: Final = re.compile(
    r"arn:aws[a-z-]*:logs:([a-z0-9-]+):([0-9]{12}):log-group:([A-Za-z0-9_/.#-]{1,512}):\*", re.ASCII
)
_DENIED: Final = "Access denied. Check the permissions for your role."


@dataclass(frozen=True, slots=True)
class Checking:
    """``arn`` is of the trail that is to be."""

    call: Call
    arn: str

    async def may(self, access: Access) -> bool:
        acting = act_as_service(self.call, CLOUDTRAIL, self.arn)
        return (await acting.gateway.decide(acting, access)).allowed


async def check_bucket(checking: Checking, trail: Trail) -> None:
    name, call = trail.bucket, checking.call
    if _BUCKET.fullmatch(name) is None:
        raise ServiceError("InvalidS3BucketNameException", f"Bucket name {name!r} is not valid.")
    if len(trail.prefix) > _LONGEST_PREFIX:
        raise ServiceError(
            "InvalidS3PrefixException",
            f"The prefix has {len(trail.prefix)} characters. It has at most {_LONGEST_PREFIX}.",
        )
    async with call.stores.resources.reading() as view:
        bucket = await view.find(Bucket, bucket_place(name))
    if bucket is None:
        raise ServiceError("S3BucketDoesNotExistException", f"S3 bucket {name} does not exist!")
    key = f"{log_prefix(trail, call.account)}CloudTrail/{call.region}/"
    full_control: KeyValues = {"s3:x-amz-acl": "bucket-owner-full-control"}
    region = bucket.record.region
    needed = (
        Access("s3:GetBucketAcl", bucket_arn(region, name)),
        Access("s3:PutObject", object_arn(region, name, key), full_control),
    )
    for access in needed:
        if not await checking.may(access):
            raise ServiceError(
                "InsufficientS3BucketPolicyException",
                f"Incorrect S3 bucket policy is detected for bucket: {name}",
            )


async def read_topic(checking: Checking, name: str) -> str:
    """The ARN."""
    call = checking.call
    arn = name
    if _TOPIC.fullmatch(name) is None:
        if _TOPIC_NAME.fullmatch(name) is None:
            raise ServiceError(
                "InvalidSnsTopicNameException", f"The SNS topic name {name!r} is not valid."
            )
        arn = f"arn:aws:sns:{call.region}:{call.account}:{name}"
    if not await checking.may(Access("sns:Publish", arn)):
        raise ServiceError(
            "InsufficientSnsTopicPolicyException",
            "SNS Topic does not exist or the topic policy is incorrect!",
        )
    return arn


async def read_key(checking: Checking, name: str, bucket: str) -> str:
    """The ARN of the key. Files are encrypted by S3 for CloudTrail, which is what is asked for."""
    call = checking.call
    reference = read_reference(name, call.region, call.account)
    if reference is None:
        raise ServiceError("InvalidKmsKeyIdException", f"The KMS key {name!r} is not valid.")
    try:
        described = await call.perform("kms", "DescribeKey", {"KeyId": reference.arn})
    except AWSError as error:
        raise ServiceError("KmsKeyNotFoundException", error.message) from error
    key: Mapping[str, Any] = described["KeyMetadata"]
    if key["KeyState"] != "Enabled":
        raise ServiceError("KmsKeyDisabledException", f"The KMS key {key['Arn']} is not enabled.")
    context: KeyValues = {
        "kms:encryptioncontext:aws:s3:arn": f"arn:aws:s3:::{bucket}",
        "kms:encryptioncontextkeys": ("aws:s3:arn",),
        "kms:viaservice": f"s3.{call.region}.amazonaws.com",
    }
    if not await checking.may(Access("kms:GenerateDataKey", key["Arn"], context)):
        raise ServiceError(
            "InsufficientEncryptionPolicyException",
            f"Insufficient permissions to access S3 bucket {bucket} or KMS key {key['Arn']}.",
        )
    return key["Arn"]


async def check_log_group(checking: Checking, group: str, role_arn: str) -> None:
    """The role is passed by the caller, trusts CloudTrail and may write to the group."""
    call = checking.call
    read = _LOG_GROUP.fullmatch(group)
    if read is None or read[1] != call.region or read[2] != call.account:
        raise ServiceError(
            "InvalidCloudWatchLogsLogGroupArnException",
            "CloudTrail cannot validate the specified log group ARN: it is one of this account and "
            "region, and ends in ':*'.",
        )
    try:
        role: ServiceRole = await pass_role(
            call, role_arn, source_arn=checking.arn, service=CLOUDTRAIL, not_assumable=_DENIED
        )
    except AWSError as error:
        raise ServiceError("InvalidCloudWatchLogsRoleArnException", error.message) from error
    acting = act(replace(call), await assume(call.stores, role, call.now))
    stream = f"{group.removesuffix(':*')}:log-stream:{call.account}_CloudTrail_{call.region}"
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        if not (await acting.gateway.decide(acting, Access(action, stream))).allowed:
            raise ServiceError("InvalidCloudWatchLogsRoleArnException", _DENIED)
    groups = await call.perform(
        "logs", "DescribeLogGroups", {"logGroupNamePrefix": read[3], "limit": 50}
    )
    if not any(each["logGroupName"] == read[3] for each in groups.get("logGroups", ())):
        raise ServiceError(
            "InvalidCloudWatchLogsLogGroupArnException",
            f"The specified log group {read[3]} does not exist.",
        )
