"""From method, path, query and host to an operation and its labels.

Paths are split before they are decoded, so ``%2F`` never separates, and a trailing slash counts.
A label that is an ARN may come with raw slashes; see ``_readings``. Labels are decoded once.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from outcrop.errors import UnknownOperationException
from outcrop.wire import patterns
from outcrop.wire.spec import Operation, Service

MAX_PATH_CHARS = 16_384
_MAX_QUERY_FIELDS = 1_000
_LABEL = re.compile(r"\{([^{}+]+)(\+?)\}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Match:
    """``labels`` are by their name in the template, percent-decoded exactly once."""

    operation: Operation
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Route:
    operation: Operation
    literals: tuple[tuple[int, str], ...]
    labels: tuple[tuple[int, str], ...]
    query: frozenset[tuple[str, str]]
    size: int


class Router:
    """The operations of several services behind one port.

    A host named ``<service>.<region>.…`` (``-fips`` too) decides the service. Otherwise the path
    does; where services share one, the service whose pattern fits the label wins (``/tags/{arn}``
    goes by the ARN), else the first in the order given here.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._by_prefix = {service.endpoint_prefix: service.name for service in services}
        self._routes: dict[tuple[str, str, int], list[_Route]] = {}
        for service in services:
            for operation in service.operations.values():
                self._add(operation)
        for routes in self._routes.values():
            # The more a template fixes, the earlier it is tried; equals keep the given order.
            routes.sort(key=lambda route: (-len(route.literals), -len(route.query)))
        self._longest = max((size for _, _, size in self._routes), default=0)
        self._service_of = lru_cache(maxsize=1024)(self._find_service)

    def match(self, method: str, raw_path: str, raw_query: str, host: str) -> Match:
        if len(raw_path) <= MAX_PATH_CHARS and raw_path.startswith("/"):
            service = self._service_of(host[:255])
            for segments in _readings(raw_path[1:].split("/"), self._longest):
                found = self._match_segments(method, segments, raw_query, service)
                if found:
                    return found
        raise UnknownOperationException("The requested operation is not recognized by the service.")

    def service_of(self, host: str) -> str | None:
        """The name of the service that the host names."""
        return self._service_of(host[:255])

    def _add(self, operation: Operation) -> None:
        path, _, query = operation.uri.partition("?")
        segments = path.removeprefix("/").split("/")
        labels = [(i, match[1]) for i, s in enumerate(segments) if (match := _LABEL.fullmatch(s))]
        names = {index for index, _ in labels}
        literals = [(i, s) for i, s in enumerate(segments) if i not in names]
        first = "" if 0 in names else segments[0]
        route = _Route(
            operation=operation,
            literals=tuple(literals),
            labels=tuple(labels),
            query=frozenset(_pairs(query)),
            size=len(segments),
        )
        self._routes.setdefault((operation.method, first, route.size), []).append(route)

    def _match_segments(
        self, method: str, segments: Sequence[str], raw_query: str, service: str | None
    ) -> Match | None:
        routes = self._routes.get((method, segments[0], len(segments)), ())
        fitting = [
            route
            for route in routes
            if (service is None or route.operation.service.name == service)
            and all(segments[index] == literal for index, literal in route.literals)
            and all(segments[index] for index, _ in route.labels)
            and (not route.query or route.query.issubset(_pairs(raw_query)))
        ]
        if not fitting:
            return None
        route = fitting[0]
        labels = _labels(route, segments)
        if labels is None:
            return None
        equals = [other for other in fitting if other.literals == route.literals]
        if len(equals) > 1:
            route = _by_label(equals, labels)
        return Match(route.operation, labels)

    def _find_service(self, host: str) -> str | None:
        first, dot, rest = host.lower().partition(".")
        if not dot or not rest:
            return None
        return self._by_prefix.get(first.removesuffix("-fips"))


def _readings(segments: list[str], longest: int) -> Iterator[Sequence[str]]:
    """The ways to read a path whose label may be an ARN with raw slashes: at most one per segment
    of the longest template, so hostile paths cost no more than others."""
    start = next((i for i, s in enumerate(segments) if s[:3].lower() == "arn"), None)
    if start is None or not _is_arn(segments[start]):
        yield segments
        return
    # An ARN whose resource is complete in its own segment was sent encoded.
    is_complete = "/" in (_decode(segments[start]) or "")
    if is_complete:
        yield segments
    # Of the ways to end the ARN, the earliest that leaves a known path counts.
    first_end = max(start + 2, len(segments) - longest + start + 1)
    for end in range(first_end, len(segments) + 1):
        folded = "%2F".join(segments[start:end])
        yield [*segments[:start], folded, *segments[end:]]
    if not is_complete:
        yield segments


def _is_arn(segment: str) -> bool:
    return (_decode(segment[:64].rpartition("%")[0] or segment[:64]) or "").startswith("arn:")


def _labels(route: _Route, segments: Sequence[str]) -> dict[str, str] | None:
    labels: dict[str, str] = {}
    for index, name in route.labels:
        text = _decode(segments[index])
        if text is None:
            return None
        labels[name] = text
    return labels


def _by_label(routes: Iterable[_Route], labels: dict[str, str]) -> _Route:
    routes = list(routes)
    for route in routes:
        if all(
            patterns.matcher(member.shape.pattern)(labels.get(member.wire_name, ""))
            for member in route.operation.input_layout.uri
            if member.shape.pattern is not None
        ):
            return route
    return routes[0]


def _decode(text: str) -> str | None:
    if "%" not in text:
        return text if text.isascii() else None
    if _BAD_ESCAPE.search(text):
        return None
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        return None


def _pairs(query: str) -> set[tuple[str, str]]:
    fields = query.split("&", _MAX_QUERY_FIELDS)[:_MAX_QUERY_FIELDS]
    return {(key, value) for key, _, value in (field.partition("=") for field in fields) if key}
