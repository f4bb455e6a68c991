"""XML in and out, as little of it as AWS's protocols have: elements, attributes, text.

What comes in has no document type, hence no entities, and is bounded in depth and in elements.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

# Entities need a document type, which is refused before it is read: see _refuse.
from xml.parsers import expat

MAX_DEPTH = 64
MAX_ELEMENTS = 200_000
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

_SPECIAL = re.compile('[&<>"\r]')
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#xD;"}
# XML 1.0 has no way to write these; lone surrogates have no UTF-8 either.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class MalformedXml(Exception):
    """The bytes are not one XML document that is read here."""


@dataclass(slots=True)
class Element:
    """``name`` has no namespace; attributes keep their prefix as sent."""

    name: str
    attributes: Mapping[str, str]
    children: list["Element"] = field(default_factory=list["Element"])
    text: str = ""

    def named(self, name: str) -> list["Element"]:
        return [child for child in self.children if child.name == name]


def read(data: bytes) -> Element:
    """The root element."""
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    parser.StartDoctypeDeclHandler = _refuse
    parser.buffer_text = True
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, UnicodeError, ValueError, LookupError) as error:
        raise MalformedXml(str(error)) from error
    return builder.root


def escape(text: str) -> str:
    """For content and attributes. A character that XML cannot hold becomes U+FFFD."""
    if _UNWRITABLE.search(text):
        text = _UNWRITABLE.sub("\ufffd", text)
    return _SPECIAL.sub(_escaped, text) if _SPECIAL.search(text) else text


def write(name: str, content: Iterable[str], attributes: Mapping[str, str] | None = None) -> str:
    """One element; ``content`` is written already."""
    written = "".join(f' {key}="{escape(value)}"' for key, value in (attributes or {}).items())
    inner = "".join(content)
    # The closing tag's name has no prefix declared elsewhere: names come from the models alone.
    return f"<{name}{written}>{inner}</{name}>" if inner else f"<{name}{written}/>"


class _Builder:
    def __init__(self) -> None:
        self._open: list[Element] = [Element("", {})]
        self._count = 0

    @property
    def root(self) -> Element:
        return self._open[0].children[0]

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) > MAX_DEPTH or self._count > MAX_ELEMENTS:
            raise MalformedXml("too many elements, or too deep")
        element = Element(name.rpartition(":")[2], attributes)
        self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, name: str) -> None:
        self._open.pop()

    def characters(self, text: str) -> None:
        self._open[-1].text += text


def _refuse(*_: object) -> NoReturn:
    raise MalformedXml("a document type is not allowed")


def _escaped(match: re.Match[str]) -> str:
    return _ESCAPES[match[0]]
