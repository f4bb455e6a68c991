"""Router and signature see the same path: what a signature may leave out names no operation."""

from collections.abc import AsyncIterator

import pytest
from in_process import whole
from serving import opened, preset
from signed_http import Ask, Signer

from outcrop.server.app import App
from outcrop.wire.http import Request

HOST = "127.0.0.1:4510"
FORM = "application/x-www-form-urlencoded; charset=utf-8"


@pytest.fixture
async def app(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[App]:
    preset(monkeypatch)
    async with opened(tmp_path_factory.mktemp("opened")) as (app, _):
        yield app


@pytest.mark.parametrize(
    "path",
    [
        "/foundation-models/.",
        "/foundation-models/./",
        "/foundation-models/x/..",
        "/./foundation-models",
        "//foundation-models",
    ],
)
async def test_a_captured_signature_reaches_no_other_operation(path: str, app: App) -> None:
    """Signed for ListFoundationModels, whose path each of these becomes when it is normalised."""
    headers = tuple(Signer().headers(Ask("GET", "/foundation-models"), HOST).items())
    assert (
        await app.handle(Request("GET", "/foundation-models", "", headers, b"", HOST))
    ).status == 200
    answer = await app.handle(Request("GET", path, "", headers, b"", HOST))
    assert answer.status == 404
    assert answer.headers["x-amzn-ErrorType"].startswith("UnknownOperationException")


@pytest.mark.parametrize("path", ["//", "/.", "/./", "//.", "/x/..", "/x/../"])
@pytest.mark.parametrize(
    ("service", "header", "body"),
    [
        ("sts", ("content-type", FORM), b"Action=GetCallerIdentity&Version=2011-06-15"),
        ("kms", ("x-amz-target", "TrentService.ListKeys"), b"{}"),
    ],
)
async def test_a_service_without_paths_takes_the_one_that_is_signed(
    service: str, header: tuple[str, str], body: bytes, path: str, app: App
) -> None:
    ask = Ask("POST", "/", "", (header,), body)
    headers = tuple(Signer(service=service).headers(ask, HOST).items())
    assert (await app.handle(Request("POST", "/", "", headers, body, HOST))).status == 200
    answer = await app.handle(Request("POST", path, "", headers, body, HOST))
    assert answer.status in (400, 404)
    assert b"Arn" not in await whole(answer)
