"""What a text rests on, as Converse tells it: citations read from a conversation and rendered.

Places in documents only: what searches the web or a list of results is not built.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from outcrop.dialects.converse_blocks import unsupported_field
from outcrop.errors import ValidationException
from outcrop.generation import Citation, Span, Text

Block = Mapping[str, Any]

_UNITS: Final[Mapping[str, Literal["char", "page", "piece"]]] = {
    "documentChar": "char",
    "documentPage": "page",
    "documentChunk": "piece",
}
_NAMES: Final = {unit: name for name, unit in _UNITS.items()}


def read_cited_text(block: Block, path: str) -> Text:
    """A ``citationsContent`` block. Without a citation it is a text like any other."""
    text = "".join(piece.get("text", "") for piece in block.get("content", ()))
    if not text.strip():
        raise ValidationException(
            f"The content field in the CitationsContentBlock object at {path} is blank. "
            "Add text to the content field, and try again."
        )
    return Text(text, tuple(map(_read, block.get("citations", ()))))


def _read(citation: Block) -> Citation:
    if "source" in citation:
        raise unsupported_field("citationsContent.citations.source")
    sources: Sequence[Block] = citation.get("sourceContent", ())
    texts = tuple(source.get("text", "") for source in sources)
    return Citation(citation.get("title"), texts, _read_span(citation.get("location", {})))


def _read_span(location: Block) -> Span | None:
    for kind, place in location.items():
        if kind not in _UNITS:
            raise unsupported_field(f"citationsContent.citations.location.{kind}")
        return Span(_UNITS[kind], place.get("documentIndex"), place.get("start"), place.get("end"))
    return None


def render_cited_text(text: Text) -> dict[str, Any]:
    citations = [render_citation(citation) for citation in text.citations]
    return {"citationsContent": {"citations": citations, "content": [{"text": text.text}]}}


def render_citation(citation: Citation) -> dict[str, Any]:
    """Also the ``citation`` of a stream's delta, which has the same members."""
    told: dict[str, Any] = {"sourceContent": [{"text": text} for text in citation.texts]}
    if citation.span is not None:
        told["location"] = {_NAMES[citation.span.unit]: _place(citation.span)}
    return told if citation.title is None else {**told, "title": citation.title}


def _place(span: Span) -> dict[str, int]:
    place = {"documentIndex": span.document, "end": span.end, "start": span.start}
    return {name: value for name, value in place.items() if value is not None}
