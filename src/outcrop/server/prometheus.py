"""``/metrics`` for Prometheus: Bedrock's metrics since this process began, and how it is doing.

What was answered before is counted in it. Who may read it: with ``metrics_token_env`` whoever has
the token, else this machine alone, since the numbers tell of every account.
"""

import asyncio
import hmac
import os
from collections.abc import Mapping
from importlib import import_module
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from outcrop.config import Telemetry
from outcrop.stores.failures import StoreError
from outcrop.stores.tables import jobs
from outcrop.wire.http import Request, Response

if TYPE_CHECKING:
    from outcrop.server.deployment import Deployment

_TEXT: Final = {"Content-Type": "text/plain; charset=utf-8"}
_OPENMETRICS: Final = "application/openmetrics-text"
_UNFINISHED: Final = ("waiting", "running", "failing")


async def render_metrics(deployment: "Deployment", request: Request) -> Response:
    refusal = refuse(deployment.config.telemetry, request, os.environ)
    if refusal is not None:
        return refusal
    return await _render(deployment, request)


def refuse(
    telemetry: Telemetry, request: Request, environment: Mapping[str, str]
) -> Response | None:
    """None where the client may read the metrics."""
    if request.method not in ("GET", "HEAD"):
        return Response(405, {**_TEXT, "Allow": "GET, HEAD"}, b"Metrics are read by GET.\n")
    variable = telemetry.metrics_token_env
    if variable is None:
        return None if _is_here(request) else _forbidden(_NOT_HERE)
    token = environment.get(variable, "")
    if not token:
        return _forbidden(f"The variable {variable} ([telemetry] metrics_token_env) is not set.")
    given = (request.header("authorization") or "").encode("utf-8", "surrogateescape")
    if hmac.compare_digest(given, f"Bearer {token}".encode("utf-8", "surrogateescape")):
        return None
    return _forbidden(f"/metrics wants the value of {variable} as a bearer token.")


_NOT_HERE: Final = (
    "Metrics are for this machine alone. To read them from another one, name in [telemetry] "
    "metrics_token_env a variable that holds a token, and send that as a bearer token."
)


async def _render(deployment: "Deployment", request: Request) -> Response:
    records = deployment.records
    try:
        await records.consumer.catch_up()
        waiting = await _count_jobs(deployment)
        backlog_bytes = await records.consumer.count_backlog_bytes()
    except (StoreError, SQLAlchemyError, OSError) as error:
        # Numbers that are not whole are none.
        return Response(503, dict(_TEXT), f"The metrics cannot be read: {error}\n".encode())
    # Imports take a while, and most gateways are never asked.
    families = await asyncio.to_thread(import_module, "outcrop.server.metric_families")
    state = families.State(
        in_flight=deployment.recorder.in_flight,
        journal_backlog_bytes=backlog_bytes,
        jobs_waiting=waiting,
        engines=tuple(deployment.engines.status()),
    )
    counted = families.Counted.of(records.totals)
    wants_open = _OPENMETRICS in (request.header("accept") or "")
    body, content_type = await asyncio.to_thread(
        families.render, counted, state, openmetrics=wants_open
    )
    headers = {"Content-Type": content_type}
    return Response(200, headers, b"" if request.method == "HEAD" else body)


async def _count_jobs(deployment: "Deployment") -> dict[str, int]:
    query = (
        sa.select(jobs.c.kind, sa.func.count())
        .where(jobs.c.state.in_(_UNFINISHED))
        .group_by(jobs.c.kind)
    )
    async with deployment.state.stores.resources.reading() as view:
        return {row[0]: int(row[1]) for row in await view.connection.execute(query)}


_FORWARDED: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


def _is_here(request: Request) -> bool:
    """What comes through a private endpoint comes from its network, and what a proxy on this
    machine passes on comes from anywhere."""
    if request.endpoint is not None or any(map(request.header, _FORWARDED)):
        return False
    try:
        return ip_address(request.client).is_loopback
    except ValueError:
        return False


def _forbidden(message: str) -> Response:
    return Response(403, dict(_TEXT), f"{message}\n".encode())
