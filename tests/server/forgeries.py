"""The forgers' repertoire: lies that are signed, and changes of what was signed."""

import base64
import re
import secrets
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

from forging import Change, Draft, Forger, Lie, with_bearer
from in_process import HOST, Keys
from running_gateways import ACCOUNT

from outcrop.wire.http import Request

OTHER = "210987654321"

_SIGNATURE = re.compile(r"Signature=([0-9a-f]{64})")
_URLSAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _other(forger: Forger, draft: Draft) -> Keys:
    others = forger.long_term if draft.proof == "key" else forger.strangers
    return forger.random.choice([each for each in others if each != draft.keys])


def _is_session(draft: Draft) -> bool:
    return draft.keys.token is not None


def _wrong_secret(forger: Forger, draft: Draft) -> Draft:
    return replace(draft, keys=replace(draft.keys, secret=forger.flip(draft.keys.secret, "xyz")))


def _secret_of_another(forger: Forger, draft: Draft) -> Draft:
    return replace(draft, keys=replace(draft.keys, secret=_other(forger, draft).secret))


def _another_key_id(forger: Forger, draft: Draft) -> Draft:
    return replace(draft, claimed_id=_other(forger, draft).id)


def _unknown_key_id(forger: Forger, draft: Draft) -> Draft:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    return replace(draft, claimed_id=draft.keys.id[:4] + forger.flip(draft.keys.id[4:], alphabet))


def _key_id_of_another_account(forger: Forger, draft: Draft) -> Draft | None:
    """The account in a temporary key's ID, and the token left as it is."""
    if not _is_session(draft):
        return None
    number = int.from_bytes(base64.b32decode(draft.keys.id[4:]))
    number ^= forger.random.randrange(1, 1 << 36) << 39
    return replace(draft, claimed_id="ASIA" + base64.b32encode(number.to_bytes(10)).decode())


def _replayed(forger: Forger, draft: Draft) -> Draft:
    # S3 takes a header's signature for 15 minutes, the others for 5.
    lifetime_s = 900 if draft.proof == "header" else draft.expires_s
    late_s = lifetime_s + forger.random.randrange(60, 86_400)
    return replace(draft, when=draft.when - timedelta(seconds=late_s))


def _from_the_future(forger: Forger, draft: Draft) -> Draft:
    return replace(
        draft, when=draft.when + timedelta(seconds=forger.random.randrange(1_200, 9_000))
    )


def _longer_than_allowed(forger: Forger, draft: Draft) -> Draft | None:
    limits = {"query": 604_800, "bearer": 43_200}
    if draft.proof not in limits:
        return None
    over = limits[draft.proof] + forger.random.randrange(1, 100_000)
    return replace(draft, expires_s=over)


def _another_service(forger: Forger, draft: Draft) -> Draft:
    services = {"bedrock", "s3", "iam", "sts", "kms", "ec2", "execute-api"} - {draft.ask.service}
    if draft.proof == "bearer":
        services -= {"bedrock"}
    return replace(draft, service=forger.random.choice(sorted(services)))


def _another_day(forger: Forger, draft: Draft) -> Draft:
    day = draft.when - timedelta(days=forger.random.choice([-1, 1, 7, 365]))
    return replace(draft, scope_date=day.strftime("%Y%m%d"))


def _no_region(forger: Forger, draft: Draft) -> Draft:
    return replace(draft, region=forger.random.choice(["", "US-EAST-1", "us_east_1", "*", "é"]))


def _another_term(forger: Forger, draft: Draft) -> Draft:
    return replace(draft, term=forger.random.choice(["aws2_request", "AWS4_REQUEST", "", "x"]))


def _another_algorithm(forger: Forger, draft: Draft) -> Draft:
    names = ["AWS4-HMAC-SHA1", "AWS4-HMAC-SHA512", "AWS4-ECDSA-P256-SHA256", "none", "AWS"]
    return replace(draft, algorithm=forger.random.choice(names))


def _host_unsigned(_forger: Forger, draft: Draft) -> Draft | None:
    return None if draft.is_bearer else replace(draft, unsigned=frozenset({"host"}))


def _header_unsigned(forger: Forger, draft: Draft) -> Draft | None:
    """One of AWS's own headers that the signature does not cover."""
    if draft.is_bearer:
        return None
    name = forger.random.choice(["x-amz-meta-a", "x-amz-acl", "x-amz-target", "x-amz-tagging"])
    headers = draft.ask.headers
    if not any(sent == name for sent, _ in headers):
        headers = (*headers, (name, "value"))
    return replace(draft, ask=replace(draft.ask, headers=headers), unsigned=frozenset({name}))


def _token_of_another(forger: Forger, draft: Draft) -> Draft | None:
    tokens = [each.token for each in forger.strangers if each.token not in (None, draft.keys.token)]
    return replace(draft, keys=replace(draft.keys, token=forger.random.choice(tokens)))


def _token_altered(forger: Forger, draft: Draft) -> Draft | None:
    token = draft.keys.token
    if token is None:
        return None
    altered = forger.random.choice(
        [
            forger.flip(token, _URLSAFE),
            token[: forger.random.randrange(len(token))],
            token[forger.random.randrange(1, 8) :],
            token + forger.random.choice(["=", "A", "AAAA", " x", "é"]),
            token.swapcase(),
            token.replace("-", "+").replace("_", "/"),
        ]
    )
    return None if altered == token else replace(draft, keys=replace(draft.keys, token=altered))


def _token_left_out(_forger: Forger, draft: Draft) -> Draft | None:
    return replace(draft, keys=replace(draft.keys, token=None)) if _is_session(draft) else None


def _token_on_a_long_term_key(forger: Forger, draft: Draft) -> Draft | None:
    if _is_session(draft):
        return None
    token = forger.random.choice([secrets.token_urlsafe(300), "x", forger.foreign.token])
    return replace(draft, keys=replace(draft.keys, token=token))


def _session_of_another_deployment(forger: Forger, draft: Draft) -> Draft | None:
    return None if draft.proof == "key" else replace(draft, keys=forger.foreign)


def _session_that_is_over(forger: Forger, draft: Draft) -> Draft | None:
    return None if draft.proof == "key" else replace(draft, keys=forger.ended)


def _bearer_for_another_version(_forger: Forger, draft: Draft) -> Draft | None:
    return replace(draft, version="2") if draft.proof == "bearer" else None


LIES: dict[str, Lie] = {
    "wrong secret": _wrong_secret,
    "secret of another": _secret_of_another,
    "another's key ID": _another_key_id,
    "unknown key ID": _unknown_key_id,
    "key ID of another account": _key_id_of_another_account,
    "replayed after its time": _replayed,
    "from the future": _from_the_future,
    "valid for too long": _longer_than_allowed,
    "another service": _another_service,
    "another day": _another_day,
    "no region": _no_region,
    "another terminator": _another_term,
    "another algorithm": _another_algorithm,
    "host unsigned": _host_unsigned,
    "x-amz- header unsigned": _header_unsigned,
    "token of another key": _token_of_another,
    "token altered": _token_altered,
    "token left out": _token_left_out,
    "token on a long-term key": _token_on_a_long_term_key,
    "session of another deployment": _session_of_another_deployment,
    "session that is over": _session_that_is_over,
    "bearer of another version": _bearer_for_another_version,
}


def with_headers(request: Request, **headers: str | None) -> Request:
    """Underscores stand for hyphens; None leaves a header out."""
    wanted = {name.replace("_", "-"): value for name, value in headers.items()}
    kept = [pair for pair in request.headers if pair[0] not in wanted]
    kept += [(name, value) for name, value in wanted.items() if value is not None]
    return replace(request, headers=tuple(kept))


def _authorization(request: Request) -> str | None:
    return request.header("authorization")


def _rewrite(draft: Draft, request: Request, old: str, new: str) -> Request | None:
    """In the place where the signature is told: header, query, or inside the bearer key."""
    authorization = _authorization(request)
    if draft.proof == "key":
        return None
    if draft.proof == "bearer":
        prefix = "Bearer bedrock-api-key-"
        url = base64.b64decode((authorization or "").removeprefix(prefix)).decode()
        if old not in url:
            return None
        token = base64.b64encode(url.replace(old, new, 1).encode("utf-8", "replace")).decode()
        return with_headers(request, authorization=prefix + token)
    if authorization is not None:
        if old not in authorization:
            return None
        return with_headers(request, authorization=authorization.replace(old, new, 1))
    if old not in request.raw_query:
        return None
    return replace(request, raw_query=request.raw_query.replace(old, new, 1))


def _place(draft: Draft, request: Request) -> str:
    authorization = _authorization(request)
    if draft.proof == "key":
        return ""
    if draft.proof == "bearer":
        encoded = (authorization or "").removeprefix("Bearer bedrock-api-key-")
        return base64.b64decode(encoded).decode()
    return authorization or request.raw_query


def _signature(forger: Forger, draft: Draft, request: Request) -> Request | None:
    found = _SIGNATURE.search(_place(draft, request))
    if found is None:
        return None
    signature = found.group(1)
    forged = forger.random.choice(
        [
            forger.flip(signature),
            signature[:-1],
            signature + "0",
            signature[:32],
            signature[::-1],
            "",
            "0" * 64,
            secrets.token_hex(32),
            signature.replace(signature[0], "g"),
            f" {signature}",
        ]
    )
    return _rewrite(draft, request, f"Signature={signature}", f"Signature={forged}")


def _credential(forger: Forger, draft: Draft, request: Request) -> Request | None:
    parts = draft.credential.split("/")
    at = forger.random.randrange(len(parts))
    parts[at] = forger.random.choice(
        ["", parts[at] + "x", forger.flip(parts[at], "q7"), _other(forger, draft).id]
    )
    extra = forger.random.choice(["", "", "/more"])
    forged = "/".join(parts) + extra
    if draft.proof == "header":
        return _rewrite(draft, request, draft.credential, forged)
    old, new = (quote(text, safe="") for text in (draft.credential, forged))
    return _rewrite(draft, request, old, new)


def _date(forger: Forger, draft: Draft, request: Request) -> Request | None:
    moved = draft.when + timedelta(seconds=forger.random.choice([-120, -1, 1, 60]))
    moment = moved.strftime("%Y%m%dT%H%M%SZ")
    if draft.proof == "header":
        return with_headers(request, x_amz_date=moment)
    return _rewrite(draft, request, f"X-Amz-Date={draft.moment}", f"X-Amz-Date={moment}")


def _expiry(forger: Forger, draft: Draft, request: Request) -> Request | None:
    more = draft.expires_s + forger.random.choice([1, 60, 3600, -1])
    old = f"X-Amz-Expires={draft.expires_s}"
    return _rewrite(draft, request, old, f"X-Amz-Expires={more}")


def _signed_headers(forger: Forger, draft: Draft, request: Request) -> Request | None:
    old = "SignedHeaders=host"
    new = forger.random.choice(["host;host", "Host", "host;x-amz-evil", "", ";host", "x", "*"])
    return _rewrite(draft, request, old, f"SignedHeaders={new}")


def _token_after_signing(forger: Forger, draft: Draft, request: Request) -> Request | None:
    """Swapped, dropped, doubled or added where nothing says it was."""
    token = draft.keys.token
    stranger = next(each.token for each in forger.strangers if each.token not in (None, token))
    assert stranger is not None
    if draft.proof == "header":
        if forger.random.random() < 0.3 and token is not None:
            first = ("x-amz-security-token", stranger)
            return replace(request, headers=(first, *request.headers))
        return with_headers(request, x_amz_security_token=stranger)
    if token is None:
        return _rewrite(
            draft, request, "&X-Amz-Signature", f"&X-Amz-Security-Token={stranger}&X-Amz-Signature"
        )
    doubled = f"X-Amz-Security-Token={token}&X-Amz-Security-Token={stranger}"
    new = forger.random.choice(["", f"X-Amz-Security-Token={stranger}", doubled])
    return _rewrite(draft, request, f"X-Amz-Security-Token={token}", new)


def _method(forger: Forger, draft: Draft, request: Request) -> Request | None:
    if draft.is_bearer:
        return None
    methods = {"GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"} - {request.method}
    return replace(request, method=forger.random.choice(sorted(methods)))


def _path(forger: Forger, draft: Draft, request: Request) -> Request | None:
    if draft.is_bearer:
        return None
    path = request.raw_path
    at = forger.random.randrange(1, len(path)) if len(path) > 1 else 1
    return replace(
        request,
        raw_path=forger.random.choice(
            [
                path + "/",
                path + "/.",
                path + "/..",
                path + "%2F",
                path + "%00",
                path + ";a=b",
                path + "x",
                "/" + path,
                "/." + path,
                "/x/.." + path,
                "/%2e" + path,
                path[:at] + "/" + path[at:],
                path[:at] + "%" + f"{ord(path[at : at + 1] or 'a'):02X}" + path[at + 1 :],
                path[:at] + "\\" + path[at:],
                path.replace("/", "//", 1),
                path.upper() if path != path.upper() else path + "a",
                path.rpartition("/")[0] or "/x",
            ]
        ),
    )


def _query(forger: Forger, draft: Draft, request: Request) -> Request | None:
    if draft.is_bearer:
        return None
    query = request.raw_query
    pairs = [pair for pair in query.split("&") if pair]
    more = forger.random.choice(["evil=1", "Action=DeleteUser", "list-type=2", "acl", "x-id=x"])
    choices = ["&".join([more, *pairs]), "&".join([*pairs, more])]
    if pairs:
        at = forger.random.randrange(len(pairs))
        choices.append("&".join(pairs[:at] + pairs[at + 1 :]))
        choices.append("&".join([*pairs, pairs[at]]))
        choices.append("&".join([*pairs[:at], pairs[at] + "x", *pairs[at + 1 :]]))
    return replace(request, raw_query=forger.random.choice(choices))


def _body(forger: Forger, draft: Draft, request: Request) -> Request | None:
    if draft.is_bearer or (draft.proof == "query" and draft.ask.service == "s3"):
        return None
    body = request.body
    choices = [body + b" ", body + b"&Action=DeleteUser", b"x" + body]
    if body:
        at = forger.random.randrange(len(body))
        choices += [b"", body[:-1], body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]]
    return replace(request, body=forger.random.choice(choices))


def _account(_forger: Forger, draft: Draft, request: Request) -> Request | None:
    """Another account in what the request is about."""
    if draft.is_bearer:
        return None
    query = request.raw_query.replace(f"%3A{ACCOUNT}%3A", f"%3A{OTHER}%3A")
    body = request.body.replace(ACCOUNT.encode(), OTHER.encode())
    changed = replace(request, raw_query=query, body=body)
    return None if changed == request else changed


def _host(forger: Forger, draft: Draft, request: Request) -> Request | None:
    if draft.is_bearer:
        return None
    host = forger.random.choice(["evil.example", HOST + "0", "127.0.0.1", f"{HOST}.evil.example"])
    return replace(with_headers(request, host=host), host=host)


def _smuggled(forger: Forger, draft: Draft, request: Request) -> Request | None:
    """A second header of a signed name, a changed one, one of AWS's own, another authorization."""
    if draft.is_bearer:
        return None
    header = forger.random.choice(
        [
            ("host", "evil.example"),
            ("x-amz-acl", "public-read"),
            ("x-amz-target", "TrentService.ScheduleKeyDeletion"),
            ("x-amz-copy-source", "/other/secret"),
            ("x-amz-content-sha256", "0" * 64),
            ("x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb924"),
            ("x-amz-server-side-encryption", "aws:kms"),
        ]
    )
    if draft.proof == "header":
        header = forger.random.choice(
            [
                header,
                ("x-amz-date", "20200101T000000Z"),
                ("authorization", _authorization(request) or ""),
                ("authorization", "Bearer ABSKeA=="),
            ]
        )
    front = forger.random.random() < 0.5
    headers = (header, *request.headers) if front else (*request.headers, header)
    return replace(request, headers=headers)


def _stripped(forger: Forger, draft: Draft, request: Request) -> Request | None:
    """No proof at all, or another kind of it."""
    if draft.proof == "query":
        query = "&".join(
            pair for pair in request.raw_query.split("&") if not pair.startswith("X-Amz-")
        )
        return replace(request, raw_query=query)
    scheme = forger.random.choice([None, "Basic YTpi", "Bearer x", "AWS4-HMAC-SHA256", "", "AWS"])
    return with_headers(request, authorization=scheme)


def _header_and_query(forger: Forger, draft: Draft, request: Request) -> Request | None:
    """A working presigned URL with a header that claims to be somebody else."""
    if draft.proof != "query":
        return None
    value = forger.random.choice(
        [
            f"AWS4-HMAC-SHA256 Credential={_other(forger, draft).id}/{draft.scope}, "
            f"SignedHeaders=host, Signature={'0' * 64}",
            "AWS4-HMAC-SHA256",
            "Basic YTpi",
        ]
    )
    return with_headers(request, authorization=value)


def _bearer_place(forger: Forger, draft: Draft, request: Request) -> Request | None:
    """A bearer key whose presigned request is another one."""
    if draft.proof != "bearer":
        return None
    old, new = forger.random.choice(
        [
            ("Action=CallWithBearerToken", "Action=ListRoles"),
            ("bedrock.amazonaws.com/", "evil.example/"),
            ("bedrock.amazonaws.com/", "bedrock.amazonaws.com/model"),
            ("&Version=1", ""),
            ("&Version=1", "&Version=1&Version=1"),
            ("&Version=1", "&Version=1&more=1"),
            ("Action=", "action="),
        ]
    )
    return _rewrite(draft, request, old, new)


def _bearer_text(forger: Forger, draft: Draft, request: Request) -> Request | None:
    if not draft.is_bearer:
        return None
    token = (_authorization(request) or "").removeprefix("Bearer ")
    at = forger.random.randrange(16, len(token) - 4)
    forged = forger.random.choice(
        [
            token[:at],
            token[:at] + "!" + token[at:],
            token.removeprefix("bedrock-api-key-").removeprefix("ABSK"),
            "ABSK" + token.removeprefix("bedrock-api-key-"),
            "bedrock-api-key-" + token,
            token[:16] + token[16:].swapcase(),
        ]
    )
    return with_bearer(draft.ask, forged)


CHANGES: dict[str, Change] = {
    "signature": _signature,
    "credential": _credential,
    "date": _date,
    "expiry": _expiry,
    "signed headers": _signed_headers,
    "token after signing": _token_after_signing,
    "method": _method,
    "path": _path,
    "query": _query,
    "body": _body,
    "account": _account,
    "host": _host,
    "smuggled header": _smuggled,
    "stripped": _stripped,
    "header beside query": _header_and_query,
    "bearer for another request": _bearer_place,
    "bearer text": _bearer_text,
}
