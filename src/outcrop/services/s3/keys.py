"""Keys of objects as our own store keeps them: losslessly, and sorted as S3 sorts keys.

SeaweedFS keeps objects by path: it takes ``a\\b`` and ``a//b`` for ``a/b``, lists ``a/b`` before
``a!``, and has names of its own (``a.versions/``). So each key is one name of safe characters,
cut where it is full: what is below comes after what is beside (``+``, ``!``).
"""

import re
from collections.abc import Iterator
from typing import Final, Protocol

from outcrop.errors import ServiceError

MAX_KEY_BYTES = 1024
# A name is closed when it has so many bytes. What may follow stays within the 255 of a name:
# the rest of a character, the mark, and the store's ".versions".
_NAME_BYTES = 230
_END, _BELOW = "!", "+"
_LAST = "\U0010ffff"

# Every code begins with a character that sorts where its own does, and with none below ``"``.
_CODES: Final = {chr(n): f'"{n:02X}' for n in range(0x20)} | {
    " ": '"s',
    "!": '"t',
    '"': '"u',
    ".": ".d",
    "/": ".s",
    "[": "[b",
    "\\": "[s",
    "~": "~t",
    "\x7f": "~x",
    # XML cannot hold the two after it.
    "\ufffd": "\ufffda",
    "\ufffe": "\ufffdb",
    "\uffff": "\ufffdc",
}
_CHARACTERS: Final = {code: character for character, code in _CODES.items()}
_CODE: Final = re.compile('"[01][0-9A-F]|["~.\\[\ufffd].|.', re.DOTALL)


class Coding(Protocol):
    """Between the keys of clients and those of a store. Encoded, keys sort as they did."""

    def key(self, key: str) -> str:
        """Refuses what cannot be one."""
        ...

    def place(self, key: str) -> str: ...

    def decoded(self, stored: str) -> str: ...

    def prefix(self, prefix: str) -> str:
        """What the stored forms of all keys with that prefix begin with, and of no others."""
        ...

    def behind(self, prefix: str) -> str:
        """A place after all keys with that prefix, which is not empty, and before what follows.
        Keys that go on with Unicode's last character may come after it."""
        ...


class Named:
    """Of SeaweedFS."""

    def key(self, key: str) -> str:
        _check_length(key)
        stored = self.place(key)
        if len(stored.encode()) > MAX_KEY_BYTES:
            raise ServiceError(
                "NotImplemented",
                "The object store keeps no key of this length with so many of its characters "
                "written as two or three there: '.', '/', ' ' and control characters.",
                status=501,
            )
        return stored

    def place(self, key: str) -> str:
        """Of a key that need not be there: it may be longer than one that is."""
        return self.prefix(key) + _END

    def decoded(self, stored: str) -> str:
        names = stored.removesuffix(_END).split(f"{_BELOW}/")
        codes: list[str] = _CODE.findall("".join(names))
        return "".join(_CHARACTERS.get(code, code) for code in codes)

    def prefix(self, prefix: str) -> str:
        return f"{_BELOW}/".join(_names(prefix))

    def behind(self, prefix: str) -> str:
        return _next(self.prefix(prefix))


class Plain:
    """Of a store that is an S3 by itself."""

    def key(self, key: str) -> str:
        _check_length(key)
        return key

    def place(self, key: str) -> str:
        return key

    def decoded(self, stored: str) -> str:
        return stored

    def prefix(self, prefix: str) -> str:
        return prefix

    def behind(self, prefix: str) -> str:
        return prefix + _LAST


def _names(key: str) -> Iterator[str]:
    """Where a name is closed depends on nothing behind it, so a prefix is cut as its keys are."""
    name, size_bytes = "", 0
    for character in key:
        if size_bytes >= _NAME_BYTES:
            yield name
            name, size_bytes = "", 0
        code = _CODES.get(character, character)
        name += code
        size_bytes += len(code.encode())
    yield name


def _next(text: str) -> str:
    following = ord(text[-1]) + 1
    # No text has a surrogate.
    if following == 0xD800:
        following = 0xE000
    return text[:-1] + chr(following) if text[-1] != _LAST else text + _LAST


def _check_length(key: str) -> None:
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError as error:
        raise ServiceError("InvalidURI", "Couldn't parse the specified URI.", status=400) from error
    if size_bytes > MAX_KEY_BYTES:
        raise ServiceError(
            "KeyTooLongError",
            "Your key is too long",
            status=400,
            Size=str(size_bytes),
            MaxSizeAllowed=str(MAX_KEY_BYTES),
        )
