"""Requests for the tests of signatures: real clients' signers on one side, ours on the other."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from outcrop.identity import AccessKey, ApiKey, Caller, CredentialLookup, Principal
from outcrop.security.authenticate import authenticate
from outcrop.wire.http import Request

ACCOUNT = "123456789012"
PRINCIPAL = Principal(ACCOUNT, "admin", f"arn:aws:iam::{ACCOUNT}:user/admin", "user")
KEY = AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", PRINCIPAL)


class Keys:
    """A directory of keys held in a list."""

    def __init__(self, keys: Iterable[AccessKey] = (), api_keys: Iterable[ApiKey] = ()) -> None:
        self._keys = {key.id: key for key in keys}
        self._api_keys = {key.id: key for key in api_keys}

    def find_access_key(self, key_id: str) -> AccessKey | None:
        key = self._keys.get(key_id)
        return key if key and key.session_token is None else None

    def find_session_key(self, key_id: str, token: str) -> AccessKey | None:
        key = self._keys.get(key_id)
        return key if key and key.session_token == token else None

    def find_api_key(self, key_id: str) -> ApiKey | None:
        return self._api_keys.get(key_id)


def parse_http(text: str) -> Request:
    """A request as the vectors write it: raw spaces in the path, folded headers, LF or CRLF."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    first, *lines = head.rstrip("\n").split("\n")
    method, target = first.split(" ", 1)
    path, _, query = target.removesuffix(" HTTP/1.1").partition("?")
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line[:1].isspace():
            name, value = headers[-1]
            headers[-1] = (name, f"{value} {line.strip()}")
        else:
            name, _, value = line.partition(":")
            headers.append((name.lower(), value))
    request = Request(method, path, query, tuple(headers), body.encode(), "")
    return replace(request, host=request.header("host") or "")


def sign(
    method: str = "POST",
    url: str = "http://127.0.0.1:4510/model/anthropic.claude-v2/invoke",
    *,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    region: str = "us-east-1",
    key: AccessKey = KEY,
    expires: int | None = None,
) -> Request:
    """What botocore would send; presigned where ``expires`` is given."""
    credentials = Credentials(key.id, key.secret, key.session_token)
    request = AWSRequest(method=method, url=url, data=body, headers=headers or {})
    if expires is None:
        SigV4Auth(credentials, "bedrock", region).add_auth(request)
    else:
        SigV4QueryAuth(credentials, "bedrock", region, expires=expires).add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    sent = [(name.lower(), _text(value)) for name, value in prepared.headers.items()]
    if not any(name == "host" for name, _ in sent):
        sent.insert(0, ("host", parts.netloc))
    return Request(method, parts.path, parts.query, tuple(sent), body, parts.netloc)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def check(
    request: Request,
    *,
    keys: CredentialLookup | None = None,
    now: datetime | None = None,
    signing_name: str = "bedrock",
    accepts_bearer: bool = True,
) -> Caller:
    return authenticate(
        request,
        signing_name=signing_name,
        accepts_bearer=accepts_bearer,
        lookup=keys or Keys([KEY]),
        now=now or datetime.now(UTC),
    )


def with_header(request: Request, name: str, value: str | None) -> Request:
    """The request with ``name`` changed, added, or left out where ``value`` is None."""
    kept = tuple(pair for pair in request.headers if pair[0] != name)
    return replace(request, headers=kept if value is None else (*kept, (name, value)))
