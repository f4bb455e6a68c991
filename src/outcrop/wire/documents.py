"""The documents that ship inside botocore, read straight from its folder.

botocore's own loader would import its HTTP client first, and let a folder of the user's home
change what the services are.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import botocore
import msgspec

_DATA = Path(botocore.__file__).parent / "data"


class UnknownDocument(Exception):
    """No such document ships with botocore."""


class Parts:
    """The members of a large object, each read when it is asked for: most of a service's shapes
    never are. Without the documentation, which is most of their size."""

    def __init__(self, raw: dict[str, msgspec.Raw]) -> None:
        self._raw = raw
        self._read: dict[str, dict[str, Any]] = {}

    def __getitem__(self, name: str) -> dict[str, Any]:
        part = self._read.get(name)
        if part is None:
            part = self._read[name] = msgspec.json.decode(self._raw[name])
            _drop_documentation(part)
        return part

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw.keys() | self._read.keys())

    def mentioning(self, key: str) -> Iterator[str]:
        """The names of the parts that may have a member ``key`` somewhere."""
        sought = f'"{key}"'.encode()
        yield from (name for name, raw in self._raw.items() if sought in bytes(raw))
        yield from self._read.keys() - self._raw.keys()

    def merge(self, change: dict[str, Any]) -> None:
        for name, value in change.items():
            if value is None:
                self._raw.pop(name, None)
            elif name not in self._raw:
                self._read[name] = value
            else:
                merge(self[name], value)


class Model(msgspec.Struct):
    """A ``service-2`` document with our changes merged in."""

    metadata: dict[str, Any]
    operations: Parts
    shapes: Parts

    def merge(self, change: dict[str, Any]) -> None:
        merge(self.metadata, change.get("metadata", {}))
        self.operations.merge(change.get("operations", {}))
        self.shapes.merge(change.get("shapes", {}))


class _Sections(msgspec.Struct):
    metadata: dict[str, Any]
    operations: dict[str, msgspec.Raw]
    shapes: dict[str, msgspec.Raw]


def load_model(service: str) -> Model:
    file = _find(service, "service-2")
    sections = msgspec.json.decode(_bytes(file), type=_Sections)
    model = Model(sections.metadata, Parts(sections.operations), Parts(sections.shapes))
    for extras in _extras(file, "service-2"):
        model.merge(_read(extras)["merge"])
    return model


def load_document(service: str, kind: str) -> dict[str, Any]:
    """``kind`` is ``service-2`` or ``paginators-1``; of several API versions the latest counts."""
    file = _find(service, kind)
    document = _read(file)
    for extras in _extras(file, kind):
        merge(document, _read(extras)["merge"])
    return document


def load_partitions() -> dict[str, Any]:
    """The partitions of AWS and their regions."""
    return _read(next(_DATA.glob("partitions.json*")))


def merge(target: dict[str, Any], change: dict[str, Any]) -> None:
    """Members of ``change`` replace those of ``target``, objects member by member; null deletes."""
    for key, value in change.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], cast(dict[str, Any], value))
        else:
            target[key] = value


def _find(service: str, kind: str) -> Path:
    versions = sorted((_DATA / service).glob(f"*/{kind}.json*"), reverse=True)
    if not versions:
        raise UnknownDocument(f"{service}/{kind}")
    return versions[0]


def _extras(file: Path, kind: str) -> Iterator[Path]:
    return file.parent.glob(f"{kind}.*-extras.json")


def _read(file: Path) -> dict[str, Any]:
    return msgspec.json.decode(_bytes(file))


def _bytes(file: Path) -> bytes:
    raw = file.read_bytes()
    return gzip.decompress(raw) if file.suffix == ".gz" else raw


def _drop_documentation(node: object) -> None:
    if isinstance(node, dict):
        values = cast(dict[str, object], node)
        # A member may itself be called "documentation"; only the texts go.
        if isinstance(values.get("documentation"), str):
            del values["documentation"]
        for value in values.values():
            _drop_documentation(value)
    elif isinstance(node, list):
        for value in cast(list[object], node):
            _drop_documentation(value)
