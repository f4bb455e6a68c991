"""From a request to its operation, its labels and the protocol it speaks.

The service is the one that the host names; else that of ``X-Amz-Target`` or of Smithy's RPC path;
else that of the scope the request is signed for; else that of a form's ``Version``. Requests of
REST services without any of these go by their path alone.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from outcrop.wire.bucket_paths import BucketTable
from outcrop.wire.forms import MAX_FORM_BYTES, find_action, form_text
from outcrop.wire.hosts import Host, HostNames
from outcrop.wire.http import Request
from outcrop.wire.paths import MAX_QUERY_FIELDS, Match, PathTable, Services, unknown_operation
from outcrop.wire.spec import Service

__all__ = ["MAX_QUERY_FIELDS", "Audience", "Match", "Router"]

_REMEMBERED_CHARACTERS = 512
_RPC_PATH = re.compile(r"/service/([A-Za-z0-9_.]{1,128})/operation/([A-Za-z0-9_]{1,128})$")
_PRESIGNED = re.compile(r"(?:^|&)X-Amz-Credential=([^&]{1,512})")
_VERSION_2 = re.compile(r"(?:^|&)AWSAccessKeyId=")
_FORMS = ("query", "ec2")
CBOR = "smithy-rpc-v2-cbor"


@dataclass(frozen=True, slots=True)
class Audience:
    """Who asks, as far as a request without an operation tells: for the form of its refusal."""

    service: Service | None
    protocol: str


class _NotByPath(Exception):
    """More than the request line decides."""


class Router:
    """The operations of several services behind one port."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = {service.name: service for service in services}
        self._hosts = HostNames(services)
        self._paths = PathTable([one for one in services if one.protocol == "rest-json"])
        self._by_target = {s.target_prefix: s for s in services if s.target_prefix}
        self._by_version = {s.api_version: s for s in services if _form_protocol(s)}
        self._by_scope: dict[str, frozenset[str]] = {}
        for service in services:
            others = self._by_scope.get(service.signing_name, frozenset[str]())
            self._by_scope[service.signing_name] = others | {service.name}
        self._store_scope = next((s.signing_name for s in services if s.is_object_store), "")
        self._names = {service.name: frozenset((service.name,)) for service in services}
        self._by_path = frozenset(one.name for one in services if one.protocol == "rest-json")
        self._host = lru_cache(maxsize=1024)(self._hosts.find)
        self._bucket_table = lru_cache(maxsize=None)(BucketTable)
        # Clients ask for the same few models again and again; refusals are not remembered.
        self._remembered = lru_cache(maxsize=1024)(self._match_path)

    def match(self, request: Request) -> Match:
        scope = self._scope(request)
        path, query, host = request.raw_path, request.raw_query, request.host
        is_short = len(path) + len(query) + len(host) + len(scope) <= _REMEMBERED_CHARACTERS
        find = self._remembered if is_short else self._match_path
        try:
            return find(request.method, path, query, host, scope)
        except _NotByPath:
            return self._match_whole(request, scope)

    def audience(self, request: Request) -> Audience:
        services = self._candidates(request, self._scope(request))
        service = next(iter(services)) if len(services) == 1 else None
        if request.header("smithy-protocol"):
            return Audience(service, CBOR)
        if request.header("x-amz-target"):
            return Audience(service, "json")
        if service is not None:
            # A request of RPC v2 says so in its header.
            spoken = [one for one in service.protocols if one != CBOR] or service.protocols
            return Audience(service, spoken[0])
        is_form = request.raw_path == "/" and find_action(_form(request)) is not None
        return Audience(None, "query" if is_form else "rest-json")

    def _scope(self, request: Request) -> str:
        """The service that the request is signed for, not yet verified; blank if none is named."""
        for name, value in request.headers:
            if name == "authorization":
                # AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, …
                parts = value.split("/", 4)
                if len(parts) == 5 and value.startswith("AWS4-"):
                    return parts[3]
                return self._store_scope if value.startswith("AWS ") else ""
        if "Id=" in request.raw_query or "X-Amz-" in request.raw_query:
            return self._presigned_scope(request.raw_query)
        return ""

    def _presigned_scope(self, raw_query: str) -> str:
        found = _PRESIGNED.search(raw_query)
        if found is None:
            # Signatures of version 2, which botocore still makes for presigned URLs of S3.
            return self._store_scope if _VERSION_2.search(raw_query) else ""
        parts = unquote(found[1]).split("/")
        return parts[3] if len(parts) == 5 else ""

    def _match_path(
        self, method: str, raw_path: str, raw_query: str, host: str, scope: str
    ) -> Match:
        """By the request line alone, as far as that can be."""
        named = self._host(host).service
        services: Services = self._by_scope.get(scope) if named is None else self._names.get(named)
        if services is not None and not services <= self._by_path:
            raise _NotByPath
        if raw_path == "/" or raw_path.startswith("/service/"):
            raise _NotByPath
        return self._paths.match(method, raw_path, raw_query, services)

    def _match_whole(self, request: Request, scope: str) -> Match:
        services = self._candidates(request, scope)
        match = (
            self._match_rpc(request, services)
            or self._match_form(request, services)
            or self._match_store(request, services)
        )
        if match:
            return match
        names = frozenset(service.name for service in services) or None
        return self._paths.match(request.method, request.raw_path, request.raw_query, names)

    def _candidates(self, request: Request, scope: str) -> list[Service]:
        """The services that the request may be for; none if nothing tells."""
        named = self._host(request.host).service
        if named is not None:
            return [self._services[named]]
        prefix = _rpc_name(request)[0]
        if prefix in self._by_target:
            return [self._by_target[prefix]]
        if scope in self._by_scope:
            return [self._services[name] for name in sorted(self._by_scope[scope])]
        if request.raw_path == "/":
            action = find_action(_form(request))
            service = self._by_version.get(action[1] or "") if action else None
            return [service] if service else []
        return []

    def _match_rpc(self, request: Request, services: Iterable[Service]) -> Match | None:
        prefix, name, protocol = _rpc_name(request)
        if protocol and not _is_as_signed(request.raw_path):
            raise unknown_operation()
        for service in services:
            if service.target_prefix == prefix and protocol in service.protocols:
                operation = service.operations.get(name)
                if operation:
                    return Match(operation, {}, protocol)
        if protocol:
            raise unknown_operation()
        return None

    def _match_form(self, request: Request, services: Iterable[Service]) -> Match | None:
        spoken = [(service, _form_protocol(service)) for service in services]
        if not any(protocol for _, protocol in spoken):
            return None
        if not _is_as_signed(request.raw_path):
            raise unknown_operation()
        action = find_action(form_text(request))
        for service, protocol in spoken:
            operation = service.operations.get(action[0]) if action and protocol else None
            if operation and protocol:
                return Match(operation, {}, protocol)
        raise unknown_operation()

    def _match_store(self, request: Request, services: Iterable[Service]) -> Match | None:
        for service in services:
            if service.is_object_store:
                place: Host = self._host(request.host)
                return self._bucket_table(service).match(request, place.bucket)
        return None


def _form_protocol(service: Service) -> str | None:
    return next((one for one in service.protocols if one in _FORMS), None)


def _form(request: Request) -> str:
    """The form, if it is one: a body too long for one is refused later, in the right form."""
    return form_text(request) if len(request.body) <= MAX_FORM_BYTES else ""


def _is_as_signed(raw_path: str) -> bool:
    """A signature leaves empty and dot segments out; so that it fits one path, they name nothing
    where the path does not tell the operation either."""
    return "//" not in raw_path and "/." not in raw_path


def _rpc_name(request: Request) -> tuple[str, str, str]:
    """Target prefix, operation and protocol of a call that its headers name; else blanks."""
    if request.method != "POST":
        return "", "", ""
    if request.header("smithy-protocol") == "rpc-v2-cbor":
        path = _RPC_PATH.search(request.raw_path[-300:])
        return (path[1], path[2], CBOR) if path else ("", "", CBOR)
    target = request.header("x-amz-target")
    if target is None:
        return "", "", ""
    prefix, _, name = target[:256].rpartition(".")
    return prefix, name, "json"
