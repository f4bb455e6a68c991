"""What a text rests on, in Converse's words: sent with a conversation, read from an answer."""

from typing import Any

import msgspec

from outcrop.generation import Citation, Document, Generation, Span, Text

_LOCATIONS = {"char": "documentChar", "page": "documentPage", "piece": "documentChunk"}


class _Place(msgspec.Struct, rename="camel"):
    document_index: int | None = None
    start: int | None = None
    end: int | None = None


class _Location(msgspec.Struct, rename="camel"):
    """Of the five kinds, those that a request made here can lead to."""

    document_char: _Place | None = None
    document_page: _Place | None = None
    document_chunk: _Place | None = None


class _Source(msgspec.Struct):
    text: str = ""


class Told(msgspec.Struct, rename="camel"):
    """The ``citation`` of a delta."""

    title: str | None = None
    source_content: list[_Source] = []
    location: _Location | None = None


def read(told: Told) -> Citation:
    texts = tuple(source.text for source in told.source_content)
    return Citation(told.title, texts, _span(told.location or _Location()))


def _span(location: _Location) -> Span | None:
    if (place := location.document_char) is not None:
        return Span("char", place.document_index, place.start, place.end)
    if (place := location.document_page) is not None:
        return Span("page", place.document_index, place.start, place.end)
    if (place := location.document_chunk) is not None:
        return Span("piece", place.document_index, place.start, place.end)
    return None


def are_asked_for(generation: Generation) -> bool:
    return any(
        isinstance(part, Document) and part.citations
        for turn in generation.turns
        for part in turn.parts
    )


def block(text: Text) -> dict[str, Any]:
    """The ``citationsContent`` of a text that has citations."""
    return {
        "content": [{"text": text.text}],
        "citations": [_citation(citation) for citation in text.citations],
    }


def _citation(citation: Citation) -> dict[str, Any]:
    fields: dict[str, Any] = {"sourceContent": [{"text": text} for text in citation.texts]}
    if citation.title is not None:
        fields["title"] = citation.title
    if citation.span is not None:
        fields["location"] = {_LOCATIONS[citation.span.unit]: _place(citation.span)}
    return fields


def _place(span: Span) -> dict[str, int]:
    place = {"documentIndex": span.document, "start": span.start, "end": span.end}
    return {name: value for name, value in place.items() if value is not None}
