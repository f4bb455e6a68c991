"""Where no subscription makes the server go, by figures or by name."""

import socket

import pytest

from outcrop.jobs.delivery import NotDelivered
from outcrop.topics.endpoints import Undeliverable, post


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"]
)
async def test_link_local_addresses_are_not_asked(host: str) -> None:
    with pytest.raises(Undeliverable, match="link-local"):
        await post(f"http://{host}/latest/meta-data", {}, b"")


async def test_nor_are_names_that_lead_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object) -> list[object]:
        place = ("169.254.169.254", 80)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(NotDelivered, match="link-local address"):
        await post("http://metadata.example/latest", {}, b"")
