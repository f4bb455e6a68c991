"""A process that is stopped while others wait for it, and by somebody who gives up meanwhile."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from outcrop.processes.supervisor import Command, ProcessNotReady, Supervisor

_CODE = "import sys; print('ready', flush=True); sys.stdin.read()"


class _Held:
    """Starts a process that is ready once ``ready`` is set."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.greeting = asyncio.Event()
        self.pids: list[int] = []

    async def prepare(self) -> Command:
        return Command((sys.executable, "-c", _CODE), os.environ)

    async def greet(self, process: asyncio.subprocess.Process) -> int:
        assert process.stdout is not None
        await process.stdout.readline()
        self.pids.append(process.pid)
        self.greeting.set()
        await self.ready.wait()
        return process.pid


def runs(pid: int) -> bool:
    """Not once it has ended, whether or not someone has read its status yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_who_waits_for_a_start_that_is_ended_is_told_and_not_cancelled() -> None:
    held = _Held()
    supervisor = Supervisor("held", held, 30.0)
    waiting = asyncio.create_task(supervisor.endpoint())
    await held.greeting.wait()
    await supervisor.stop()
    with pytest.raises(ProcessNotReady, match="held was ended before it was ready"):
        await waiting
    assert not runs(held.pids[0])


async def test_who_gives_up_waiting_is_cancelled_as_ever() -> None:
    held = _Held()
    supervisor = Supervisor("held", held, 30.0)
    waiting = asyncio.create_task(supervisor.endpoint())
    await held.greeting.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    held.ready.set()
    assert await supervisor.endpoint() == held.pids[0]
    await supervisor.stop()


async def test_who_asks_while_a_start_is_being_ended_gets_the_next_one() -> None:
    held = _Held()
    supervisor = Supervisor("held", held, 30.0)
    waiting = asyncio.create_task(supervisor.endpoint())
    await held.greeting.wait()
    stopping = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0)
    held.ready.set()
    pid = await supervisor.endpoint()
    await stopping
    assert [pid] == held.pids[1:]
    assert supervisor.pid == pid
    assert [runs(each) for each in held.pids] == [False, True]
    with pytest.raises(ProcessNotReady):
        await waiting
    await supervisor.stop()
    assert not runs(pid)


async def test_a_process_ends_also_where_who_stops_it_gives_up() -> None:
    held = _Held()
    held.ready.set()
    supervisor = Supervisor("held", held, 30.0)
    pid = await supervisor.endpoint()
    stopping = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await supervisor.stop()
    assert not runs(pid)
