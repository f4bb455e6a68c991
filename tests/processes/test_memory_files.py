"""Files in memory: whole for whoever has the descriptor, and nowhere else."""

import asyncio
import os
import sys

import pytest

from outcrop.processes.memory_files import NoMemoryFiles, memory_file, path_in_process
from outcrop.processes.supervisor import Command, NotStarted, ProcessFailed, Supervisor

SECRET = b"weights" * 1_000_000


async def test_a_memory_file_is_read_from_its_beginning_and_has_no_name() -> None:
    file = await memory_file("adapter", SECRET)
    assert os.readlink(path_in_process(file)) == "/memfd:adapter (deleted)"
    with os.fdopen(file, "rb") as opened:
        assert opened.read() == SECRET


async def test_one_that_is_given_up_is_closed() -> None:
    before = len(os.listdir("/proc/self/fd"))
    writing = asyncio.create_task(memory_file("adapter", SECRET))
    # It gives way after its first piece.
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_system_without_them_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(NoMemoryFiles, match="memfd"):
        await memory_file("adapter", SECRET)


def is_open(descriptor: int) -> bool:
    return os.path.exists(path_in_process(descriptor))


class _Reading:
    """Starts a process that reads a memory file it inherits, and tells its length."""

    def __init__(self, program: str = sys.executable) -> None:
        self.program = program
        self.file = -1

    async def prepare(self) -> Command:
        self.file = await memory_file("adapter", SECRET)
        code = f"print(len(open({path_in_process(self.file)!r}, 'rb').read()), flush=True); input()"
        return Command((self.program, "-c", code), os.environ, (self.file,))

    async def greet(self, process: asyncio.subprocess.Process) -> int:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line.strip().isdigit():
            raise NotStarted("it could not read")
        return int(line)


async def test_a_process_inherits_it_and_the_parent_has_it_no_more() -> None:
    reading = _Reading()
    supervisor = Supervisor("reader", reading, 30.0)
    try:
        assert await supervisor.endpoint() == len(SECRET)
        assert not is_open(reading.file)
    finally:
        await supervisor.stop()


async def test_it_is_closed_where_the_process_cannot_be_started() -> None:
    reading = _Reading("/no/such/program")
    supervisor = Supervisor("reader", reading, 30.0)
    with pytest.raises((ProcessFailed, OSError)):
        await supervisor.endpoint()
    assert not is_open(reading.file)
