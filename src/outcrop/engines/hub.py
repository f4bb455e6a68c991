"""Files from the Hugging Face hub. Imported only to download: its HTTP client is large."""

import asyncio
from http import HTTPStatus
from pathlib import Path

import aiohttp

from outcrop.engines.downloads import HUB_URL, Hub, OnBytes, SourceFailed, size_of

_CHUNK_BYTES = 2**20
_CONNECT_S = 5.0
_SILENCE_S = 60.0


async def download_hub(
    hub: Hub, partial: Path, size_bytes: int, on_bytes: OnBytes, url: str = HUB_URL
) -> None:
    """Goes on where an earlier download was cut off."""
    address = f"{url}/{hub.repository}/resolve/{hub.revision}/{hub.path}"
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    have = size_of(partial)
    if have >= size_bytes:
        have = 0
    headers = {"range": f"bytes={have}-"} if have else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(address, headers=headers) as response,
        ):
            if response.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise SourceFailed(f"{address} answered {response.status}")
            if response.status == HTTPStatus.OK:
                have = 0
            await _save(response, partial, have, size_bytes, on_bytes)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SourceFailed(f"{address}: {str(error) or 'no answer in time'}") from error


async def _save(
    response: aiohttp.ClientResponse, partial: Path, have: int, size_bytes: int, on_bytes: OnBytes
) -> None:
    with await asyncio.to_thread(partial.open, "ab" if have else "wb") as file:
        on_bytes(have)
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            have += len(chunk)
            if have > size_bytes:
                raise SourceFailed(f"{response.url} is larger than {size_bytes} bytes")
            await asyncio.to_thread(file.write, chunk)
            on_bytes(have)
    if have < size_bytes:
        raise SourceFailed(f"{response.url} ended after {have} of {size_bytes} bytes")
