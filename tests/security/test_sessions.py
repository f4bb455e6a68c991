"""Temporary credentials: what a session token opens for, and what no token opens."""

import base64
import secrets
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aws_bedrock_token_generator import BedrockTokenGenerator
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given, settings, strategies as st
from sigv4_requests import ACCOUNT, KEY, Keys, check, sign, with_header

from outcrop.errors import (
    AuthorizationDenied,
    ExpiredTokenException,
    UnrecognizedClientException,
)
from outcrop.identity import AccessKey, Caller, Principal, Session
from outcrop.security.masterkey import MasterKey
from outcrop.security.sessions import (
    MAX_TOKEN_CHARS,
    Credentials,
    TokenTooLong,
    account_of,
    issue,
    open_token,
)
from outcrop.wire.http import Request

NOW = datetime.now(UTC).replace(microsecond=0)
SEALER = MasterKey(bytes(range(32)))
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/path/Work"
ROLE = Principal(ACCOUNT, "Work", ROLE_ARN, "role", "AROAEXAMPLE", ROLE_ARN)
ASSUMED = Principal(
    ACCOUNT,
    "me",
    f"arn:aws:sts::{ACCOUNT}:assumed-role/Work/me",
    "role",
    "AROAEXAMPLE:me",
    ROLE_ARN,
)
FULL = Session(
    issuer=ROLE,
    issued_at=NOW,
    expires_at=NOW + timedelta(hours=1),
    policies=('{"Version": "2012-10-17", "Statement": []}',),
    policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess",),
    tags={"Team": "雪", "Empty": ""},
    transitive_tags=("Team",),
    source_identity="alice",
    has_mfa=False,
)
INVALID = "The security token included in the request is invalid."


def known(sealer: MasterKey = SEALER, *, gone: bool = False) -> Credentials:
    return Credentials(Keys([KEY]), sealer, lambda issuer: not gone)


def call(request: Request, credentials: Credentials | None = None, late_s: int = 0) -> Caller:
    return check(
        request, keys=credentials or known(), now=datetime.now(UTC) + timedelta(seconds=late_s)
    )


def refused(request: Request, credentials: Credentials | None = None) -> str:
    with pytest.raises(UnrecognizedClientException) as caught:
        call(request, credentials)
    return caught.value.message


@pytest.mark.parametrize("session", [FULL, Session(ROLE, NOW, FULL.expires_at)])
def test_a_token_carries_all_of_its_session(session: Session) -> None:
    key = issue(SEALER, ASSUMED, session)
    found = Credentials(Keys(), SEALER, lambda issuer: issuer == ROLE).find_session_key(
        key.id, key.session_token or ""
    )
    assert found == key
    assert found is not None
    assert (found.session, found.principal, found.expires_at) == (
        session,
        ASSUMED,
        session.expires_at,
    )


@pytest.mark.parametrize("expires", [None, 60], ids=["header", "query"])
def test_a_session_signs_headers_and_urls(expires: int | None) -> None:
    key = issue(SEALER, ASSUMED, FULL)
    caller = call(sign(key=key, expires=expires))
    assert (caller.principal, caller.key_id, caller.session) == (ASSUMED, key.id, FULL)
    assert caller.session_expires_at == FULL.expires_at


def test_a_session_makes_bearer_keys() -> None:
    key = issue(SEALER, ASSUMED, FULL)
    token = BedrockTokenGenerator().get_token(
        BotoCredentials(key.id, key.secret, key.session_token), "us-east-1"
    )
    headers = (("host", "x"), ("authorization", f"Bearer {token}"))
    request = Request("POST", "/model/a/invoke", "", headers, b"", "x")
    caller = call(request)
    assert (caller.session, caller.session_expires_at) == (FULL, FULL.expires_at)
    with pytest.raises(AuthorizationDenied, match="Bearer Token has expired"):
        call(request, late_s=3601)


def test_a_session_ends() -> None:
    request = sign(key=issue(SEALER, ASSUMED, replace(FULL, expires_at=datetime.now(UTC))))
    with pytest.raises(ExpiredTokenException) as caught:
        call(request)
    assert caught.value.message == "The security token included in the request is expired"


def test_a_session_of_a_deleted_role_is_refused() -> None:
    assert refused(sign(key=issue(SEALER, ASSUMED, FULL)), known(gone=True)) == INVALID


def test_another_deployment_does_not_open_it() -> None:
    other = MasterKey(secrets.token_bytes(32))
    key = issue(SEALER, ASSUMED, FULL)
    assert refused(sign(key=key), known(other)) == INVALID
    assert call(sign(key=key), known(MasterKey(bytes(range(32))))).principal == ASSUMED


def test_a_token_opens_for_its_own_key_alone_also_when_it_was_opened_before() -> None:
    one, two = (issue(SEALER, ASSUMED, FULL) for _ in range(2))
    credentials = known()
    for key in (one, two):
        assert call(sign(key=key), credentials).key_id == key.id
    assert refused(sign(key=replace(one, session_token=two.session_token)), credentials) == INVALID
    assert refused(sign(key=replace(KEY, session_token=one.session_token)), credentials) == INVALID
    assert refused(sign(key=replace(one, id=KEY.id)), credentials) == INVALID


def test_a_temporary_key_without_its_token_is_unknown() -> None:
    key = issue(SEALER, ASSUMED, FULL)
    assert refused(sign(key=replace(key, session_token=None))) == INVALID
    assert refused(with_header(sign(key=key), "x-amz-security-token", "")) == INVALID


def test_a_long_term_key_has_no_token() -> None:
    assert refused(sign(key=replace(KEY, session_token="anything"))) == INVALID


def test_no_single_altered_character_is_accepted() -> None:
    key = issue(SEALER, ASSUMED, FULL)
    token = key.session_token or ""
    for at in range(len(token)):
        altered = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert open_token(SEALER, key.id, altered) is None
    for altered in (token[:-1], token + "=", token + "A", token[4:], token.replace("-", "+") + "="):
        assert open_token(SEALER, key.id, altered) is None


@settings(deadline=None)
@given(token=st.text(max_size=300), key_id=st.text(max_size=20))
def test_hostile_tokens_open_nothing(token: str, key_id: str) -> None:
    assert open_token(SEALER, key_id, token) is None


@settings(deadline=None)
@given(packed=st.binary(max_size=300))
def test_what_is_sealed_but_no_session_opens_nothing(packed: bytes) -> None:
    """Another version of the program may have sealed it."""
    for contents in (packed, zlib.compress(packed)):
        sealed = SEALER.seal(contents, b"session-token:ASIA")
        token = base64.urlsafe_b64encode(b"\x01" + sealed).decode()
        assert open_token(SEALER, "ASIA", token) is None


def test_a_token_that_would_unfold_beyond_measure_is_not_unfolded() -> None:
    sealed = SEALER.seal(zlib.compress(bytes(200_000), 9), b"session-token:ASIA")
    token = base64.urlsafe_b64encode(b"\x01" + sealed).decode()
    assert len(token) < MAX_TOKEN_CHARS
    assert open_token(SEALER, "ASIA", token) is None


@pytest.mark.parametrize("least", [0, 100, 1000, 1001, 1002, 1003, 4095, MAX_TOKEN_CHARS])
def test_a_token_is_as_long_as_asked_for(least: int) -> None:
    key = issue(SEALER, ASSUMED, FULL, min_token_chars=least)
    size = len(key.session_token or "")
    assert max(least, 200) <= size <= max(least + 3, 1_000)
    assert open_token(SEALER, key.id, key.session_token or "") is not None


def test_what_fits_no_token_is_not_issued() -> None:
    noise = base64.b64encode(secrets.token_bytes(4096)).decode()
    with pytest.raises(TokenTooLong):
        issue(SEALER, ASSUMED, replace(FULL, policies=(noise,)))


@pytest.mark.parametrize("account", ["000000000000", "123456789012", "999999999999"])
def test_a_temporary_key_tells_its_account(account: str) -> None:
    key = issue(SEALER, replace(ASSUMED, account=account), FULL)
    assert len(key.id) == 20
    assert account_of(key.id) == account


@pytest.mark.parametrize(
    "key_id",
    ["AKIAIOSFODNN7EXAMPLE", "ASIA", "ASIA1", "ASIA" + "é" * 16, "ASIA" + "7" * 16, "asia" * 5],
)
def test_other_key_ids_tell_none(key_id: str) -> None:
    assert account_of(key_id) is None


class CountingSealer:
    def __init__(self) -> None:
        self.opened = 0

    def seal(self, secret: bytes, context: bytes) -> bytes:
        return SEALER.seal(secret, context)

    def open(self, envelope: bytes, context: bytes) -> bytes:
        self.opened += 1
        return SEALER.open(envelope, context)


def test_a_token_is_opened_once_and_what_is_kept_open_is_bounded() -> None:
    sealer = CountingSealer()
    credentials = Credentials(Keys(), sealer, lambda issuer: True)
    tags = {f"key{number}": "x" * 250 for number in range(50)}
    keys = [issue(SEALER, ASSUMED, replace(FULL, tags=tags)) for _ in range(700)]

    def find(key: AccessKey) -> int:
        before = sealer.opened
        assert credentials.find_session_key(key.id, key.session_token or "") == key
        return sealer.opened - before

    assert sum(find(key) for key in keys) == len(keys)
    assert sum(find(key) for key in keys[-400:]) == 0
    assert find(keys[0]) == 1
