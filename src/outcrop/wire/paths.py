"""From method, path and query to an operation of a REST service and its labels.

Paths are split before they are decoded, so ``%2F`` never separates, and a trailing slash counts.
Empty and dot segments are never resolved: a path with one names no operation.
A label that is an ARN may come with raw slashes; see ``_readings``. Labels are decoded once.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from outcrop.errors import SerializationException, UnknownOperationException
from outcrop.wire import patterns
from outcrop.wire.spec import Operation, Service

MAX_PATH_CHARS = 16_384
MAX_QUERY_FIELDS = 1_000
_LABEL = re.compile(r"\{([^{}+]+)(\+?)\}")
# Clients sign a path without these, so the same signature would fit several paths.
_NOT_CANONICAL = re.compile(r"/\.{0,2}/|/\.{1,2}$")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Match:
    """``labels`` are by their name in the template, percent-decoded exactly once. The same request
    line gives the same object again: nobody changes them. ``protocol`` is the one the request came
    in, for the answer and its errors too."""

    operation: Operation
    labels: Mapping[str, str]
    protocol: str


Services = frozenset[str] | None


def unknown_operation() -> UnknownOperationException:
    return UnknownOperationException("The requested operation is not recognized by the service.")


def check_query(raw_query: str) -> None:
    if raw_query.count("&") >= MAX_QUERY_FIELDS:
        # Reading tens of thousands would stop all other requests, before anybody is known.
        raise SerializationException(f"A query has at most {MAX_QUERY_FIELDS} fields.")


@dataclass(frozen=True, slots=True)
class _Route:
    operation: Operation
    labels: tuple[tuple[int, str], ...]
    query: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Mask:
    """The routes of one form: ``fixed`` are the places of its literals, by whose texts the routes
    are found at once."""

    fixed: tuple[int, ...]
    routes: dict[tuple[str, ...], list[_Route]]


class PathTable:
    """The templates of several services. Where they share a path, the service whose pattern fits
    the label wins (``/tags/{arn}`` goes by the ARN), else the first in the order given here."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._masks: dict[tuple[str, str | None, int], list[_Mask]] = {}
        for service in services:
            for operation in service.operations.values():
                self._add(operation)
        for masks in self._masks.values():
            # The more a template fixes, the earlier it is tried.
            masks.sort(key=lambda mask: -len(mask.fixed))
        self._longest = max((size for _, _, size in self._masks), default=0)

    def match(self, method: str, raw_path: str, raw_query: str, services: Services) -> Match:
        """``services`` are the ones that come into question, None for all."""
        check_query(raw_query)
        is_canonical = not _NOT_CANONICAL.search(raw_path, 0, MAX_PATH_CHARS)
        if len(raw_path) <= MAX_PATH_CHARS and raw_path.startswith("/") and is_canonical:
            for segments in _readings(raw_path[1:].split("/"), self._longest):
                found = self._match_segments(method, segments, raw_query, services)
                if found:
                    return found
        raise unknown_operation()

    def _add(self, operation: Operation) -> None:
        path, _, query = operation.uri.partition("?")
        segments = path.removeprefix("/").split("/")
        labels = [(i, match[1]) for i, s in enumerate(segments) if (match := _LABEL.fullmatch(s))]
        names = {index for index, _ in labels}
        fixed = tuple(index for index in range(len(segments)) if index not in names)
        first = None if 0 in names else segments[0]
        masks = self._masks.setdefault((operation.method, first, len(segments)), [])
        mask = next((mask for mask in masks if mask.fixed == fixed), None)
        if mask is None:
            mask = _Mask(fixed, {})
            masks.append(mask)
        routes = mask.routes.setdefault(tuple(segments[index] for index in fixed), [])
        routes.append(_Route(operation, tuple(labels), frozenset(_pairs(query))))
        # Of equal paths, the one that asks most of the query is tried first.
        routes.sort(key=lambda route: -len(route.query))

    def _match_segments(
        self, method: str, segments: Sequence[str], raw_query: str, services: Services
    ) -> Match | None:
        for first in (segments[0], None):
            for mask in self._masks.get((method, first, len(segments)), ()):
                routes = mask.routes.get(tuple([segments[index] for index in mask.fixed]))
                found = _choose(routes, segments, raw_query, services) if routes else None
                if found:
                    return found
        return None


def _readings(segments: list[str], longest: int) -> Iterator[Sequence[str]]:
    """The ways to read a path whose label may be an ARN with raw slashes: at most one per segment
    of the longest template, so hostile paths cost no more than others."""
    start = next((i for i, s in enumerate(segments) if s[:3] == "arn" and _is_arn(s)), None)
    if start is None:
        yield segments
        return
    # An ARN whose resource is complete in its own segment was sent encoded.
    is_complete = "/" in (decode_label(segments[start]) or "")
    if is_complete:
        yield segments
    # Of the ways to end the ARN, the earliest that leaves a known path counts.
    first_end = max(start + 2, len(segments) - longest + start + 1)
    for end in range(first_end, len(segments) + 1):
        # No ARN ends in a slash; that one belongs to the template.
        if segments[end - 1]:
            folded = "%2F".join(segments[start:end])
            yield [*segments[:start], folded, *segments[end:]]
    if not is_complete:
        yield segments


def _is_arn(segment: str) -> bool:
    return segment[3:4] == ":" or segment[3:6].lower() == "%3a"


def _choose(
    routes: Iterable[_Route], segments: Sequence[str], raw_query: str, services: Services
) -> Match | None:
    fitting = [
        route
        for route in routes
        if (services is None or route.operation.service.name in services)
        and (not route.query or route.query.issubset(_pairs(raw_query)))
    ]
    labels = _labels(fitting[0], segments) if fitting else None
    if labels is None:
        return None
    most = len(fitting[0].query)
    equals = [route for route in fitting if len(route.query) == most]
    route = equals[0] if len(equals) == 1 else _by_label(equals, labels)
    return Match(route.operation, labels, route.operation.service.protocol)


def _labels(route: _Route, segments: Sequence[str]) -> dict[str, str] | None:
    labels: dict[str, str] = {}
    for index, name in route.labels:
        text = decode_label(segments[index])
        # An empty label would be a slash too many.
        if not text:
            return None
        labels[name] = text
    return labels


def _by_label(routes: Sequence[_Route], labels: Mapping[str, str]) -> _Route:
    for route in routes:
        if all(
            patterns.fits(member.shape.pattern, labels.get(member.wire_name, ""))
            for member in route.operation.input_layout.uri
            if member.shape.pattern is not None
        ):
            return route
    return routes[0]


def decode_label(text: str) -> str | None:
    if "%" not in text:
        return text if text.isascii() else None
    if _BAD_ESCAPE.search(text):
        return None
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        return None


def _pairs(query: str) -> set[tuple[str, str]]:
    fields = (field.partition("=") for field in query.split("&"))
    return {(key, value) for key, _, value in fields if key}
