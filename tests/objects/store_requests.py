"""Requests to an object store, and what is seen of its process from outside."""

from collections.abc import AsyncIterator
from pathlib import Path

from outcrop.objects.protocol import ObjectStore, StoreAnswer, StoreRequest


class PlainSealer:
    """Seals nothing: what these tests keep at rest is looked at by nobody."""

    def seal(self, secret: bytes, context: bytes) -> bytes:
        return context + secret

    def open(self, envelope: bytes, context: bytes) -> bytes:
        return envelope.removeprefix(context)


async def send(store: ObjectStore, request: StoreRequest) -> tuple[StoreAnswer, bytes]:
    """The answer and its whole body."""
    answer = await store.send(request)
    return answer, b"".join([piece async for piece in answer.body])


async def put(
    store: ObjectStore,
    path: str,
    body: bytes | AsyncIterator[bytes] = b"",
    length: int | None = None,
) -> StoreAnswer:
    return (await send(store, StoreRequest("PUT", path, body=body, length=length)))[0]


async def get(store: ObjectStore, path: str) -> bytes:
    answer, body = await send(store, StoreRequest("GET", path))
    assert answer.status == 200, body
    return body


def child_of(pid: int) -> int:
    """The only child of a process."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return int(child)


def arguments(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")


def option(pid: int, name: str) -> str:
    """The value of ``-name=value`` on a process's command line."""
    return next(one.partition("=")[2] for one in arguments(pid) if one.partition("=")[0] == name)


def runs(pid: int) -> bool:
    """Not once it has ended, whether or not someone has read its status yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def exists(path: str) -> bool:
    return Path(path).exists()


def is_private(path: str) -> bool:
    """Nobody but its owner can read, write or enter it."""
    return Path(path).stat().st_mode & 0o077 == 0


def listening(pid: int) -> dict[int, str]:
    """The TCP ports that a process listens on and their addresses, as the kernel has them."""
    inodes = {link.removeprefix("socket:[").removesuffix("]") for link in _links(pid)}
    found: dict[int, str] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                found[int(port, 16)] = address
    return found


def unix_sockets(pid: int) -> set[str]:
    """The Unix sockets that a process listens on."""
    inodes = {link.removeprefix("socket:[").removesuffix("]") for link in _links(pid)}
    lines = Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:]
    fields = [line.split() for line in lines]
    # Flag 0x10000 marks a socket that listens.
    return {one[7] for one in fields if len(one) > 7 and one[6] in inodes and one[3] == "00010000"}


def _links(pid: int) -> list[str]:
    found: list[str] = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(descriptor.readlink()))
        except FileNotFoundError:
            # Closed meanwhile.
            continue
    return [link for link in found if link.startswith("socket:[")]
