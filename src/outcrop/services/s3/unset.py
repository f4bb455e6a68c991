"""What a bucket can be asked for and never has here: told as S3 tells it of a new bucket.

Setting any of it is not implemented, so that nothing is set is the truth.
"""

from collections.abc import Mapping
from typing import Any

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.s3.owned import get_bucket


@operation
async def get_bucket_cors(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    raise await _missing(
        call, params, "NoSuchCORSConfiguration", "The CORS configuration does not exist"
    )


@operation
async def get_bucket_website(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    raise await _missing(
        call,
        params,
        "NoSuchWebsiteConfiguration",
        "The specified bucket does not have a website configuration",
    )


@operation
async def get_bucket_lifecycle_configuration(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    raise await _missing(
        call,
        params,
        "NoSuchLifecycleConfiguration",
        "The lifecycle configuration does not exist",
    )


@operation
async def get_bucket_replication(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    raise await _missing(
        call,
        params,
        "ReplicationConfigurationNotFoundError",
        "The replication configuration was not found",
    )


@operation
async def get_object_lock_configuration(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    raise await _missing(
        call,
        params,
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    )


@operation
async def get_bucket_logging(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return await _nothing(call, params)


@operation
async def get_bucket_accelerate_configuration(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    return await _nothing(call, params)


@operation
async def get_bucket_notification_configuration(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    return await _nothing(call, params)


@operation
async def get_bucket_request_payment(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return {**await _nothing(call, params), "Payer": "BucketOwner"}


@operation
async def list_bucket_analytics_configurations(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    return {**await _nothing(call, params), "IsTruncated": False}


@operation
async def list_bucket_intelligent_tiering_configurations(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    return {**await _nothing(call, params), "IsTruncated": False}


@operation
async def list_bucket_inventory_configurations(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    return {**await _nothing(call, params), "IsTruncated": False}


@operation
async def list_bucket_metrics_configurations(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    return {**await _nothing(call, params), "IsTruncated": False}


@operation
async def get_bucket_analytics_configuration(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    raise await _missing(
        call, params, "NoSuchConfiguration", "The specified configuration does not exist."
    )


async def _nothing(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await get_bucket(call, params)
    return {}


async def _missing(call: Call, params: Mapping[str, Any], code: str, text: str) -> ServiceError:
    bucket = await get_bucket(call, params)
    return ServiceError(code, text, status=404, BucketName=bucket.name)
