"""What S3's operations ask leave for: those of ``s3.toml``, and those that ask for more than one.

A version that is named has actions of its own (``s3:GetObjectVersion``), and what a request adds
to an object (an ACL, tags, a lock) needs leave by itself.
"""

import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from outcrop.authorization.access import Access, Asked, Rule
from outcrop.authorization.tags import read_tags, request_tag_keys
from outcrop.catalog.arns import partition_of
from outcrop.errors import ServiceError

Keys = dict[str, str | tuple[str, ...]]

_TABLE: Final = tomllib.loads(
    files("outcrop.authorization").joinpath("s3.toml").read_text(encoding="utf-8")
)

_KEYS: Mapping[str, str] = {
    "ACL": "s3:x-amz-acl",
    "CopySource": "s3:x-amz-copy-source",
    "Delimiter": "s3:delimiter",
    "GrantFullControl": "s3:x-amz-grant-full-control",
    "GrantRead": "s3:x-amz-grant-read",
    "GrantReadACP": "s3:x-amz-grant-read-acp",
    "GrantWrite": "s3:x-amz-grant-write",
    "GrantWriteACP": "s3:x-amz-grant-write-acp",
    "IfMatch": "s3:if-match",
    "IfNoneMatch": "s3:if-none-match",
    "MaxKeys": "s3:max-keys",
    "MetadataDirective": "s3:x-amz-metadata-directive",
    "ObjectLockLegalHoldStatus": "s3:object-lock-legal-hold",
    "ObjectLockMode": "s3:object-lock-mode",
    "ObjectOwnership": "s3:x-amz-object-ownership",
    "Prefix": "s3:prefix",
    "SSECustomerAlgorithm": "s3:x-amz-server-side-encryption-customer-algorithm",
    "SSEKMSKeyId": "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "ServerSideEncryption": "s3:x-amz-server-side-encryption",
    "StorageClass": "s3:x-amz-storage-class",
    "VersionId": "s3:versionid",
    "WebsiteRedirectLocation": "s3:x-amz-website-redirect-location",
}
"""Condition keys that are parameters of the request."""

_GRANTS = ("ACL", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWrite", "GrantWriteACP")


def bucket_arn(region: str, bucket: str) -> str:
    return f"arn:{partition_of(region)}:s3:::{bucket}"


def object_arn(region: str, bucket: str, key: str) -> str:
    return f"{bucket_arn(region, bucket)}/{key}"


def read_copy_source(text: str) -> tuple[str, str, str | None]:
    """Bucket, key and version of ``bucket/key?versionId=…``, which is percent-encoded and may
    begin with a slash."""
    place, _, query = text.partition("?")
    bucket, _, key = unquote(place.removeprefix("/")).partition("/")
    name, _, version = query.partition("=")
    if not bucket or not key or (query and (name != "versionId" or not version)):
        raise ServiceError(
            "InvalidArgument",
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            status=400,
            ArgumentName="x-amz-copy-source",
            ArgumentValue=text,
        )
    return bucket, key, unquote(version) or None


def listing(asked: Asked) -> Access:
    """What decides between 403 and 404 where an object is missing."""
    return Access("s3:ListBucket", bucket_arn(asked.region, asked.params["Bucket"]), _signed(asked))


def deletion(asked: Asked, key: str, version: str | None) -> Access:
    """Of one object: DeleteObjects is answered key by key."""
    keys = _signed(asked)
    if version is not None:
        keys["s3:versionid"] = version
    action = "s3:DeleteObject" if version is None else "s3:DeleteObjectVersion"
    return Access(action, object_arn(asked.region, asked.params["Bucket"], key), keys)


def _signed(asked: Asked) -> Keys:
    """How the request is signed. A service that calls for somebody signs nothing."""
    if asked.caller.via:
        return {}
    is_query = asked.caller.proof == "query"
    keys: Keys = {
        "s3:authtype": "REST-QUERY-STRING" if is_query else "REST-HEADER",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
    }
    query = dict(parse_qsl(asked.request.raw_query)) if is_query else {}
    if "AWSAccessKeyId" in query:
        keys["s3:signatureversion"] = "AWS"
    payload = asked.request.header("x-amz-content-sha256") or query.get("X-Amz-Content-Sha256")
    if payload or is_query:
        keys["s3:x-amz-content-sha256"] = payload or "UNSIGNED-PAYLOAD"
    age_ms = _age_ms(query.get("X-Amz-Date") or asked.request.header("x-amz-date"))
    if age_ms is not None:
        keys["s3:signatureage"] = str(age_ms)
    return keys


def _age_ms(timestamp: str | None) -> int | None:
    try:
        signed = datetime.strptime(timestamp or "", "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return max(0, int((datetime.now(UTC) - signed).total_seconds() * 1000))


def _keys(asked: Asked) -> Keys:
    keys = _signed(asked)
    for name, key in _KEYS.items():
        value = asked.params.get(name)
        if value is not None:
            keys[key] = str(value)
    until = asked.params.get("ObjectLockRetainUntilDate")
    if isinstance(until, datetime):
        keys["s3:object-lock-retain-until-date"] = until.strftime("%Y-%m-%dT%H:%M:%SZ")
        days = (until - datetime.now(UTC)).days
        keys["s3:object-lock-remaining-retention-days"] = str(days)
    return keys | _object_tags(asked.params.get("Tagging"))


def _object_tags(tagging: Any) -> Keys:
    """Of an object: a header in the form of a query, or a structure with a ``TagSet``."""
    if not tagging:
        return {}
    if isinstance(tagging, str):
        tags = dict(parse_qsl(tagging, keep_blank_values=True))
    else:
        tags = read_tags(tagging["TagSet"])
    keys: Keys = {f"s3:requestobjecttag/{name.lower()}": value for name, value in tags.items()}
    return keys | {"s3:requestobjecttagkeys": tuple(tags)}


def _on_bucket(action: str) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        resource = bucket_arn(asked.region, asked.params["Bucket"])
        return (Access(f"s3:{action}", resource, _keys(asked)),)

    return rule


def _object(asked: Asked, action: str, keys: Keys) -> Access:
    params = asked.params
    return Access(f"s3:{action}", object_arn(asked.region, params["Bucket"], params["Key"]), keys)


def _on_object(action: str, of_version: str) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        chosen = of_version if asked.params.get("VersionId") else action
        return (_object(asked, chosen, _keys(asked)),)

    return rule


def _put_bucket_tagging(asked: Asked) -> Sequence[Access]:
    keys = _signed(asked) | request_tag_keys(asked.params["Tagging"]["TagSet"])
    return (Access("s3:PutBucketTagging", bucket_arn(asked.region, asked.params["Bucket"]), keys),)


def _create_bucket(asked: Asked) -> Sequence[Access]:
    params = asked.params
    settings = params.get("CreateBucketConfiguration", {})
    keys = _keys(asked) | request_tag_keys(settings.get("Tags"))
    if "LocationConstraint" in settings:
        keys["s3:locationconstraint"] = settings["LocationConstraint"]
    actions = ["CreateBucket"]
    if any(name in params for name in _GRANTS):
        actions.append("PutBucketAcl")
    if params.get("ObjectLockEnabledForBucket"):
        actions += ["PutBucketObjectLockConfiguration", "PutBucketVersioning"]
    if "ObjectOwnership" in params:
        actions.append("PutBucketOwnershipControls")
    if settings.get("Tags"):
        actions.append("TagResource")
    resource = bucket_arn(asked.region, params["Bucket"])
    return [Access(f"s3:{action}", resource, keys) for action in actions]


def _put_object(asked: Asked) -> Sequence[Access]:
    """An object with all that the request puts on it."""
    params = asked.params
    actions = ["PutObject"]
    # AWS's services hand over what they write, by an ACL that the bucket's policy asks for; the
    # documents' policies grant them s3:PutObject alone.
    is_service = asked.caller.principal.kind == "service"
    if not is_service and any(name in params for name in _GRANTS):
        actions.append("PutObjectAcl")
    if params.get("Tagging"):
        actions.append("PutObjectTagging")
    if "ObjectLockMode" in params or "ObjectLockRetainUntilDate" in params:
        actions.append("PutObjectRetention")
    if "ObjectLockLegalHoldStatus" in params:
        actions.append("PutObjectLegalHold")
    keys = _keys(asked)
    return [_object(asked, action, keys) for action in actions]


def _copied(put: Rule) -> Rule:
    """Reads the source and puts the target."""

    def rule(asked: Asked) -> Sequence[Access]:
        bucket, key, version = read_copy_source(asked.params["CopySource"])
        keys = _signed(asked)
        if version is not None:
            keys["s3:versionid"] = version
        action = "s3:GetObject" if version is None else "s3:GetObjectVersion"
        return [Access(action, object_arn(asked.region, bucket, key), keys), *put(asked)]

    return rule


def _delete_object(asked: Asked) -> Sequence[Access]:
    params = asked.params
    keys = _keys(asked)
    actions = ["DeleteObjectVersion" if params.get("VersionId") else "DeleteObject"]
    if params.get("BypassGovernanceRetention"):
        actions.append("BypassGovernanceRetention")
    return [_object(asked, action, keys) for action in actions]


def _delete_objects(asked: Asked) -> Sequence[Access]:
    """Its handler decides key by key."""
    return ()


def _get_object_attributes(asked: Asked) -> Sequence[Access]:
    keys = _keys(asked)
    version = "Version" if asked.params.get("VersionId") else ""
    actions = (f"GetObject{version}", f"GetObject{version}Attributes")
    return [_object(asked, action, keys) for action in actions]


def _put_object_retention(asked: Asked) -> Sequence[Access]:
    retention = asked.params.get("Retention", {})
    keys = _keys(asked)
    if "Mode" in retention:
        keys["s3:object-lock-mode"] = retention["Mode"]
    actions = ["PutObjectRetention"]
    if asked.params.get("BypassGovernanceRetention"):
        actions.append("BypassGovernanceRetention")
    return [_object(asked, action, keys) for action in actions]


def _list_buckets(asked: Asked) -> Sequence[Access]:
    return (Access("s3:ListAllMyBuckets", "*", _keys(asked)),)


_OWN: Mapping[str, Rule] = {
    "CopyObject": _copied(_put_object),
    "CreateBucket": _create_bucket,
    "CreateMultipartUpload": _put_object,
    "DeleteObject": _delete_object,
    "DeleteObjects": _delete_objects,
    "GetObjectAttributes": _get_object_attributes,
    "ListBuckets": _list_buckets,
    "PutBucketTagging": _put_bucket_tagging,
    "PutObject": _put_object,
    "PutObjectRetention": _put_object_retention,
    "UploadPartCopy": _copied(_on_object("PutObject", "PutObject")),
}

RULES: Mapping[str, Rule] = {
    **{name: _on_bucket(action) for name, action in _TABLE["buckets"].items()},
    **{name: _on_object(*actions) for name, actions in _TABLE["objects"].items()},
    **_OWN,
}
