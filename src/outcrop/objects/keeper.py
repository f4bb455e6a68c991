"""The process between the gateway and SeaweedFS: ends it for certain, and cleans up after it.

Run as ``python -m outcrop.objects.keeper``. Line one of stdin is its ``Keeping``; when stdin ends,
which it does with the gateway however that ends, SeaweedFS ends too, by SIGTERM or soon by SIGKILL.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import msgspec

from outcrop.objects.keeping import Keeping, clean_up
from outcrop.processes.parent import at_end_of_stdin, die_with

_LOCK_POLL_S = 0.05


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keeping = msgspec.json.decode(sys.stdin.buffer.readline(), type=Keeping)
    try:
        status = _keep(keeping)
    finally:
        clean_up(keeping)
    sys.exit(status)


def _keep(keeping: Keeping) -> int:
    lock = os.open(keeping.lock, os.O_RDWR | os.O_CREAT, 0o600)
    if not _locked(lock, keeping.lock_wait_s):
        os.write(2, f"another process still uses {keeping.lock}\n".encode())
        return 1
    me = os.getpid()
    # The command is built by seaweed.py alone; no word of it comes from a request.
    store = subprocess.Popen(  # noqa: S603
        keeping.command,
        stdin=subprocess.DEVNULL,
        stdout=2,
        env=keeping.environment,
        cwd=keeping.folder,
        umask=0o077,
        # The lock is the store's too: it ends when the last of both has.
        pass_fds=(lock,),
        preexec_fn=lambda: die_with(me),
    )
    at_end_of_stdin(lambda: _end(store, keeping.grace_s))
    status = store.wait()
    return status if status >= 0 else 128 - status


def _locked(lock: int, wait_s: float) -> bool:
    """The store of a gateway that was killed may still be ending."""
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_LOCK_POLL_S)
    return False


def _end(store: subprocess.Popen[bytes], grace_s: float) -> None:
    store.terminate()
    try:
        store.wait(grace_s)
    except subprocess.TimeoutExpired:
        store.kill()


if __name__ == "__main__":
    main()
