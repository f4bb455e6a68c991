"""Requests that are signed right, and the same ones forged: an endless, repeatable supply.

The signer is written from AWS's signing reference and shares nothing with the code under test. A
draft holds everything that goes into a signature, so that a forger can lie about any of it.
"""

import base64
import hashlib
import hmac
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import quote

from in_process import HOST, Keys

from outcrop.wire.http import Request

Proof = Literal["header", "query", "bearer", "key"]
"""Of bearer keys "bearer" is a short-term one, "key" a long-term one."""

BEARER_HOST = "bedrock.amazonaws.com"
FORM = "application/x-www-form-urlencoded; charset=utf-8"


@dataclass(frozen=True)
class Ask:
    """``service`` is the signing name; ``path`` and ``query`` are sent as they are."""

    service: str
    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Draft:
    """``scope_date`` and ``claimed_id`` are told in the credential; None tells the truth."""

    ask: Ask
    keys: Keys
    proof: Proof
    when: datetime
    region: str = "us-east-1"
    service: str | None = None
    expires_s: int = 300
    scope_date: str | None = None
    claimed_id: str | None = None
    term: str = "aws4_request"
    algorithm: str = "AWS4-HMAC-SHA256"
    unsigned: frozenset[str] = field(default_factory=frozenset[str])
    """Headers left out of the signature."""
    version: str = "1"

    @property
    def is_bearer(self) -> bool:
        return self.proof in ("bearer", "key")

    @property
    def moment(self) -> str:
        return self.when.strftime("%Y%m%dT%H%M%SZ")

    @property
    def scope(self) -> str:
        date = self.scope_date or self.moment[:8]
        return f"{date}/{self.region}/{self.service or self.ask.service}/{self.term}"

    @property
    def credential(self) -> str:
        return f"{self.claimed_id or self.keys.id}/{self.scope}"


def build(draft: Draft) -> Request:
    match draft.proof:
        case "header":
            return _in_header(draft)
        case "query":
            return _in_query(draft)
        case "bearer":
            return with_bearer(draft.ask, short_term_key(draft))
        case "key":
            return with_bearer(draft.ask, long_term_key(draft))


def _in_header(draft: Draft) -> Request:
    ask = draft.ask
    headers = {"host": HOST, "x-amz-date": draft.moment} | dict(ask.headers)
    digest = hashlib.sha256(ask.body).hexdigest()
    if ask.service == "s3":
        headers["x-amz-content-sha256"] = digest
    if draft.keys.token is not None:
        headers["x-amz-security-token"] = draft.keys.token
    names = sorted(headers.keys() - draft.unsigned)
    signature = _sign(draft, ask.query, {name: headers[name] for name in names}, digest)
    headers["authorization"] = (
        f"{draft.algorithm} Credential={draft.credential}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return _request(ask, ask.query, headers)


def _in_query(draft: Draft) -> Request:
    ask = draft.ask
    headers = {"host": HOST} | dict(ask.headers)
    names = sorted(headers.keys() - draft.unsigned)
    digest = "UNSIGNED-PAYLOAD" if ask.service == "s3" else hashlib.sha256(ask.body).hexdigest()
    query = "&".join(filter(None, [ask.query, _signing_query(draft, ";".join(names))]))
    signature = _sign(draft, query, {name: headers[name] for name in names}, digest)
    return _request(ask, f"{query}&X-Amz-Signature={signature}", headers)


def short_term_key(draft: Draft) -> str:
    ask = Ask("bedrock", "POST", "/", "Action=CallWithBearerToken")
    draft = replace(draft, ask=ask)
    query = f"{ask.query}&{_signing_query(draft, 'host')}"
    digest = hashlib.sha256(b"").hexdigest()
    signature = _sign(draft, query, {"host": BEARER_HOST}, digest)
    url = f"{BEARER_HOST}/?{query}&X-Amz-Signature={signature}&Version={draft.version}"
    return "bedrock-api-key-" + base64.b64encode(url.encode()).decode()


def long_term_key(draft: Draft) -> str:
    text = f"{draft.claimed_id or draft.keys.id}:{draft.keys.secret}"
    return "ABSK" + base64.b64encode(text.encode()).decode()


def with_bearer(ask: Ask, token: str) -> Request:
    headers = {"host": HOST} | dict(ask.headers) | {"authorization": f"Bearer {token}"}
    return _request(ask, ask.query, headers)


def _signing_query(draft: Draft, names: str) -> str:
    fields = {
        "X-Amz-Algorithm": draft.algorithm,
        "X-Amz-Credential": draft.credential,
        "X-Amz-Date": draft.moment,
        "X-Amz-Expires": str(draft.expires_s),
        "X-Amz-SignedHeaders": names,
    }
    if draft.keys.token is not None:
        fields["X-Amz-Security-Token"] = draft.keys.token
    return "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in fields.items())


def _sign(draft: Draft, query: str, headers: dict[str, str], digest: str) -> str:
    path = draft.ask.path if draft.ask.service == "s3" else quote(draft.ask.path, safe="/~")
    pairs = sorted(pair if "=" in pair else f"{pair}=" for pair in query.split("&") if pair)
    lines = "".join(f"{name}:{value.strip()}\n" for name, value in headers.items())
    canonical = (
        f"{draft.ask.method}\n{path}\n{'&'.join(pairs)}\n{lines}\n{';'.join(headers)}\n{digest}"
    )
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{draft.algorithm}\n{draft.moment}\n{draft.scope}\n{hashed}"
    key = b"AWS4" + draft.keys.secret.encode()
    for part in draft.scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _request(ask: Ask, query: str, headers: dict[str, str]) -> Request:
    return Request(ask.method, ask.path, query, tuple(headers.items()), ask.body, HOST)


@dataclass(frozen=True)
class Case:
    """``valid`` is accepted; ``forged`` differs from it by one lie, named ``lie``."""

    lie: str
    draft: Draft
    valid: Request
    forged: Request


Lie = Callable[["Forger", Draft], Draft | None]
"""What is signed is not true."""
Change = Callable[["Forger", Draft, Request], Request | None]
"""What was signed is changed afterwards. None: there is nothing to change."""


class Forger:
    """``strangers`` are working keys of others: another user's, another account's, other
    sessions'; ``long_term`` bearer keys that work; ``foreign`` is a session of another deployment,
    ``ended`` one that is over."""

    def __init__(
        self,
        seed: int,
        asks: Sequence[Ask],
        *,
        keys: Sequence[Keys],
        strangers: Sequence[Keys],
        long_term: Sequence[Keys],
        foreign: Keys,
        ended: Keys,
    ) -> None:
        # Repeatable on purpose.
        self.random = random.Random(seed)  # noqa: S311
        self.long_term = long_term
        self.asks = asks
        self.keys = keys
        self.strangers = strangers
        self.foreign = foreign
        self.ended = ended

    def make(self, lies: dict[str, Lie], changes: dict[str, Change], now: datetime) -> Case:
        names = sorted({*lies, *changes})
        while True:
            draft = self.draft(now)
            name = self.random.choice(names)
            valid = build(draft)
            if name in lies:
                lying = lies[name](self, draft)
                forged = None if lying is None else build(lying)
            else:
                forged = changes[name](self, draft, valid)
            if forged is not None and forged != valid:
                return Case(name, draft, valid, forged)

    def draft(self, now: datetime) -> Draft:
        ask = self.random.choice(self.asks)
        proofs: list[Proof] = ["header", "query"]
        if ask.service == "bedrock":
            proofs.extend(("bearer", "key"))
        region = self.random.choice(["us-east-1", "us-west-2", "eu-central-1"])
        when = now - timedelta(seconds=self.random.randrange(200))
        proof = self.random.choice(proofs)
        keys = self.random.choice(self.long_term if proof == "key" else self.keys)
        return Draft(ask, keys, proof, when, region, expires_s=self.random.choice([600, 3600]))

    def flip(self, text: str, alphabet: str = "0123456789abcdef") -> str:
        """One character another."""
        if not text:
            return self.random.choice(alphabet)
        at = self.random.randrange(len(text))
        others = [letter for letter in alphabet if letter != text[at]]
        return text[:at] + self.random.choice(others) + text[at + 1 :]
