"""The documents that ship inside botocore, read straight from its folder.

botocore's own loader would import its HTTP client first, and let a folder of the user's home
change what the services are.
"""

import gzip
from pathlib import Path
from typing import Any, cast

import botocore
import msgspec

_DATA = Path(botocore.__file__).parent / "data"


class UnknownDocument(Exception):
    """No such document ships with botocore."""


def load_document(service: str, kind: str) -> dict[str, Any]:
    """``kind`` is ``service-2`` or ``paginators-1``; of several API versions the latest counts."""
    versions = sorted((_DATA / service).glob(f"*/{kind}.json*"), reverse=True)
    if not versions:
        raise UnknownDocument(f"{service}/{kind}")
    document = _read(versions[0])
    for extras in versions[0].parent.glob(f"{kind}.*-extras.json"):
        merge(document, _read(extras)["merge"])
    return document


def merge(target: dict[str, Any], change: dict[str, Any]) -> None:
    """Members of ``change`` replace those of ``target``, objects member by member; null deletes."""
    for key, value in change.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], cast(dict[str, Any], value))
        else:
            target[key] = value


def _read(file: Path) -> dict[str, Any]:
    raw = file.read_bytes()
    return msgspec.json.decode(gzip.decompress(raw) if file.suffix == ".gz" else raw)
