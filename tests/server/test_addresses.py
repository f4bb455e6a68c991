"""The gateway listens on addresses and names, and says a URL that works."""

import asyncio
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from serving import preset, served
from signed_http import Ask, send

from outcrop.config import Server
from outcrop.server.address import CannotListen, resolve
from outcrop.server.status import find


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", str(IPv4Address(0))])
async def test_a_gateway_is_reached_by_the_url_it_says(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset(monkeypatch)
    async with served(tmp_path, Server(host=host, port=0, plain_http=True)) as gateway:
        reply = await asyncio.to_thread(send, gateway.url, Ask("GET", "/foundation-models"))
        assert reply.status == 200
        found = find(tmp_path / "data")
        assert found is not None
        assert found.url == gateway.url


@pytest.mark.parametrize("host", ["not a host", "nobody.invalid", "x" * 300, ""])
async def test_a_host_that_is_none_is_told(host: str) -> None:
    with pytest.raises(CannotListen, match="is not known here"):
        await resolve(host)
