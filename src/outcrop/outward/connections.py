"""Connections to addresses that accounts choose: never to link-local ones, where machines of clouds
keep their credentials, whatever name leads there.
"""

import asyncio
import errno
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from outcrop.outward.addresses import is_refused_host

_looking_up: Final = ThreadPoolExecutor(8, "outcrop-names")
"""Name servers may be slow: nothing else waits for these threads."""


class _Resolver(AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """What aiohttp connects to is what was looked at here, and nothing that comes later."""
        loop = asyncio.get_running_loop()
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await loop.run_in_executor(_looking_up, look_up)
        addresses = [str(socket_address[0]) for *_, socket_address in found]
        if any(map(is_refused_host, addresses)):
            raise PermissionError(errno.EACCES, f"{host} has a link-local address")
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=each[0], proto=each[2], flags=flags
            )
            for each, address in zip(found, addresses, strict=True)
        ]

    async def close(self) -> None:
        """There is nothing to close."""


def connector(tls: ssl.SSLContext | None = None) -> aiohttp.TCPConnector:
    """Of addresses in figures no resolver is asked: whoever connects looks at them before."""
    return aiohttp.TCPConnector(
        resolver=_Resolver(), ssl=tls if tls is not None else True, family=socket.AF_UNSPEC
    )
