"""The checksums that a request may promise for its body, by the name S3 gives them.

All take a body piece by piece. zlib's CRC-32 and anycrc's others run at gigabytes a second.
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import anycrc


class Checksum(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    def __init__(self, extend: Callable[[bytes, int], int], size_bytes: int) -> None:
        self._extend = extend
        self._size_bytes = size_bytes
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._extend(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size_bytes, "big")


# anycrc has no stubs; its values are typed here, where they enter.
_make_crc = cast(Any, anycrc).Model
_CRC32C = cast(Callable[[bytes, int], int], _make_crc("CRC32C").calc)
_CRC64NVME = cast(Callable[[bytes, int], int], _make_crc("CRC64-NVME").calc)

CHECKSUMS: Mapping[str, Callable[[], Checksum]] = {
    "crc32": lambda: _Crc(zlib.crc32, 4),
    "crc32c": lambda: _Crc(_CRC32C, 4),
    "crc64nvme": lambda: _Crc(_CRC64NVME, 8),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
}

UNSUPPORTED = frozenset({"xxhash3", "xxhash64", "xxhash128"})
"""S3 knows these too; a promise made with one is refused, because nobody here could check it."""
