"""Signatures of real signers pass, and whatever is changed afterwards is refused."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings, strategies as st
from sigv4_requests import KEY, Keys, check, sign, with_header

from outcrop.errors import (
    AWSError,
    ExpiredTokenException,
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    NotImplementedException,
    UnrecognizedClientException,
)
from outcrop.security.authenticate import MAX_AUTHORIZATION_CHARS
from outcrop.wire.http import Request

BASE = "http://127.0.0.1:4510"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
MISMATCH = "The request signature we calculated does not match the signature you provided."

# Pieces as they may stand in a URL on the wire; "?" and "#" would end the path.
pieces = st.sampled_from([*"abcXYZ019-._~:@!$&'()*+,;=", "%2F", "%3A", "%25", "%20", "%E6%97%A5"])
segments = st.lists(pieces, max_size=12).map("".join)
paths = st.lists(segments | st.sampled_from(["", ".", "..", "arn%3Aaws%3A%2Fx"]), max_size=5)


@given(parts=paths, body=st.binary(max_size=64), expires=st.none() | st.integers(1, 604_800))
@settings(max_examples=200, deadline=None)
def test_what_botocore_signs_is_accepted(
    parts: list[str], body: bytes, expires: int | None
) -> None:
    url = f"{BASE}/" + "/".join(parts)
    # The URL of a presigned request carries everything; botocore moves a body into it.
    request = sign(url=url, body=b"" if expires else body, expires=expires)
    assert check(request).key_id == KEY.id


@given(pairs=st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6)), max_size=5))
@settings(max_examples=100, deadline=None)
def test_any_encoded_query_is_accepted(pairs: list[tuple[str, str]]) -> None:
    def encode(text: str) -> str:
        return "".join(f"%{byte:02X}" for byte in text.encode())

    query = "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs)
    assert check(sign(url=f"{BASE}/x?{query}" if query else f"{BASE}/x")).region == "us-east-1"


@pytest.mark.parametrize(
    "path",
    [
        "/model/arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-text-lite-v1/invoke",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Famazon.titan/invoke",
        "/model/us.amazon.nova-2-lite-v1:0/converse",
        "/a//b/./c/../d/",
        "/agents/X/",
    ],
)
def test_a_path_is_verified_as_it_was_sent(path: str) -> None:
    assert check(sign(url=BASE + path)).proof == "header"


def test_a_repeated_header_is_joined() -> None:
    signed = sign(headers={"x-amz-meta": "one, two"})
    joined = with_header(sign(headers={"x-amz-meta": "one,two"}), "x-amz-meta", None)
    split = replace(
        joined, headers=(*joined.headers, ("x-amz-meta", " one "), ("x-amz-meta", "two"))
    )
    assert check(signed).key_id == check(split).key_id


def test_the_region_of_the_scope_is_the_callers() -> None:
    assert check(sign(region="ap-northeast-1")).region == "ap-northeast-1"


def refused(request: Request, kind: type[AWSError], now: datetime | None = None) -> str:
    with pytest.raises(kind) as caught:
        check(request, now=now)
    assert type(caught.value) is kind
    return caught.value.message


BODY = b'{"prompt": "hi"}'
Tamper = Callable[[Request], Request]


def _flip(at: int) -> Tamper:
    def tamper(request: Request) -> Request:
        flipped = bytes([*request.body[:at], request.body[at] ^ 1, *request.body[at + 1 :]])
        return replace(request, body=flipped)

    return tamper


def _header(name: str, value: str | None) -> Tamper:
    return lambda request: with_header(request, name, value)


def _part(**changes: str) -> Tamper:
    def tamper(request: Request) -> Request:
        fields: dict[str, Any] = dict(changes)
        return replace(request, **fields)

    return tamper


TAMPERS: dict[str, Tamper] = {
    **{f"byte {at}": _flip(at) for at in range(len(BODY))},
    "header host": _header("host", "changed"),
    "header content-type": _header("content-type", "changed"),
    "header x-amzn-bedrock-trace": _header("x-amzn-bedrock-trace", "changed"),
    "no content-type": _header("content-type", None),
    "no x-amzn-bedrock-trace": _header("x-amzn-bedrock-trace", None),
    "longer body": lambda request: replace(request, body=request.body + b" "),
    "path": _part(raw_path="/model/b/invoke"),
    "path encoding": _part(raw_path="/model/%61/invoke"),
    "method": _part(method="PUT"),
    "query value": _part(raw_query="one=1&two=3"),
    "query name": _part(raw_query="one=1&too=2"),
    "query added": _part(raw_query="one=1&three&two=2"),
    "query gone": _part(raw_query="one=1"),
}


@pytest.mark.parametrize("tamper", TAMPERS.values(), ids=TAMPERS.keys())
def test_a_tampered_request_is_refused(tamper: Tamper) -> None:
    # Signed here, not at collection: a long run would make the signature stale.
    request = sign(
        url=f"{BASE}/model/a/invoke?one=1&two=2",
        body=BODY,
        headers={"content-type": "application/json", "x-amzn-bedrock-trace": "ENABLED"},
    )
    assert refused(tamper(request), InvalidSignatureException).startswith(MISMATCH)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/us-east-1/", "/us-west-2/"),
        ("Signature=", "Signature=0"),
        (";x-amz-date", ";x-amz-date;x"),
    ],
)
def test_a_tampered_authorization_is_refused(old: str, new: str) -> None:
    request = sign()
    authorization = (request.header("authorization") or "").replace(old, new)
    assert refused(
        with_header(request, "authorization", authorization), InvalidSignatureException
    ).startswith(MISMATCH)


def test_a_changed_date_is_refused() -> None:
    request = sign()
    date = request.header("x-amz-date") or ""
    changed = f"{date[:-2]}{(int(date[-2]) + 1) % 10}Z"
    message = refused(with_header(request, "x-amz-date", changed), InvalidSignatureException)
    assert message.startswith(MISMATCH)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Amz-Expires", "604800"),
        ("X-Amz-Signature", "0" * 64),
        ("X-Amz-SignedHeaders", "host%3Bfoo"),
        ("Other", "1"),
    ],
)
def test_a_tampered_presigned_url_is_refused(name: str, value: str) -> None:
    request = sign(method="GET", url=f"{BASE}/x?Other=0", expires=60)
    assert check(request).proof == "query"
    pairs = [pair.split("=") for pair in request.raw_query.split("&")]
    query = "&".join(f"{key}={value if key == name else old}" for key, old in pairs)
    message = refused(replace(request, raw_query=query), InvalidSignatureException)
    assert message.startswith(MISMATCH)


def test_the_wrong_service_is_named() -> None:
    with pytest.raises(InvalidSignatureException) as caught:
        check(sign(), signing_name="bedrock-runtime")
    assert caught.value.message == (
        "Credential should be scoped to correct service: 'bedrock-runtime'. "
    )
    request = sign()
    authorization = (request.header("authorization") or "").replace("/bedrock/", "/s3/")
    message = refused(
        with_header(request, "authorization", authorization), InvalidSignatureException
    )
    assert message == "Credential should be scoped to correct service: 'bedrock'. "


def test_a_region_that_is_none_is_refused() -> None:
    message = refused(sign(region="../etc"), IncompleteSignatureException)
    assert message.startswith("Credential must have exactly 5 slash-delimited elements")
    message = refused(sign(region="US_EAST"), InvalidSignatureException)
    assert message == "Credential should be scoped to a valid region. "


def _at(signed: datetime, monkeypatch: pytest.MonkeyPatch, expires: int | None = None) -> Request:
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: signed)
    return sign(method="GET", expires=expires)


def test_a_stale_signature_is_refused_in_awss_words(monkeypatch: pytest.MonkeyPatch) -> None:
    request = _at(datetime(2025, 1, 30, 6, 45, 8, tzinfo=UTC), monkeypatch)
    now = datetime(2025, 2, 10, 1, 39, 11, tzinfo=UTC)
    assert refused(request, InvalidSignatureException, now) == (
        "Signature expired: 20250130T064508Z is now earlier than 20250210T013411Z "
        "(20250210T013911Z - 5 min.)"
    )


def test_a_signature_of_the_future_is_refused_in_awss_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = _at(NOW + timedelta(minutes=5, seconds=1), monkeypatch)
    assert refused(request, InvalidSignatureException, NOW) == (
        "Signature not yet current: 20260304T051108Z is still later than 20260304T051107Z "
        "(20260304T050607Z + 5 min.)"
    )


@pytest.mark.parametrize("minutes", [-5, 0, 5])
def test_five_minutes_of_skew_are_allowed(minutes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    request = _at(NOW + timedelta(minutes=minutes), monkeypatch)
    assert check(request, now=NOW).key_id == KEY.id


def test_a_presigned_url_ends_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    request = _at(NOW, monkeypatch, expires=3600)
    assert check(request, now=NOW + timedelta(hours=1)).key_id == KEY.id
    message = refused(request, InvalidSignatureException, NOW + timedelta(hours=1, seconds=1))
    assert message.startswith("Signature expired: 20260304T050607Z is now earlier than")


@pytest.mark.parametrize("expires", [0, 604_801])
def test_a_presigned_url_lives_a_second_to_a_week(expires: int) -> None:
    refused(sign(method="GET", expires=expires), IncompleteSignatureException)


def test_a_date_header_serves_where_there_is_no_x_amz_date() -> None:
    request = sign(headers={"date": format_datetime(NOW)})
    assert request.header("x-amz-date") is None
    assert check(request).key_id == KEY.id


def test_an_unsigned_request_is_refused() -> None:
    request = with_header(sign(), "authorization", None)
    assert refused(request, MissingAuthenticationTokenException) == "Missing Authentication Token"


@pytest.mark.parametrize(
    ("keys"),
    [Keys(), Keys([replace(KEY, status="Inactive")]), Keys([replace(KEY, session_token="other")])],
    ids=["unknown", "inactive", "without its session token"],
)
def test_a_key_that_is_not_valid_is_refused(keys: Keys) -> None:
    with pytest.raises(UnrecognizedClientException) as caught:
        check(sign(), keys=keys)
    assert caught.value.message == "The security token included in the request is invalid."


@pytest.mark.parametrize("expires", [None, 60])
def test_a_session_is_accepted_until_it_ends(expires: int | None) -> None:
    now = datetime.now(UTC)
    key = replace(KEY, session_token="a/long+token==", expires_at=now + timedelta(hours=1))
    request = sign(method="GET", key=key, expires=expires)
    assert check(request, keys=Keys([key]), now=now).session_expires_at == key.expires_at
    over = Keys([replace(key, expires_at=now)])
    with pytest.raises(ExpiredTokenException) as caught:
        check(request, keys=over, now=now)
    assert caught.value.message == "The security token included in the request is expired"


@pytest.mark.parametrize(
    ("authorization", "start"),
    [
        (
            "AWS4-HMAC-SHA256",
            "Authorization header requires 'Credential' parameter. Authorization header requires "
            "'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. "
            "(Hashed with SHA-256 and encoded with Base64) Authorization=",
        ),
        ("", "Authorization header requires 'Credential' parameter. "),
        ("a-secret-pasted-whole", "Authorization header requires 'Credential' parameter. "),
        ("Basic dXNlcjpwYXNz", "Unsupported AWS 'algorithm': 'Basic'."),
        ("AWS4-HMAC-SHA256 nonsense", "Invalid key=value pair (missing equal-sign)"),
        ("AWS4-HMAC-SHA256 Signature=a, Signature=b", "Authorization header has more than one"),
    ],
)
def test_a_malformed_authorization_is_incomplete(authorization: str, start: str) -> None:
    message = refused(
        with_header(sign(), "authorization", authorization), IncompleteSignatureException
    )
    assert message.startswith(start)
    assert "pasted" not in message


def test_two_authorizations_are_refused() -> None:
    request = sign()
    double = (*request.headers, ("authorization", "Bearer x"))
    refused(replace(request, headers=double), IncompleteSignatureException)


def test_an_endless_authorization_is_refused_unread() -> None:
    request = with_header(sign(), "authorization", "Bearer " + "x" * MAX_AUTHORIZATION_CHARS)
    assert "at most 16384 characters" in refused(request, IncompleteSignatureException)


def test_a_presigned_url_names_what_it_lacks() -> None:
    request = replace(sign(), headers=(("host", "x"),), raw_query="X-Amz-Signature=1")
    message = refused(request, IncompleteSignatureException)
    assert "AWS query-string parameters must include 'X-Amz-Credential'." in message


def test_host_must_be_signed() -> None:
    request = sign()
    authorization = (request.header("authorization") or "").replace("=host;", "=")
    message = refused(
        with_header(request, "authorization", authorization), InvalidSignatureException
    )
    assert message == "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."


@pytest.mark.parametrize("query", ["X-Amz-Signature=0", "X-Amz-Security-Token=t"])
def test_a_signature_by_header_covers_the_whole_query(query: str) -> None:
    assert refused(replace(sign(), raw_query=query), InvalidSignatureException).startswith(MISMATCH)


@pytest.mark.parametrize("names", ["host;x\ny", "host; x-amz-date", "", ";".join(["host"] * 201)])
def test_signed_headers_are_names(names: str) -> None:
    request = sign(method="GET", expires=60)
    query = request.raw_query.replace("SignedHeaders=host", f"SignedHeaders={quote(names)}")
    refused(replace(request, raw_query=query), IncompleteSignatureException)


def test_an_x_amz_header_must_be_signed() -> None:
    message = refused(with_header(sign(), "x-amz-target", "Evil"), InvalidSignatureException)
    assert message == "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization."


@pytest.mark.parametrize("declared", ["UNSIGNED-PAYLOAD", "0" * 64])
def test_a_declared_payload_hash_must_be_the_bodys(declared: str) -> None:
    request = sign(body=b"x", headers={"x-amz-content-sha256": declared})
    assert refused(request, InvalidSignatureException).startswith(MISMATCH)


def test_a_payload_signed_in_chunks_is_refused_by_name() -> None:
    request = sign(headers={"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-EVENTS"})
    assert "signed in chunks" in refused(request, NotImplementedException)


@settings(deadline=None)
@given(authorization=st.text(max_size=200), query=st.text(max_size=100), date=st.text(max_size=30))
def test_hostile_credentials_get_an_awss_error(authorization: str, query: str, date: str) -> None:
    headers = (("host", "x"), ("x-amz-date", date), ("authorization", authorization))
    with pytest.raises(AWSError):
        check(Request("POST", "/x", query, headers, b"", "x"))


@settings(deadline=None)
@given(value=st.text(max_size=40), name=st.sampled_from(["Credential", "Date", "Expires"]))
def test_hostile_presigned_urls_get_an_awss_error(value: str, name: str) -> None:
    request = sign(method="GET", expires=60)
    pairs = [pair.split("=") for pair in request.raw_query.split("&")]
    query = "&".join(f"{key}={value if key.endswith(name) else old}" for key, old in pairs)
    with pytest.raises(AWSError):
        check(replace(request, raw_query=query))
