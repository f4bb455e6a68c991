"""Bedrock API keys, long-term and as the official token generator makes them."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aws_bedrock_token_generator import BedrockTokenGenerator
from botocore.credentials import Credentials
from hypothesis import given, settings, strategies as st
from sigv4_requests import ACCOUNT, KEY, PRINCIPAL, Keys, check

from outcrop.errors import AuthorizationDenied, IncompleteSignatureException
from outcrop.identity import AccessKey, ApiKey, Caller, hash_api_secret, render_api_key
from outcrop.wire.http import Request

KEY_ID = f"BedrockAPIKey-abcd-at-{ACCOUNT}"
LONG = ApiKey(KEY_ID, "ci", hash_api_secret("s3cret"), PRINCIPAL)
TOKEN = render_api_key(KEY_ID, "s3cret")
INVALID = "Authentication failed: Please make sure your API Key is valid."


def call(
    token: str, keys: Keys | None = None, now: datetime | None = None, bearer: bool = True
) -> Caller:
    headers = (("host", "x"), ("authorization", f"Bearer {token}"))
    request = Request("POST", "/model/a/invoke", "", headers, b"{}", "x")
    return check(request, keys=keys or Keys([KEY], [LONG]), now=now, accepts_bearer=bearer)


def denied(token: str, keys: Keys | None = None, now: datetime | None = None) -> str:
    with pytest.raises(AuthorizationDenied) as caught:
        call(token, keys, now)
    assert (caught.value.code, caught.value.status) == ("AccessDeniedException", 403)
    return caught.value.message


def generate(key: AccessKey = KEY, region: str = "us-east-1") -> str:
    credentials = Credentials(key.id, key.secret, key.session_token)
    return BedrockTokenGenerator().get_token(credentials, region)


def presigned(token: str) -> str:
    return base64.b64decode(token.removeprefix("bedrock-api-key-")).decode()


def encode(url: str) -> str:
    return "bedrock-api-key-" + base64.b64encode(url.encode()).decode()


def test_a_long_term_key_is_its_users() -> None:
    caller = call(TOKEN)
    assert (caller.arn, caller.proof, caller.region) == (PRINCIPAL.arn, "bearer", None)


@pytest.mark.parametrize(
    "token",
    [
        render_api_key(KEY_ID, "wrong"),
        render_api_key("BedrockAPIKey-none-at-1", "s3cret"),
        "ABSK",
        "ABSK!!",
        "ABSKé",
        "bedrock-api-key-",
        "bedrock-api-key-####",
        "bedrock-api-key-" + base64.b64encode(b"\xff\xfe").decode(),
    ],
)
def test_a_key_that_is_not_ours_is_denied(token: str) -> None:
    assert denied(token) == INVALID


def test_an_unknown_prefix_is_told() -> None:
    assert denied("sk-1234") == "Invalid API Key format: Must start with pre-defined prefix"


def test_a_disabled_key_is_denied() -> None:
    assert denied(TOKEN, Keys([], [replace(LONG, status="Inactive")])) == INVALID


def test_an_expired_key_is_denied() -> None:
    now = datetime.now(UTC)
    assert denied(TOKEN, Keys([], [replace(LONG, expires_at=now)]), now) == (
        "Bearer Token has expired"
    )


def test_a_service_without_bearer_keys_does_not_take_one() -> None:
    with pytest.raises(IncompleteSignatureException):
        call(TOKEN, bearer=False)


def test_a_token_of_the_official_generator_is_accepted() -> None:
    caller = call(generate(region="eu-west-1"))
    assert (caller.key_id, caller.region, caller.proof) == (KEY.id, "eu-west-1", "bearer")


def test_a_token_of_a_session_is_accepted() -> None:
    now = datetime.now(UTC)
    key = replace(KEY, session_token="tok/en+=", expires_at=now + timedelta(hours=1))
    caller = call(generate(key), Keys([key]), now)
    assert caller.session_expires_at == key.expires_at
    over = Keys([replace(key, expires_at=now)])
    assert denied(generate(key), over, now) == "Bearer Token has expired"


def test_a_token_ends_after_twelve_hours() -> None:
    token, now = generate(), datetime.now(UTC)
    assert call(token, now=now + timedelta(hours=11, minutes=59)).key_id == KEY.id
    late = now + timedelta(hours=12, minutes=1)
    assert denied(token, now=late) == "Bearer Token has expired"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Expires=43200", "Expires=43201"),
        ("Expires=43200", "Expires=86400"),
        ("Action=CallWithBearerToken", "Action=Other"),
        ("bedrock.amazonaws.com/", "evil.example/"),
        ("us-east-1", "us-west-2"),
        ("&Version=1", ""),
        ("&Version=1", "&Version=2"),
        ("&Version=1", "&Version=1&more=1"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
        ("%2Fbedrock%2F", "%2Fs3%2F"),
        (KEY.id, "AKIAUNKNOWNUNKNOWN00"),
    ],
)
def test_a_tampered_token_is_denied(old: str, new: str) -> None:
    url = presigned(generate())
    assert old in url
    assert denied(encode(url.replace(old, new))) == INVALID


@settings(deadline=None)
@given(token=st.text(max_size=80), prefix=st.sampled_from(["", "ABSK", "bedrock-api-key-"]))
def test_hostile_tokens_are_denied(token: str, prefix: str) -> None:
    denied(prefix + token)
