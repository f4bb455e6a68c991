"""The pages that the gateway serves to anyone, beside the operations of its services."""

from typing import Final

from outcrop.catalog.catalog import Catalog
from outcrop.catalog.terms import PATH as EULA, render_terms, slug_of
from outcrop.wire.http import Request, Response

_HEADERS: Final = {"Content-Type": "text/plain; charset=utf-8"}


def find_page(request: Request, catalog: Catalog) -> Response | None:
    """None where the path is no page's."""
    if not request.raw_path.startswith(EULA):
        return None
    slug = request.raw_path[len(EULA) :]
    provider = next(
        (each.provider for each in catalog.all() if slug_of(each.provider) == slug), None
    )
    if provider is None or request.method not in ("GET", "HEAD"):
        return Response(404, dict(_HEADERS), b"There is no such page.\n")
    body = render_terms(provider).encode() if request.method == "GET" else b""
    return Response(200, dict(_HEADERS), body)
