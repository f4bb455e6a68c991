"""Signatures as S3 takes them: bodies that are yet to come, presigned URLs of both versions."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from chunked_bodies import Arriving
from sigv4_requests import ACCOUNT, KEY, Keys, check, with_header

from outcrop.errors import (
    AWSError,
    InvalidSignatureException,
    NotImplementedException,
    ServiceError,
    UnrecognizedClientException,
)
from outcrop.identity import AccessKey, Caller
from outcrop.security.presigned import with_headers_of_query
from outcrop.wire.http import Request

URL = "http://127.0.0.1:4510/b/a%20b"
SESSION = replace(KEY, id="ASIAIOSFODNN7EXAMPLE", session_token="token/+=")


def sent(url: str | None, headers: Iterable[tuple[str, Any]], method: str) -> Request:
    parts = urlsplit(url or "")
    given = [(name.lower(), v.decode() if isinstance(v, bytes) else v) for name, v in headers]
    host = ("host", parts.netloc)
    return Request(method, parts.path, parts.query, (host, *given), b"", parts.netloc)


class _Declaring(S3SigV4Auth):
    """Signs what the client says of its body instead of the body."""

    declared = ""

    def payload(self, request: AWSRequest) -> str:
        return self.declared or super().payload(request)


def streamed(payload: str | None = None, body: bytes = b"data") -> Request:
    """A PUT whose body has not been read; ``payload`` is what the client says of it."""
    request = AWSRequest(method="PUT", url=URL, data=body)
    signer = _Declaring(Credentials(KEY.id, KEY.secret), "s3", "us-east-1")
    signer.declared = payload or ""
    signer.add_auth(request)
    made = sent(URL, request.headers.items(), "PUT")
    if payload == "":
        made = with_header(made, "x-amz-content-sha256", "")
    return replace(made, incoming=Arriving([body], len(body)))


def presigned(
    version: int, method: str = "GET", url: str = URL, key: AccessKey = KEY, **more: Any
) -> Request:
    credentials = Credentials(key.id, key.secret, key.session_token)
    request = AWSRequest(method=method, url=url, headers=more.pop("headers", {}))
    request.auth_path = more.pop("auth_path", None)
    expires = more.pop("expires", 60)
    if version == 2:
        HmacV1QueryAuth(credentials, expires=expires).add_auth(request)
        # All that is signed stands in the URL now.
        return sent(request.url, (), method)
    S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires=expires).add_auth(request)
    return sent(request.url, request.headers.items(), method)


def verified(request: Request, now: datetime | None = None) -> Caller:
    return check(
        request,
        keys=Keys([KEY, SESSION]),
        now=now,
        signing_name="s3",
        accepts_bearer=False,
    )


def refusal(request: Request, now: datetime | None = None) -> AWSError:
    with pytest.raises(AWSError) as caught:
        verified(request, now)
    return caught.value


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (None, "hash"),
        ("UNSIGNED-PAYLOAD", "unsigned"),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "unsigned-trailer"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "chunks"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "chunks-trailer"),
    ],
)
def test_a_body_that_is_yet_to_come_leaves_its_proof(payload: str | None, kind: str) -> None:
    request = streamed(payload)
    proof = verified(request).payload
    assert proof is not None
    assert proof.kind == kind
    if kind == "hash":
        assert proof.sha256 == hashlib.sha256(b"data").hexdigest()
    if kind.startswith("chunks"):
        assert proof.signature in (request.header("authorization") or "")
        assert proof.scope.endswith("/us-east-1/s3/aws4_request")
    assert "key=" not in repr(proof)


@pytest.mark.parametrize(
    "other", ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "0" * 64]
)
def test_the_proof_cannot_be_exchanged(other: str) -> None:
    request = streamed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    changed = with_header(request, "x-amz-content-sha256", other)
    assert isinstance(refusal(changed), InvalidSignatureException)


def test_a_body_must_be_declared() -> None:
    error = refusal(with_header(streamed(), "x-amz-content-sha256", None))
    assert error.message == "Missing required header for this request: x-amz-content-sha256"


def test_what_no_client_declares_is_refused() -> None:
    for payload in ("STREAMING-SOMETHING", "A" * 64, "", "0" * 63):
        error = refusal(streamed(payload))
        assert (error.code, error.status) == ("InvalidArgument", 400)


def test_signatures_with_elliptic_curves_are_not_there() -> None:
    error = refusal(streamed("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"))
    assert isinstance(error, NotImplementedException)


def test_a_body_in_memory_has_the_declared_hash() -> None:
    request = replace(streamed(), incoming=None, body=b"data")
    assert verified(request).payload is None
    error = refusal(replace(request, body=b"Data"))
    assert (error.code, error.status) == ("XAmzContentSHA256Mismatch", 400)


def test_s3_is_patient_for_a_quarter_of_an_hour() -> None:
    request, now = streamed(), datetime.now(UTC)
    verified(request, now + timedelta(minutes=14))
    for late in (timedelta(minutes=16), timedelta(minutes=-16)):
        assert isinstance(refusal(request, now + late), InvalidSignatureException)


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize("key", [KEY, SESSION], ids=["a user", "a session"])
def test_a_presigned_url_is_its_makers(version: int, key: AccessKey) -> None:
    caller = verified(presigned(version, key=key))
    assert (caller.key_id, caller.account, caller.proof) == (key.id, ACCOUNT, "query")
    assert caller.region == (None if version == 2 else "us-east-1")


@pytest.mark.parametrize("version", [2, 4])
def test_a_presigned_url_ends(version: int) -> None:
    error = refusal(presigned(version), datetime.now(UTC) + timedelta(seconds=62))
    assert (error.code, error.status, error.message) == (
        "AccessDenied",
        403,
        "Request has expired",
    )


@pytest.mark.parametrize("version", [2, 4])
def test_another_object_another_method_or_an_added_version_is_refused(version: int) -> None:
    good = presigned(version)
    query = good.raw_query
    for changed in (
        replace(good, raw_path="/b/other"),
        replace(good, method="DELETE"),
        replace(good, raw_query=f"versionId=1&{query}"),
        replace(good, raw_query=f"{query}&response-content-type=text%2Fhtml"),
        replace(good, raw_query=f"{query}&x-amz-acl=public-read"),
        with_header(good, "x-amz-acl", "public-read"),
    ):
        error = refusal(changed)
        assert isinstance(error, InvalidSignatureException)


@pytest.mark.parametrize("version", [2, 4])
def test_what_the_query_overrides_is_signed_with_it(version: int) -> None:
    url = f"{URL}?response-content-type=text%2Fplain&versionId=a%2Fb"
    verified(presigned(version, url=url))


def test_an_url_without_all_its_parameters_says_which_there_are() -> None:
    good = presigned(4)
    error = refusal(replace(good, raw_query=good.raw_query.replace("X-Amz-Expires=60&", "")))
    assert (error.code, error.status) == ("AuthorizationQueryParametersError", 400)
    assert error.message.startswith("Query-string authentication version 4 requires the X-Amz-")
    good = presigned(2)
    query = "&".join(f for f in good.raw_query.split("&") if not f.startswith("Signature"))
    error = refusal(replace(good, raw_query=query))
    assert error.message == (
        "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
    )


@pytest.mark.parametrize("name", ["retention", "legal-hold", "publicAccessBlock", "encryption"])
def test_version_2_takes_no_parameter_that_it_does_not_cover(name: str) -> None:
    good = presigned(2, "PUT")
    error = refusal(replace(good, raw_query=f"{name}&{good.raw_query}"))
    assert isinstance(error, ServiceError)
    assert error.code == "AccessDenied"


def test_version_2_takes_each_parameter_once() -> None:
    good = presigned(2, url=f"{URL}?versionId=1")
    verified(good)
    assert refusal(replace(good, raw_query=f"versionId=1&{good.raw_query}")).code == "AccessDenied"


def test_version_2_covers_the_bucket_that_the_host_names() -> None:
    url = "http://b.s3.us-east-1.amazonaws.com/k"
    good = presigned(2, url=url, auth_path="/b/k")
    verified(good)
    other = replace(good, host="c.s3.us-east-1.amazonaws.com")
    assert isinstance(refusal(other), InvalidSignatureException)
    # Path style names the same object, and is signed alike.
    verified(replace(good, host="127.0.0.1:4510", raw_path="/b/k"))


def test_an_unknown_key_or_a_token_of_another_is_refused() -> None:
    for key in (replace(KEY, id="AKIAUNKNOWN"), replace(KEY, session_token="token/+=")):
        assert isinstance(refusal(presigned(2, key=key)), UnrecognizedClientException)


def test_headers_in_a_query_are_covered_and_read() -> None:
    headers = {"x-amz-acl": "private", "Content-Type": "text/plain"}
    good = presigned(2, "PUT", headers=headers)
    verified(good)
    assert isinstance(
        refusal(replace(good, raw_query=good.raw_query.replace("private", "public-read"))),
        InvalidSignatureException,
    )
    read = with_headers_of_query(good)
    assert (read.header("x-amz-acl"), read.header("content-type")) == ("private", "text/plain")
    assert with_headers_of_query(presigned(4)).headers == presigned(4).headers


def test_the_hash_of_a_body_holds_under_version_2_too() -> None:
    declared = hashlib.sha256(b"data").hexdigest()
    good = presigned(2, "PUT", headers={"x-amz-content-sha256": declared})
    verified(replace(good, body=b"data"))
    assert refusal(replace(good, body=b"Data")).code == "XAmzContentSHA256Mismatch"
    proof = verified(replace(good, incoming=Arriving([], 4))).payload
    assert proof is not None
    assert (proof.kind, proof.sha256) == ("hash", declared)
    coded = presigned(2, "PUT", headers={"x-amz-content-sha256": "STREAMING-UNSIGNED"})
    assert refusal(coded).code == "AccessDenied"
