"""The adapter of an engine process: what requests say of it, and proof that it is there.

llama.cpp answers as the base where an adapter is missing or its number unknown, without a word.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import aiohttp
import msgspec

_WAIT_S = 30.0

SCALES: Final[Sequence[Mapping[str, int | float]]] = ({"id": 0, "scale": 1.0},)
"""The ``lora`` of every request to a process that has one."""


class AdapterMissing(Exception):
    """The process does not have exactly the one adapter it was given."""


class _Loaded(msgspec.Struct, frozen=True):
    id: int
    path: str


async def require_adapter(url: str, api_key: str, path: str) -> None:
    """Raises ``AdapterMissing`` unless the process at ``url`` loaded the file ``path``."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_WAIT_S)) as session,
            session.get(
                f"{url}/lora-adapters", headers={"authorization": f"Bearer {api_key}"}
            ) as response,
        ):
            loaded = msgspec.json.decode(await response.read(), type=list[_Loaded])
    except (TimeoutError, aiohttp.ClientError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AdapterMissing(f"it does not tell which adapters it has: {error}") from error
    if [(one.id, one.path) for one in loaded] != [(0, path)]:
        raise AdapterMissing(f"it has {len(loaded)} adapters, and not the one it was given")
