"""What a connection knows: how a request is signed in at an API, sealed as a whole.

Answers show the same parameters without what is secret.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from outcrop.errors import ValidationException
from outcrop.identity import Sealer

_MEMBER: Final[Mapping[str, str]] = {
    "API_KEY": "ApiKeyAuthParameters",
    "BASIC": "BasicAuthParameters",
    "OAUTH_CLIENT_CREDENTIALS": "OAuthParameters",
}
_HTTP_LISTS: Final = ("HeaderParameters", "QueryStringParameters", "BodyParameters")


def check_parameters(authorization: str, parameters: Mapping[str, Any]) -> None:
    """One way to sign in, the one that ``authorization`` names, and whole."""
    own = _MEMBER[authorization]
    given = [name for name in _MEMBER.values() if name in parameters]
    if given != [own]:
        raise ValidationException(
            f"Parameter AuthParameters is not valid. Reason: {authorization} needs {own} and no "
            "other parameters to sign in with."
        )
    if "ConnectivityParameters" in parameters:
        raise ValidationException(
            "Parameter ConnectivityParameters is not supported: Outcrop reaches APIs as the "
            "server's own network does."
        )
    if authorization == "OAUTH_CLIENT_CREDENTIALS":
        _require(parameters[own], "ClientParameters", "AuthorizationEndpoint", "HttpMethod")
        _require(parameters[own]["ClientParameters"], "ClientID", "ClientSecret")
    elif authorization == "BASIC":
        _require(parameters[own], "Username", "Password")
    else:
        _require(parameters[own], "ApiKeyName", "ApiKeyValue")


def _require(parameters: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if not parameters.get(name):
            raise ValidationException(f"Parameter {name} must be specified.")


def merge(known: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Updates name only what they change; lists of parameters are replaced whole."""
    merged = dict(known)
    for name, value in changed.items():
        before = merged.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            merged[name] = merge(cast("dict[str, Any]", before), cast("dict[str, Any]", value))
        else:
            merged[name] = value
    return merged


def shown(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """As DescribeConnection answers them."""
    answer: dict[str, Any] = {}
    for name, value in parameters.items():
        match name:
            case "ApiKeyAuthParameters":
                answer[name] = {"ApiKeyName": value["ApiKeyName"]}
            case "BasicAuthParameters":
                answer[name] = {"Username": value["Username"]}
            case "OAuthParameters":
                answer[name] = _shown_oauth(value)
            case _:
                answer[name] = _shown_http(value)
    return answer


def _shown_oauth(parameters: Mapping[str, Any]) -> dict[str, Any]:
    answer = {
        "ClientParameters": {"ClientID": parameters["ClientParameters"]["ClientID"]},
        "AuthorizationEndpoint": parameters["AuthorizationEndpoint"],
        "HttpMethod": parameters["HttpMethod"],
    }
    if "OAuthHttpParameters" in parameters:
        answer["OAuthHttpParameters"] = _shown_http(parameters["OAuthHttpParameters"])
    return answer


def _shown_http(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [_shown_parameter(each) for each in parameters[name]]
        for name in _HTTP_LISTS
        if name in parameters
    }


def _shown_parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    # Without the word of its owner a value is taken for a secret.
    is_secret = parameter.get("IsValueSecret", True)
    answer = {"Key": parameter.get("Key", ""), "IsValueSecret": is_secret}
    return answer if is_secret else {**answer, "Value": parameter.get("Value", "")}


def seal(sealer: Sealer, arn: str, parameters: Mapping[str, Any]) -> bytes:
    return sealer.seal(msgspec.json.encode(parameters), arn.encode())


def open_sealed(sealer: Sealer, arn: str, sealed: bytes) -> dict[str, Any]:
    return msgspec.json.decode(sealer.open(sealed, arn.encode()))
