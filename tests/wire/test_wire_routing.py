"""Which service, operation and protocol a request is for, with all services on one port."""

import pytest
from hypothesis import given, settings, strategies as st

from outcrop.errors import AWSError, SerializationException, ServiceError, UnknownOperationException
from outcrop.wire.forms import MAX_FORM_BYTES
from outcrop.wire.http import Request
from outcrop.wire.routing import Router
from outcrop.wire.spec import load_service

HERE = "127.0.0.1:4510"
SERVICES = (
    *("bedrock", "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime"),
    *("iam", "sts", "kms", "secretsmanager", "ec2", "s3", "health", "cloudwatch", "lambda"),
)


@pytest.fixture(scope="module")
def port() -> Router:
    return Router([load_service(name) for name in SERVICES])


def signed(scope: str) -> tuple[str, str]:
    return (
        "authorization",
        f"AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/{scope}/aws4_request, x",
    )


def ask(
    method: str,
    path: str,
    query: str = "",
    *,
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    host: str = HERE,
) -> Request:
    return Request(method, path, query, headers, body, host)


FORM = b"Action=GetCallerIdentity&Version=2011-06-15"
S3 = (signed("s3"),)
FOUND = {
    "a form by its version": (ask("POST", "/", body=FORM), "sts", "GetCallerIdentity", "query"),
    "a form in the query": (
        ask("GET", "/", FORM.decode()),
        *("sts", "GetCallerIdentity", "query"),
    ),
    "a form whose action comes last": (
        ask("POST", "/", body=b"Version=2010-05-08&UserName=a&Action=GetUser"),
        *("iam", "GetUser", "query"),
    ),
    "a form without a version, by its scope": (
        ask("POST", "/", headers=(signed("ec2"),), body=b"Action=DescribeVpcs"),
        *("ec2", "DescribeVpcs", "ec2"),
    ),
    "a form of an old version, by its host": (
        ask(
            "POST",
            "/",
            body=b"Action=DescribeVpcs&Version=2009-01-01",
            host="ec2.us-east-1.amazonaws.com",
        ),
        *("ec2", "DescribeVpcs", "ec2"),
    ),
    "a target": (
        ask("POST", "/", headers=(("x-amz-target", "TrentService.Encrypt"),), body=b"{}"),
        *("kms", "Encrypt", "json"),
    ),
    "a target with the host": (
        ask(
            "POST",
            "/",
            headers=(("x-amz-target", "secretsmanager.GetSecretValue"),),
            host="secretsmanager.us-east-1.amazonaws.com:443",
        ),
        *("secretsmanager", "GetSecretValue", "json"),
    ),
    "a path of RPC v2": (
        ask(
            "POST",
            "/service/AWSHealth_20160804/operation/DescribeEvents",
            headers=(("smithy-protocol", "rpc-v2-cbor"),),
        ),
        *("health", "DescribeEvents", "smithy-rpc-v2-cbor"),
    ),
    "json where RPC v2 is preferred": (
        ask("POST", "/", headers=(("x-amz-target", "AWSHealth_20160804.DescribeEvents"),)),
        *("health", "DescribeEvents", "json"),
    ),
    "three protocols of one service": (
        ask("POST", "/", body=b"Action=ListMetrics&Version=2010-08-01"),
        *("cloudwatch", "ListMetrics", "query"),
    ),
    "a model invoked": (
        ask("POST", "/model/m/invoke", headers=(signed("bedrock"),)),
        *("bedrock-runtime", "InvokeModel", "rest-json"),
    ),
    "a model invoked with a bearer key": (
        ask(
            "POST",
            "/model/m/invoke",
            headers=(("authorization", "Bearer bedrock-api-key-a/b/c/d/e"),),
        ),
        *("bedrock-runtime", "InvokeModel", "rest-json"),
    ),
    "a function invoked": (
        ask("POST", "/2015-03-31/functions/f/invocations", headers=(signed("lambda"),)),
        *("lambda", "Invoke", "rest-json"),
    ),
    "an object whose path is a model's": (
        ask("PUT", "/model/m/invoke", headers=S3),
        *("s3", "PutObject", "rest-xml"),
    ),
    "a presigned object": (
        ask("GET", "/b/k", "X-Amz-Credential=AKID%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"),
        *("s3", "GetObject", "rest-xml"),
    ),
    "an object presigned in version 2": (
        ask("GET", "/b/k", "AWSAccessKeyId=AKID&Signature=x&Expires=1"),
        *("s3", "GetObject", "rest-xml"),
    ),
    "an object of a virtual host": (
        ask("GET", "/k", host="b.s3.us-east-1.amazonaws.com"),
        *("s3", "GetObject", "rest-xml"),
    ),
    "the buckets": (ask("GET", "/", headers=S3), "s3", "ListBuckets", "rest-xml"),
    "a bucket": (ask("GET", "/b", headers=S3), "s3", "ListObjects", "rest-xml"),
    "a bucket with a slash": (ask("PUT", "/b/", headers=S3), "s3", "CreateBucket", "rest-xml"),
    "list-type": (ask("GET", "/b", "list-type=2", headers=S3), "s3", "ListObjectsV2", "rest-xml"),
    "uploads": (ask("GET", "/b", "uploads", headers=S3), "s3", "ListMultipartUploads", "rest-xml"),
    "uploads=": (
        ask("POST", "/b/k", "uploads=", headers=S3),
        "s3",
        "CreateMultipartUpload",
        "rest-xml",
    ),
    "acl": (ask("GET", "/b", "acl=", headers=S3), "s3", "GetBucketAcl", "rest-xml"),
    "lifecycle, not its deprecated twin": (
        ask("GET", "/b", "lifecycle", headers=S3),
        *("s3", "GetBucketLifecycleConfiguration", "rest-xml"),
    ),
    "a part": (
        ask("PUT", "/b/k", "partNumber=1&uploadId=x&x-id=UploadPart", headers=S3),
        *("s3", "UploadPart", "rest-xml"),
    ),
    "half of what names a part is no whole object": (
        ask("PUT", "/b/k", "uploadId=x", headers=S3),
        *("s3", "UploadPart", "rest-xml"),
    ),
    "a copy": (
        ask("PUT", "/b/k", headers=(*S3, ("x-amz-copy-source", "/c/k"))),
        *("s3", "CopyObject", "rest-xml"),
    ),
    "a part copied": (
        ask("PUT", "/b/k", "partNumber=1&uploadId=x", headers=(*S3, ("x-amz-copy-source", "c/k"))),
        *("s3", "UploadPartCopy", "rest-xml"),
    ),
    "the parts": (ask("GET", "/b/k", "uploadId=x", headers=S3), "s3", "ListParts", "rest-xml"),
    "an upload given up": (
        ask("DELETE", "/b/k", "uploadId=x", headers=S3),
        *("s3", "AbortMultipartUpload", "rest-xml"),
    ),
    "one of many configurations": (
        ask("GET", "/b", "inventory&id=1", headers=S3),
        *("s3", "GetBucketInventoryConfiguration", "rest-xml"),
    ),
}


@pytest.mark.parametrize(("request_", "service", "name", "protocol"), FOUND.values(), ids=FOUND)
def test_the_operation_is_found(
    request_: Request, service: str, name: str, protocol: str, port: Router
) -> None:
    match = port.match(request_)
    assert (match.operation.service.name, match.operation.name) == (service, name)
    assert match.protocol == protocol
    # A second time it may be remembered.
    assert port.match(request_).operation is match.operation


KEYS = {
    "/b/k": ("b", "k"),
    "/b//a/../b": ("b", "/a/../b"),
    "/b/./": ("b", "./"),
    "/b/a%2Fb%20c+d": ("b", "a/b c+d"),
    "/b/%E6%97%A5": ("b", "日"),
    "/b/k/": ("b", "k/"),
    "/b//": ("b", "/"),
}


@pytest.mark.parametrize(("path", "labels"), KEYS.items())
def test_a_key_is_taken_as_it_stands(path: str, labels: tuple[str, str], port: Router) -> None:
    match = port.match(ask("GET", path, headers=S3))
    assert (match.labels["Bucket"], match.labels["Key"]) == labels


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("b.s3.us-east-1.amazonaws.com", "b"),
        ("my.bucket.s3.localhost:4510", "my.bucket"),
        ("a.s3.b.s3.amazonaws.com", "a.s3.b"),
        ("B.S3.dualstack.us-east-1.amazonaws.com", "b"),
        ("b.s3-us-west-2.amazonaws.com", "b"),
        ("bedrock.s3.localhost", "bedrock"),
    ],
)
def test_a_virtual_host_names_the_bucket(host: str, bucket: str, port: Router) -> None:
    assert port.match(ask("GET", "/a/b", host=host)).labels == {"Bucket": bucket, "Key": "a/b"}
    assert port.match(ask("HEAD", "/", host=host)).operation.name == "HeadBucket"


@pytest.mark.parametrize("path", ["/b/%zz", "/b/%ff", "//k", "b", "/%ff", "/b/\u00e9"])
def test_what_is_no_path_of_an_object_is_an_invalid_uri(path: str, port: Router) -> None:
    with pytest.raises(ServiceError) as caught:
        port.match(ask("GET", path, headers=S3))
    assert caught.value.code == "InvalidURI"


UNKNOWN = {
    "a part of a bucket that cannot be deleted": ask("DELETE", "/b", "acl", headers=S3),
    "a form posted to a bucket": ask("POST", "/b", headers=S3),
    "another service's target": ask(
        "POST", "/", headers=(signed("kms"), ("x-amz-target", "TrentService.ListUsers"))
    ),
    "a target of nobody": ask("POST", "/", headers=(("x-amz-target", "Nobody.ListUsers"),)),
    "a target without a dot": ask("POST", "/", headers=(("x-amz-target", "ListUsers"),)),
    "an action of another service": ask("POST", "/", headers=(signed("iam"),), body=FORM),
    "no action": ask("POST", "/", headers=(signed("iam"),), body=b"Version=2010-05-08"),
    "RPC v2 where it is not spoken": ask(
        "POST",
        "/service/TrentService/operation/ListKeys",
        headers=(("smithy-protocol", "rpc-v2-cbor"),),
    ),
    "RPC v2 on another path": ask("POST", "/", headers=(("smithy-protocol", "rpc-v2-cbor"),)),
    "an action by PUT": ask("PUT", "/", headers=(signed("iam"),), body=b"Action=ListUsers"),
    "a model at another's host": ask("POST", "/model/m/invoke", host="kms.us-east-1.amazonaws.com"),
    "a model signed for another service": ask(
        "POST", "/model/m/invoke", headers=(signed("lambda"),)
    ),
}


@pytest.mark.parametrize("request_", UNKNOWN.values(), ids=UNKNOWN)
def test_what_no_service_has_is_an_unknown_operation(request_: Request, port: Router) -> None:
    with pytest.raises(UnknownOperationException):
        port.match(request_)


AUDIENCES = {
    "iam by scope": (ask("POST", "/", headers=(signed("iam"),)), "iam", "query"),
    "ec2 by host": (ask("GET", "/", host="ec2.eu-west-1.amazonaws.com"), "ec2", "ec2"),
    "s3": (ask("DELETE", "/b", "acl", headers=S3), "s3", "rest-xml"),
    "kms": (ask("POST", "/", headers=(("x-amz-target", "TrentService.No"),)), "kms", "json"),
    "health": (ask("POST", "/", headers=(signed("health"),)), "health", "json"),
    "health in CBOR": (
        ask("POST", "/", headers=(signed("health"), ("smithy-protocol", "rpc-v2-cbor"))),
        *("health", "smithy-rpc-v2-cbor"),
    ),
    "a form of nobody": (ask("POST", "/", body=b"Action=No"), None, "query"),
    "bedrock by scope": (ask("GET", "/no", headers=(signed("bedrock"),)), None, "rest-json"),
    "nobody": (ask("GET", "/no"), None, "rest-json"),
    "a form of any size": (
        ask("POST", "/", body=b"Action=GetUser&A=" + b"a" * MAX_FORM_BYTES),
        *(None, "rest-json"),
    ),
}


@pytest.mark.parametrize(("request_", "service", "protocol"), AUDIENCES.values(), ids=AUDIENCES)
def test_a_refusal_is_in_the_form_of_who_asks(
    request_: Request, service: str | None, protocol: str, port: Router
) -> None:
    asked = port.audience(request_)
    assert (asked.service.name if asked.service else None, asked.protocol) == (service, protocol)


def test_a_form_too_large_is_refused_before_it_is_read(port: Router) -> None:
    request = ask("POST", "/", headers=(signed("iam"),), body=b"Action=" + b"a" * MAX_FORM_BYTES)
    with pytest.raises(SerializationException, match="at most"):
        port.match(request)


def test_a_queue_may_have_a_path_of_its_own() -> None:
    router = Router([load_service("sqs")])
    request = ask(
        "POST", "/123456789012/queue", headers=(signed("sqs"),), body=b"Action=PurgeQueue"
    )
    assert router.match(request).protocol == "query"


PIECES = st.sampled_from(
    [
        *(
            "",
            "/",
            "a",
            "..",
            "%",
            "%2F",
            "Action=",
            "GetUser",
            "&",
            "Version=2010-05-08",
            "s3",
            ".",
        ),
        *("service", "operation", "TrentService", "Encrypt", "AWSHealth_20160804", "uploads", "="),
        *(
            "X-Amz-Credential=",
            "AWSAccessKeyId=",
            "bedrock",
            "amazonaws",
            "com",
            ":4510",
            "é",
            "\0",
        ),
    ]
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)
NAMES = st.sampled_from(["authorization", "x-amz-target", "smithy-protocol", "x-amz-copy-source"])
VALUES = st.one_of(
    TEXTS,
    st.sampled_from(["rpc-v2-cbor", *(signed(name)[1] for name in ("s3", "iam", "kms", "ec2"))]),
)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", ""]),
    path=TEXTS.map("/".__add__),
    query=TEXTS,
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=3).map(tuple),
    body=TEXTS.map(str.encode) | st.binary(max_size=30),
    host=TEXTS,
)
@settings(max_examples=600, deadline=None)
def test_no_request_breaks_the_router(
    method: str,
    path: str,
    query: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    host: str,
) -> None:
    router = ROUTER
    request = Request(method, path, query, headers, body, host)
    assert router.audience(request).protocol
    try:
        match = router.match(request)
    except AWSError:
        return
    assert match.protocol in match.operation.service.protocols


ROUTER = Router([load_service(name) for name in SERVICES])
