"""The canonical request of Signature Version 4, built from a request exactly as it was sent.

Clients differ in how they canonicalise paths and queries, so there can be more than one reading.
"""

from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import quote, unquote

from outcrop.wire.http import Request

_UNRESERVED = "-_.~"
_REMEMBERED_CHARACTERS = 512
PRESIGNED = frozenset({"X-Amz-Signature"})
"""What a presigned URL's own signature cannot cover."""

_TOKEN = frozenset({"X-Amz-Security-Token"})


def canonical_resources(
    request: Request, *, encode_twice: bool, unsigned: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """The readings of path and query that AWS accepts, likeliest first; ``unsigned`` names query
    parameters that were added after signing, ``PRESIGNED`` among them where the query signs."""
    raw_path = request.raw_path or "/"
    read_paths = _paths_remembered if len(raw_path) <= _REMEMBERED_CHARACTERS else _paths
    paths = read_paths(raw_path, encode_twice)
    for query in _queries(request.raw_query, unsigned):
        for path in paths:
            yield path, query


def canonical_headers(request: Request, names: tuple[str, ...]) -> str:
    """One line a name, values trimmed and folded, repeated ones joined by comma."""
    values: dict[str, str] = {}
    for name, value in request.headers:
        if name not in names and name != "host":
            continue
        folded = " ".join(value.split())
        values[name] = f"{values[name]},{folded}" if name in values else folded
    if "host" not in values:
        values["host"] = request.host
    # HTTP/2 clients may sign the host under the name it has there.
    values[":authority"] = values["host"]
    return "".join([f"{name}:{values.get(name, '')}\n" for name in names])


def query_pairs(raw_query: str) -> list[tuple[str, str]]:
    """Decoded names and values in the order sent; a plus sign stays one."""
    return [
        (unquote(name, errors="surrogateescape"), unquote(value, errors="surrogateescape"))
        for name, value in _split(raw_query)
    ]


def _paths(raw: str, encode_twice: bool) -> tuple[str, ...]:
    if not encode_twice:
        encoded = quote(raw, safe="/~%", errors="surrogateescape")
        return (encoded,) if encoded == raw else (encoded, raw)
    normal = _normalise(raw)
    once = quote(normal, safe="/~", errors="surrogateescape")
    # The published vectors hold clients that sign dot segments and doubled slashes as sent.
    return (once,) if normal == raw else (once, quote(raw, safe="/~", errors="surrogateescape"))


_paths_remembered = lru_cache(maxsize=1024)(_paths)


def _normalise(path: str) -> str:
    """Dot segments resolved and empty segments dropped, as botocore's SigV4Auth does."""
    if "//" not in path and "/." not in path:
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment and segment != ".":
            kept.append(segment)
    trailing = "/" if path.endswith("/") and kept else ""
    return "/" + "/".join(kept) + trailing


def _queries(raw: str, unsigned: frozenset[str]) -> list[str]:
    if not raw:
        return [""]
    readings = [_encoded(raw, unsigned), _as_sent(raw, unsigned)]
    if unsigned >= PRESIGNED and "X-Amz-Security-Token" in raw:
        # Some clients append the token after signing (vector post-sts-header-after); it is
        # compared with the key's own token in any case.
        readings += [_encoded(raw, unsigned | _TOKEN), _as_sent(raw, unsigned | _TOKEN)]
    return list(dict.fromkeys(readings))


def _encoded(raw: str, left_out: frozenset[str]) -> str:
    pairs = sorted(
        (_encode(name), _encode(value)) for name, value in query_pairs(raw) if name not in left_out
    )
    return "&".join([f"{name}={value}" for name, value in pairs])


def _as_sent(raw: str, left_out: frozenset[str]) -> str:
    """botocore signs the query of a URL without encoding it anew."""
    pairs = sorted((name, value) for name, value in _split(raw) if name not in left_out)
    return "&".join([f"{name}={value}" for name, value in pairs])


def _encode(text: str) -> str:
    return quote(text, safe=_UNRESERVED, errors="surrogateescape")


def _split(raw: str) -> list[tuple[str, str]]:
    if not raw:
        return []
    return [(name, value) for name, _, value in (pair.partition("=") for pair in raw.split("&"))]
