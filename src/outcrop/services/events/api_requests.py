"""One event for an API destination as an HTTP request, signed in as its connection says."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec

from outcrop.events.inputs import MISSING, find_path
from outcrop.events.json_text import InvalidJson, read_json, write_json
from outcrop.services.events.failures import Refused
from outcrop.services.events.http_requests import Answered, Sent
from outcrop.stores.event_records import EventApiDestination

_WITHOUT_BODY: Final = ("GET", "HEAD")
_SOONER: Final = timedelta(seconds=60)
"""A token is renewed before it ends."""


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    ends_at: datetime


def render_request(
    destination: EventApiDestination,
    parameters: Mapping[str, Any],
    target: Mapping[str, Any],
    event: Mapping[str, Any],
    body: str,
) -> Sent:
    """``parameters`` are the connection's, which win over the target's."""
    own: Mapping[str, Any] = target.get("HttpParameters", {})
    invocation: Mapping[str, Any] = parameters.get("InvocationHttpParameters", {})
    query = _filled(own.get("QueryStringParameters", {}), event)
    query |= dict(_pairs(invocation, "QueryStringParameters"))
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Amazon/EventBridge/ApiDestinations",
        **_filled(own.get("HeaderParameters", {}), event),
        **dict(_pairs(invocation, "HeaderParameters")),
        **_sign_in(parameters),
    }
    for name, value in headers.items():
        if any(ord(character) < 32 for character in name + value):
            raise Refused("INVALID_PARAMETER", f"The header {name} has control characters.")
    url = _url(destination.endpoint, own.get("PathParameterValues", ()), event, query)
    sent = "" if destination.method in _WITHOUT_BODY else _with_body(invocation, body)
    return Sent(destination.method, url, headers, sent.encode())


def with_token(request: Sent, token: Token) -> Sent:
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {token.text}"})


def render_token_request(oauth: Mapping[str, Any]) -> Sent:
    client = oauth["ClientParameters"]
    more: Mapping[str, Any] = oauth.get("OAuthHttpParameters", {})
    asked = {
        "grant_type": "client_credentials",
        "client_id": client["ClientID"],
        "client_secret": client["ClientSecret"],
        **dict(_pairs(more, "BodyParameters")),
    }
    query = dict(_pairs(more, "QueryStringParameters"))
    in_body = oauth["HttpMethod"] not in _WITHOUT_BODY
    headers = dict(_pairs(more, "HeaderParameters"))
    if in_body:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    url = _with_query(oauth["AuthorizationEndpoint"], query if in_body else {**query, **asked})
    body = urlencode(asked).encode() if in_body else b""
    return Sent(oauth["HttpMethod"], url, headers, body)


def read_token(answered: Answered, now: datetime) -> Token:
    """Of an answer that is none, its status is all that is told: it may repeat the secret."""
    try:
        answer: Any = msgspec.json.decode(answered.body)
        text, lasts_s = answer["access_token"], float(answer.get("expires_in", 3600))
    except (
        msgspec.DecodeError,
        UnicodeError,
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
    ) as e:
        raise Refused("OAUTH", "The authorization endpoint answered no access token.") from e
    if not isinstance(text, str) or not text.isascii() or not text.isprintable():
        raise Refused("OAUTH", "The authorization endpoint answered no access token.")
    return Token(text, now + timedelta(seconds=min(max(lasts_s, 0), 86_400)) - _SOONER)


def _sign_in(parameters: Mapping[str, Any]) -> dict[str, str]:
    if "ApiKeyAuthParameters" in parameters:
        key = parameters["ApiKeyAuthParameters"]
        return {key["ApiKeyName"]: key["ApiKeyValue"]}
    if "BasicAuthParameters" in parameters:
        basic = parameters["BasicAuthParameters"]
        text = f"{basic['Username']}:{basic['Password']}".encode()
        return {"Authorization": f"Basic {base64.b64encode(text).decode()}"}
    return {}


def _pairs(parameters: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    for each in parameters.get(name, ()):
        yield each.get("Key", ""), each.get("Value", "")


def _filled(values: Mapping[str, str], event: Mapping[str, Any]) -> dict[str, str]:
    return {name: _value(value, event) for name, value in values.items()}


def _value(value: str, event: Mapping[str, Any]) -> str:
    """Itself, or what it leads to in the event."""
    if not value.startswith("$."):
        return value
    found = find_path(value, event)
    if found is MISSING:
        return ""
    return found if isinstance(found, str) else write_json(found)


def _url(
    endpoint: str, path_values: tuple[str, ...], event: Mapping[str, Any], query: dict[str, str]
) -> str:
    first, *rest = endpoint.split("*")
    if len(rest) != len(path_values):
        raise Refused("INVALID_PARAMETER", "The endpoint has other path variables by now.")
    filled = (
        quote(_value(value, event), safe="") + part
        for value, part in zip(path_values, rest, strict=True)
    )
    return _with_query("".join((first, *filled)), query)


def _with_query(url: str, query: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    known = parse_qsl(parts.query, keep_blank_values=True)
    pairs = [pair for pair in known if pair[0] not in query] + list(query.items())
    return urlunsplit(parts._replace(query=urlencode(pairs))) if query else url


def _with_body(invocation: Mapping[str, Any], body: str) -> str:
    added = dict(_pairs(invocation, "BodyParameters"))
    if not added:
        return body
    try:
        read = read_json(body)
    except InvalidJson:
        read = None
    if not isinstance(read, dict):
        raise Refused(
            "INVALID_PARAMETER",
            "Parameters of the connection cannot be put into a body that is no JSON object.",
        )
    return write_json({**cast("dict[str, Any]", read), **added})
