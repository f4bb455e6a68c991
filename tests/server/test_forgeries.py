"""10,000 forged or altered requests beside valid twins: no forgery is accepted, every twin is."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from forgeries import CHANGES, LIES, OTHER
from forging import FORM, Ask, Case, Forger
from in_process import ADMIN, Inside, Keys, running_inside, whole
from running_gateways import ACCOUNT

from outcrop.identity import AccessKey, Principal, Session, parse_api_key
from outcrop.security.masterkey import MasterKey
from outcrop.security.sessions import issue
from outcrop.wire.http import Request

COUNT = 10_000
ALL = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
        ],
    }
)
PROMPT = msgspec.json.encode({"inputText": "hello", "textGenerationConfig": {"maxTokenCount": 5}})
JSON = (("content-type", "application/json"),)
FORMS = (("content-type", FORM),)
ASSUME = (
    f"Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A{ACCOUNT}%3Arole%2FWork&RoleSessionName=me"
    "&Version=2011-06-15"
)
IDENTITY = b"Action=GetCallerIdentity&Version=2011-06-15"
KMS = (
    ("content-type", "application/x-amz-json-1.1"),
    ("x-amz-target", "TrentService.ListKeys"),
)
SECRETS = (
    ("content-type", "application/x-amz-json-1.1"),
    ("x-amz-target", "secretsmanager.ListSecrets"),
)
ASKS = (
    Ask("bedrock", "GET", "/foundation-models"),
    Ask("bedrock", "GET", "/foundation-models", "byProvider=Amazon&byOutputModality=TEXT"),
    Ask("bedrock", "GET", "/foundation-models/anthropic.claude-v2"),
    Ask("bedrock", "POST", "/model/amazon.titan-text-express-v1/invoke", "", PROMPT, JSON),
    Ask("sts", "POST", "/", "", IDENTITY, FORMS),
    Ask("sts", "GET", "/", "Action=GetCallerIdentity&Version=2011-06-15"),
    Ask("sts", "POST", "/", "", ASSUME.encode(), FORMS),
    Ask("sts", "GET", "/", ASSUME),
    Ask("iam", "POST", "/", "", b"Action=ListRoles&Version=2010-05-08", FORMS),
    Ask("iam", "POST", "/", "", b"Action=GetRole&RoleName=Work&Version=2010-05-08", FORMS),
    Ask("kms", "POST", "/", "", b"{}", KMS),
    Ask("secretsmanager", "POST", "/", "", b"{}", SECRETS),
    Ask("s3", "GET", "/bucket/key.txt"),
    Ask("s3", "GET", "/bucket/a%20folder/key%2Bname.txt"),
    Ask("s3", "GET", "/bucket", "list-type=2&prefix=a%2Fb"),
)

REFUSALS = frozenset(
    {
        *("InvalidSignatureException", "SignatureDoesNotMatch"),
        *("IncompleteSignatureException", "IncompleteSignature", "AuthorizationHeaderMalformed"),
        *("AuthorizationQueryParametersError", "XAmzContentSHA256Mismatch", "BadDigest"),
        *("MissingAuthenticationTokenException", "MissingAuthenticationToken"),
        *("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"),
        *("ExpiredTokenException", "ExpiredToken", "RequestTimeTooSkewed"),
        # Of bearer keys, and of what S3 calls anonymous or too late.
        *("AccessDeniedException", "AccessDenied"),
        # Another path, method, target or body names no operation: the router comes first.
        *("UnknownOperationException", "InvalidAction", "MethodNotAllowed", "MissingAction"),
        *("InvalidURI", "InvalidRequest", "HEAD"),
    }
)
_XML_CODE = re.compile(rb"<Code>([^<]+)</Code>")
_DENIED = b"is not authorized to perform"
_BAD_HASH = b"x-amz-content-sha256"


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    async with running_inside(tmp_path, monkeypatch, OTHER) as inside:
        yield inside


async def forger_of(inside: Inside) -> Forger:
    role_arn = await inside.role(ACCOUNT, "Work", TRUST, ALL)
    ask = {"RoleArn": role_arn, "RoleSessionName": "me"}
    client = inside.client(ADMIN)
    sessions = [
        Keys.answered(await client.ask("sts", "AssumeRole", **ask, MinimumSessionTokenSize=size))
        for size in (0, 0, 1500)
    ]
    strangers = [
        await inside.user(ACCOUNT, "amy", ALL),
        await inside.user(OTHER, "far", ALL),
        Keys.answered(await client.ask("sts", "AssumeRole", **ask)),
    ]
    key = inside.deployment.credentials.find_session_key(sessions[0].id, sessions[0].token or "")
    assert key is not None
    return Forger(
        20261122,
        ASKS,
        keys=[ADMIN, *sessions],
        strangers=[*strangers, *sessions],
        long_term=[await long_term_key(inside, name) for name in ("admin", "amy")],
        foreign=Keys.of(foreign(key)),
        ended=Keys.of(ended(inside, key)),
    )


async def long_term_key(inside: Inside, user: str) -> Keys:
    stores = inside.deployment.state.stores
    owner = await stores.identities.get_user(ACCOUNT, user)
    _, token = await stores.keys.create_api_key(owner, name="forged")
    return Keys(*parse_api_key(token) or ("", ""))


def foreign(key: AccessKey) -> AccessKey:
    """The same session, made by another deployment."""
    assert key.session is not None
    return issue(MasterKey(bytes(32)), key.principal, key.session)


def ended(inside: Inside, key: AccessKey) -> AccessKey:
    assert key.session is not None
    now = datetime.now(UTC)
    session = Session(key.session.issuer, now - timedelta(hours=2), now - timedelta(hours=1))
    principal: Principal = key.principal
    return issue(inside.deployment.state.stores.sealer, principal, session)


async def answer(inside: Inside, request: Request) -> tuple[int, str, bytes]:
    """Status, code and body. The answer to a HEAD has no place for a code."""
    response = await inside.app.handle(request)
    body = await whole(response)
    code = response.headers.get("x-amzn-ErrorType", "").partition(":")[0]
    found = _XML_CODE.search(body)
    if request.method == "HEAD" and response.status in (400, 403, 405):
        code = "HEAD"
    return response.status, found.group(1).decode() if found else code, body


def is_accepted(status: int, code: str, body: bytes) -> bool:
    """Proven, and on the way to its handler: which may not be there, or find nothing."""
    if status < 300:
        return True
    if code in ("AccessDeniedException", "AccessDenied"):
        return _DENIED in body
    if code == "InvalidArgument":
        return _BAD_HASH not in body
    return code not in REFUSALS


async def test_ten_thousand_forgeries_are_refused_and_their_twins_accepted(inside: Inside) -> None:
    forger = await forger_of(inside)
    statuses: Counter[int] = Counter()
    seen: Counter[tuple[str, str, str]] = Counter()
    twins: Counter[int] = Counter()
    wrong: list[tuple[str, Case, tuple[int, str, bytes]]] = []
    for _ in range(COUNT):
        case = forger.make(LIES, CHANGES, datetime.now(UTC))
        twin = await answer(inside, case.valid)
        twins[twin[0]] += 1
        if not is_accepted(*twin) or twin[0] not in (200, 404, 501):
            wrong.append(("twin refused", case, twin))
        told = await answer(inside, case.forged)
        statuses[told[0]] += 1
        seen[case.lie, case.draft.proof, case.draft.ask.service] += 1
        if is_accepted(*told) or told[0] not in (400, 403, 404, 405):
            wrong.append(("forgery accepted", case, told))
        if len(wrong) >= 5:
            break
    assert wrong == []
    # Every lie was told in many places, and most twins were answered to the end.
    assert {lie for lie, _, _ in seen} == {*LIES, *CHANGES}
    assert len(seen) >= 400
    assert twins[200] >= 0.6 * COUNT, twins
    assert statuses[403] >= 0.6 * COUNT, statuses
