"""By which URL others reach this server: for the links in what it sends."""

import asyncio

from outcrop.config import Config
from outcrop.server import status
from outcrop.server.address import endpoint_url


async def find_public_url(config: Config) -> str | None:
    """The configured one, else the address it listens on; with a port that the system chose, None
    until it does."""
    server = config.server
    if server.public_url is not None:
        return server.public_url
    if server.port:
        return endpoint_url(server, server.port)
    found = await asyncio.to_thread(status.find, config.data_dir)
    return found.url if found else None
