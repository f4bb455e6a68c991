"""How a child process notices that its parent is gone, however the parent ended.

The parent keeps the child's stdin open; on Linux the kernel can be asked as well.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_STDIN = 0


def die_with(parent: int) -> None:
    """Ask the kernel for SIGKILL when ``parent`` dies; elsewhere than on Linux stdin must do.

    The thread that started this process counts as the parent: it must live on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the request reached the kernel.
        if os.getppid() != parent:
            os._exit(0)


def at_end_of_stdin(act: Callable[[], None]) -> None:
    """``act`` runs in a thread of its own, once the parent closes stdin or dies."""

    def wait() -> None:
        while os.read(_STDIN, 4096):
            pass
        act()

    threading.Thread(target=wait, daemon=True).start()
