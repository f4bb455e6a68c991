"""What an engine that reads nothing but text can read of a conversation.

Documents of text stand in front of the text they came with. Earlier thoughts are left out, as the
providers leave them out: a model thinks anew for every answer, and only its own family's engine
could check their signatures. Whatever cannot be read as text raises ``Unreadable``.
"""

import codecs
import html
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from outcrop.generation import (
    CachePoint,
    Document,
    Generation,
    Image,
    Media,
    Part,
    Reasoning,
    S3Location,
    Text,
    ToolResult,
    ToolUse,
    Turn,
    Video,
)
from outcrop.prompting.errors import Unreadable
from outcrop.prompting.markup import markup_text

TEXT_FORMATS = frozenset({"txt", "md", "csv", "html", "xml", "json"})

_CLOSE = "</document"
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

PlainPart = Text | ToolUse | ToolResult | CachePoint


def as_text(generation: Generation) -> Generation:
    """``generation`` with ``PlainPart`` as its only parts; results of tools hold no media."""
    return replace(generation, turns=tuple(_turn(turn) for turn in generation.turns))


def has_documents(generation: Generation) -> bool:
    """Reading them can take a while: longer than an event loop should wait."""
    parts = [part for turn in generation.turns for part in turn.parts]
    attached = [one for part in parts if isinstance(part, ToolResult) for one in part.media]
    return any(isinstance(part, Document) for part in (*parts, *attached))


def document_text(document: Document) -> str:
    """The document as a model reads it, between delimiters that name it."""
    if document.citations:
        raise Unreadable("citations", "enabled")
    if document.format not in TEXT_FORMATS:
        raise Unreadable("document", document.format)
    text = _decode(document)
    if document.format == "html":
        text = markup_text(text)
    # A document cannot end itself and speak as the caller.
    text = text.replace(_CLOSE, "<\\/document").strip()
    context = f' context="{html.escape(document.context)}"' if document.context else ""
    return f'<document name="{html.escape(document.name)}"{context}>\n{text}\n</document>'


def plain_parts(parts: Sequence[Part]) -> Iterator[PlainPart]:
    """Documents move to the front, but never across a cache point: what was cached stays as it
    was."""
    documents: list[Text] = []
    others: list[PlainPart] = []
    for part in parts:
        match part:
            case Text() | ToolUse():
                others.append(part)
            case ToolResult():
                others.append(_result(part))
            case Image() | Document() | Video():
                documents.append(Text(_media_text(part)))
            case CachePoint():
                yield from (*documents, *others, part)
                documents, others = [], []
            case Reasoning():
                pass
    yield from (*documents, *others)


def _turn(turn: Turn) -> Turn:
    return Turn(turn.role, tuple(plain_parts(turn.parts)))


def _result(result: ToolResult) -> ToolResult:
    if not result.media:
        return result
    texts = [result.text, *(_media_text(one) for one in result.media)]
    return replace(result, text="\n".join(filter(None, texts)), media=())


def _media_text(media: Media) -> str:
    match media:
        case Document():
            return document_text(media)
        case Image():
            raise Unreadable("image", media.format)
        case Video():
            raise Unreadable("video", media.format)


def _decode(document: Document) -> str:
    data = document.data
    if isinstance(data, S3Location):
        raise Unreadable("s3Location", data.uri)
    if isinstance(data, tuple):
        return "\n".join(data)
    encoding = "utf-16" if data.startswith(_UTF16_MARKS) else "utf-8"
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise Unreadable("document", f"{document.format} that is not {encoding}") from error
