"""``requestParameters`` and ``responseElements``: what may be told of parameters and results.

Content and secrets never may: blobs and streams are left out, and what a model marks as sensitive,
or the table below names, is told to be hidden.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, cast

from outcrop.trail.kinds import is_read_only
from outcrop.wire.shapes import Shape
from outcrop.wire.spec import Operation

HIDDEN: Final = "HIDDEN_DUE_TO_SECURITY_REASONS"
_MOST_DEPTH: Final = 24
_LARGEST_INTEGER: Final = 2**63

_HIDDEN: Final = frozenset(
    name.lower()
    for name in (
        *("SessionToken", "SecretAccessKey", "SecretString", "Password", "ServicePassword"),
        *("ServiceCredentialSecret", "PrivateKey", "ContextAssertion", "EncodedMessage"),
        *("DecodedMessage", "OneTimePassword", "TokenCode", "GrantToken", "GrantTokens"),
        *("communicationBody", "MessageBody", "prompt", "inputText", "systemPrompt"),
        *("AuthenticationCode1", "AuthenticationCode2"),
        *("PlatformCredential", "PlatformPrincipal"),
    )
)
"""Members, and keys of maps, in any case, that no model marks though they hold secrets or what
somebody wrote."""

_HIDDEN_OF: Final[Mapping[str, frozenset[str]]] = {
    "bedrock": frozenset({"text", "instructions", "offerToken", "definition", "modelInput"}),
    "bedrock-agent": frozenset({"text", "parsingPromptText", "message", "definition"}),
    "logs": frozenset({"message", "eventMessage", "logEventMessages", "tableBody"}),
    "cloudwatch": frozenset({"DashboardBody"}),
    "sns": frozenset({"Message", "Token"}),
    "support": frozenset({"subject", "body"}),
    "events": frozenset({"Input", "Detail", "HeaderParameters", "QueryStringParameters"}),
}

_RUNTIMES: Final = frozenset({"bedrock-runtime", "bedrock-agent-runtime"})
_RUNTIME_BODY: Final = frozenset({"modelId"})
"""Of what runs models and agents, only what names them in the path is told; and this."""

_NAMES: Final[Mapping[str, Mapping[str, str]]] = {"s3": {"Bucket": "bucketName"}}

_TELLS_RESULT: Final = frozenset(
    {"AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}
    | {"GetFederationToken", "GetSessionToken"}
)
"""Operations that read and whose result is told all the same: which key was given to whom."""

_WITH_PASSWORD: Final = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@")

_LEFT_OUT: Final = object()


@cache
def tells_result(operation: Operation) -> bool:
    if operation.service.name in _RUNTIMES:
        return False
    return not is_read_only(operation) or operation.name in _TELLS_RESULT


@cache
def _told_parameters(operation: Operation) -> tuple[str, ...]:
    members = operation.input.members if operation.input else {}
    named = frozenset(member.name for member in operation.input_layout.uri) | _RUNTIME_BODY
    return tuple(
        name for name, member in members.items() if name in named and not member.shape.sensitive
    )


def _of_runtime(names: tuple[str, ...], params: Mapping[str, Any]) -> dict[str, str] | None:
    found = {name: params[name] for name in names if name in params}
    return {name: value for name, value in found.items() if isinstance(value, str)} or None


def parameters_of(operation: Operation, params: Mapping[str, Any]) -> Any:
    """None where there is nothing to tell."""
    if operation.service.name in _RUNTIMES:
        return _of_runtime(_told_parameters(operation), params)
    return _shown(operation, operation.input, params)


def result_of(operation: Operation, result: Mapping[str, Any]) -> Any:
    return _shown(operation, operation.output, result) if tells_result(operation) else None


def _shown(operation: Operation, shape: Shape | None, values: Mapping[str, Any]) -> Any:
    if shape is None:
        return None
    service = operation.service.name
    teller = _Teller(_HIDDEN_OF.get(service, frozenset()), _NAMES.get(service, {}))
    return teller.structure(shape, values, 0) or None


class _Teller:
    def __init__(self, hidden: frozenset[str], names: Mapping[str, str]) -> None:
        self._hidden = hidden
        self._names = names

    def structure(self, shape: Shape, values: Mapping[str, Any], depth: int) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for name, value in values.items():
            member = shape.members.get(name)
            if member is None or value is None or member.is_streaming:
                continue
            if name in self._hidden or name.lower() in _HIDDEN:
                shown: Any = HIDDEN
            else:
                shown = self.value(member.shape, value, depth + 1)
            if shown is not _LEFT_OUT:
                told[self._names.get(name) or name[:1].lower() + name[1:]] = shown
        return told

    def value(self, shape: Shape, value: Any, depth: int) -> Any:
        if shape.sensitive or depth > _MOST_DEPTH:
            return HIDDEN
        match shape.type:
            case "structure" if not shape.is_document and not shape.is_event_stream:
                return self.structure(shape, value, depth)
            case "list":
                return self._list(shape, value, depth)
            case "map":
                return self._map(shape, value, depth)
            case "blob" | "structure":
                # A document has no model that says what is secret in it.
                return _LEFT_OUT
            case _:
                return _scalar(value)

    def _list(self, shape: Shape, values: Sequence[Any], depth: int) -> Any:
        shown = (self.value(shape.item.shape, value, depth + 1) for value in values)
        return [each for each in shown if each is not _LEFT_OUT]

    def _map(self, shape: Shape, values: Mapping[str, Any], depth: int) -> Any:
        key, item = shape.members["key"].shape, shape.members["value"].shape
        if key.sensitive:
            return HIDDEN
        shown = {
            str(name): HIDDEN
            if str(name).lower() in _HIDDEN
            else self.value(item, value, depth + 1)
            for name, value in values.items()
        }
        return {name: value for name, value in shown.items() if value is not _LEFT_OUT}


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        # An endpoint's own name and password: https://name:password@example.com/.
        return HIDDEN if "@" in value and _WITH_PASSWORD.match(value) else value
    if isinstance(value, bool):
        return value
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, int):
        return value if abs(value) < _LARGEST_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    # A member that holds JSON as text was parsed: its model says nothing of what is in it.
    return cast(Any, _LEFT_OUT)
