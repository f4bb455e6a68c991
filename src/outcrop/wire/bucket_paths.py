"""The operations of an object store: a bucket, a key that is any text, and a query that decides.

A key is taken as it stands, slashes, dots and empty segments too: ``/b//a/../c`` is key
``/a/../c`` of ``b``. Of operations with one path, the literals of the query decide (``?uploads``),
then the query fields and headers that an operation requires (``uploadId``, ``x-amz-copy-source``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from outcrop.errors import ServiceError
from outcrop.wire.http import Request
from outcrop.wire.paths import (
    MAX_PATH_CHARS,
    Match,
    check_query,
    decode_label,
    unknown_operation,
)
from outcrop.wire.spec import Operation, Service

_Level = Literal["service", "bucket", "object"]
_LEVELS: dict[str, _Level] = {"/": "service", "/{Bucket}": "bucket", "/{Bucket}/{Key+}": "object"}


@dataclass(frozen=True, slots=True)
class _Route:
    operation: Operation
    literals: frozenset[str]
    query: frozenset[str]
    headers: frozenset[str]


class BucketTable:
    """One service's routes, by method and by what they are about."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._routes: dict[tuple[str, _Level], list[_Route]] = {}
        self._subresources: dict[_Level, set[str]] = {name: set() for name in _LEVELS.values()}
        for operation in service.operations.values():
            path, _, query = operation.uri.partition("?")
            # The few other paths are calls to hosts of their own.
            if path in _LEVELS and not operation.raw.get("deprecated"):
                self._add(operation, _LEVELS[path], frozenset(query.split("&")) - {""})

    def match(self, request: Request, bucket: str | None) -> Match:
        """``bucket`` is the one that the host names."""
        check_query(request.raw_query)
        labels = _labels(request.raw_path, bucket)
        level: _Level = "object" if "Key" in labels else "bucket" if labels else "service"
        sent = _sent(request.raw_query)
        fitting = [
            route
            for route in self._routes.get((request.method, level), ())
            if route.literals <= sent
        ]
        asked = sent & self._subresources[level]
        headers = {name for name, _ in request.headers}
        route = _best(fitting, sent, headers)
        # What is asked of a part must not happen to the whole, as DELETE of a part that has none.
        if route is None or (asked and not route.literals & asked):
            raise unknown_operation()
        return Match(route.operation, labels, self._service.protocol)

    def _add(self, operation: Operation, level: _Level, literals: frozenset[str]) -> None:
        shape, layout = operation.input, operation.input_layout
        required = shape.required if shape else ()
        route = _Route(
            operation,
            literals,
            frozenset(m.wire_name for m in layout.query if m.name in required),
            frozenset(name for name, m in layout.headers_by_lower_name if m.name in required),
        )
        self._routes.setdefault((operation.method, level), []).append(route)
        self._subresources[level] |= {one for one in literals if "=" not in one}


def _best(routes: Sequence[_Route], sent: frozenset[str], headers: set[str]) -> _Route | None:
    def rank(route: _Route) -> tuple[int, int, int]:
        there = len(route.query & sent) + len(route.headers & headers)
        absent = len(route.query) + len(route.headers) - there
        return len(route.literals), there, -absent

    return max(routes, key=rank, default=None)


def _labels(raw_path: str, bucket: str | None) -> dict[str, str]:
    if not raw_path.startswith("/") or len(raw_path) > MAX_PATH_CHARS:
        raise _invalid_uri()
    rest = raw_path[1:]
    if bucket is None:
        name, _, rest = rest.partition("/")
        bucket = decode_label(name)
        if bucket is None or (rest and not bucket):
            raise _invalid_uri()
        if not bucket:
            return {}
    if not rest:
        return {"Bucket": bucket}
    key = decode_label(rest)
    if key is None:
        raise _invalid_uri()
    return {"Bucket": bucket, "Key": key}


def _sent(raw_query: str) -> frozenset[str]:
    """Both the names and the whole fields: a literal may ask for its value."""
    fields = [field for field in raw_query.split("&") if field]
    return frozenset(fields) | {field.partition("=")[0] for field in fields}


def _invalid_uri() -> ServiceError:
    return ServiceError("InvalidURI", "Couldn't parse the specified URI.")
