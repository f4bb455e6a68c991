"""Who runs a command, for the record of what operators do."""

import getpass
import os


def operator_name() -> str:
    """The user's name; the number where it has none, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
