"""The bucket that a request is about: there, of the region asked, and of the owner expected."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from outcrop.authorization.access import Asked
from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.stores.bucket_records import Bucket, bucket_place
from outcrop.stores.resources import Item

_ACCOUNT = re.compile(r"\d{12}", re.ASCII)


async def get_bucket(call: Call, params: Mapping[str, Any]) -> Item[Bucket]:
    bucket = await get_bucket_named(call, params["Bucket"])
    expect_owner(bucket, params.get("ExpectedBucketOwner"))
    return bucket


async def get_bucket_named(call: Call, name: str) -> Item[Bucket]:
    async with call.stores.resources.reading() as view:
        bucket = await view.find(Bucket, bucket_place(name))
    if bucket is None:
        raise no_such_bucket(name)
    if bucket.record.region != call.region:
        raise ServiceError(
            "AuthorizationHeaderMalformed",
            f"The authorization header is malformed; the region '{call.region}' is wrong; "
            f"expecting '{bucket.record.region}'",
            status=400,
            Region=bucket.record.region,
        )
    return bucket


def expect_owner(bucket: Item[Bucket], expected: str | None) -> None:
    if expected is None:
        return
    if not _ACCOUNT.fullmatch(expected):
        raise ServiceError(
            "InvalidBucketOwnerAWSAccountID",
            "The value of the expected bucket owner parameter must be an AWS Account ID... "
            f"[{expected}]",
            status=400,
        )
    if expected != bucket.record.account:
        raise access_denied()


def asked_of(call: Call, params: Mapping[str, Any]) -> Asked:
    return Asked(params, call.caller, call.region, call.catalog, call.request, call.stores.models)


def owner(account: str) -> dict[str, str]:
    """The canonical user ID that stands for an account."""
    return {"ID": hashlib.sha256(f"outcrop:{account}".encode()).hexdigest()}


def no_such_bucket(name: str) -> ServiceError:
    return ServiceError(
        "NoSuchBucket", "The specified bucket does not exist", status=404, BucketName=name
    )


def access_denied() -> ServiceError:
    return ServiceError("AccessDenied", "Access Denied", status=403)


def malformed_xml() -> ServiceError:
    return ServiceError(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
        status=400,
    )


def not_implemented(what: str) -> ServiceError:
    """``what`` is a sentence."""
    return ServiceError("NotImplemented", what, status=501)
