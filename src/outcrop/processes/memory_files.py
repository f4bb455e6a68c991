"""Files that lie in memory alone and have no name: how a secret is given to a process of ours.

Whoever has the descriptor closes it; the last one closed is the end of the file.
"""

import asyncio
import os

_PIECE_BYTES = 4 * 2**20


class NoMemoryFiles(Exception):
    """This system has none."""


async def memory_file(name: str, data: bytes) -> int:
    """A descriptor, at the file's beginning. ``name`` is for those who look at the process."""
    if not hasattr(os, "memfd_create"):
        raise NoMemoryFiles("this system has no files in memory (memfd), as Linux has")
    descriptor = os.memfd_create(name)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view[:_PIECE_BYTES]) :]
            # Copying a large one takes a while, and requests go on meanwhile.
            await asyncio.sleep(0)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def path_in_process(descriptor: int) -> str:
    """The path by which a process that has the descriptor opens the file."""
    return f"/proc/self/fd/{descriptor}"
