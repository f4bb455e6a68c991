"""Citations and media in S3, to Bedrock and back."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from outcrop.engines.upstream import request
from outcrop.engines.upstream.stream import Reader
from outcrop.generation import (
    Citation,
    CitationDelta,
    Document,
    Event,
    Finished,
    Generation,
    Image,
    Part,
    S3Location,
    Span,
    Started,
    Text,
    TextDelta,
    TextStarted,
    Turn,
    Video,
)
from outcrop.wire.eventstream import Frame

MODEL: Final = "anthropic.claude-sonnet-4-5-20250929-v1:0"
PIECES: Final = Document("txt", "policy", ("20 days.", "Ask."), citations=True, context="Manual")
FILM: Final = Video("mp4", S3Location("s3://films/rain.mp4", "123456789012"))
END: Final = (
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": {"inputTokens": 8, "outputTokens": 5, "totalTokens": 13}}),
)


def asking(*parts: Part, stop: tuple[str, ...] = ()) -> Generation:
    return Generation((Turn("user", parts),), 50, stop_sequences=stop)


def content(*parts: Part) -> list[dict[str, Any]]:
    return request.render(asking(*parts), MODEL, "aws")["messages"][0]["content"]


def delta(index: int, **told: Any) -> tuple[str, Mapping[str, Any]]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": told}


def received(generation: Generation, *events: tuple[str, Mapping[str, Any]]) -> list[Event]:
    reader = Reader(generation)
    told: list[Event] = []
    for kind, payload in (("messageStart", {"role": "assistant"}), *events, *END):
        headers = {":message-type": "event", ":event-type": kind}
        told += reader.feed(Frame(headers, msgspec.json.encode(payload)))
    return [*told, *reader.finish()]


def test_a_document_to_cite_is_sent_as_such() -> None:
    assert content(PIECES, Document("txt", "other", b"d")) == [
        {
            "document": {
                "format": "txt",
                "name": "policy",
                "source": {"content": [{"text": "20 days."}, {"text": "Ask."}]},
                "citations": {"enabled": True},
                "context": "Manual",
            }
        },
        {"document": {"format": "txt", "name": "other", "source": {"bytes": b"d"}}},
    ]


def test_earlier_citations_are_sent_with_their_text() -> None:
    said = Text("20", (Citation("policy", ("20 days.",), Span("piece", 0, 0, 1)), Citation()))
    assert content(said) == [
        {
            "citationsContent": {
                "content": [{"text": "20"}],
                "citations": [
                    {
                        "sourceContent": [{"text": "20 days."}],
                        "title": "policy",
                        "location": {"documentChunk": {"documentIndex": 0, "start": 0, "end": 1}},
                    },
                    {"sourceContent": []},
                ],
            }
        }
    ]


def test_media_in_s3_are_sent_by_their_place() -> None:
    place = {"uri": "s3://films/rain.mp4", "bucketOwner": "123456789012"}
    assert content(FILM, Image("png", S3Location("s3://films/rain.png"))) == [
        {"video": {"format": "mp4", "source": {"s3Location": place}}},
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://films/rain.png"}}}},
    ]


def test_all_of_it_is_what_botocore_knows() -> None:
    spans = (Span("char", 0, 1, 2), Span("page", 0, 1, 2), Span("piece", 0, None, 2), None)
    said = Text("20", tuple(Citation("policy", ("20 days.",), span) for span in spans))
    shape = Session().get_service_model("bedrock-runtime").operation_model("ConverseStream")
    assert shape.input_shape is not None
    body = {"modelId": MODEL, **request.render(asking(PIECES, said, FILM), MODEL, "aws")}
    report = ParamValidator().validate(body, shape.input_shape)
    assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize(
    ("kind", "unit"),
    [("documentChar", "char"), ("documentPage", "page"), ("documentChunk", "piece")],
)
def test_citations_come_back_with_the_text_they_are_of(
    kind: str, unit: Literal["char", "page", "piece"]
) -> None:
    told = {
        "title": "policy",
        "sourceContent": [{"text": "20 days."}],
        "location": {kind: {"documentIndex": 0, "start": 0, "end": 8}},
    }
    events = received(
        asking(PIECES, stop=("##",)),
        delta(0, text="You "),
        delta(0, text="have #"),
        delta(1, citation=told),
        delta(1, text="20"),
        delta(2, text="."),
    )
    assert events == [
        Started(0),
        TextDelta("You ", 1),
        TextDelta("have ", 2),
        TextDelta("#", 2),
        TextStarted(),
        CitationDelta(Citation("policy", ("20 days.",), Span(unit, 0, 0, 8))),
        TextDelta("20", 3),
        TextStarted(),
        TextDelta(".", 4),
        Finished("end", 8, 5),
    ]


def test_blocks_of_text_without_citations_are_one_text() -> None:
    events = received(asking(Text("Hi")), delta(0, text="Yes"), delta(1, text="."))
    assert events[1:3] == [TextDelta("Yes", 1), TextDelta(".", 2)]
