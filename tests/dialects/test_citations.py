"""Documents that answers cite, and media that lie in S3, as Converse and Nova have them."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from family_recordings import models

from outcrop.dialects import converse, nova, text_dialect
from outcrop.dialects.converse_stream import Events
from outcrop.errors import ValidationException
from outcrop.folding import Fold
from outcrop.generation import (
    Citation,
    CitationDelta,
    Completion,
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
    ToolUseStarted,
    Video,
)

Json = dict[str, Any]
CLAUDE: Final = "anthropic.claude-sonnet-5"
CLAUDE_3: Final = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA: Final = "amazon.nova-2-lite-v1:0"
GEMMA: Final = "google.gemma-3-4b-it"
ASK: Final[Json] = {"text": "How many days?"}
PLACE: Final[Json] = {"s3Location": {"uri": "s3://films/rain.mp4", "bucketOwner": "123456789012"}}
AT: Final = S3Location("s3://films/rain.mp4", "123456789012")
CITED: Final = Citation("policy", ("20 days.",), Span("char", 0, 5, 13))
CITED_BLOCK: Final[Json] = {
    "location": {"documentChar": {"documentIndex": 0, "end": 13, "start": 5}},
    "sourceContent": [{"text": "20 days."}],
    "title": "policy",
}


def read(*blocks: Json, model: str = CLAUDE, told: tuple[Json, ...] = ()) -> Generation:
    messages: list[Json] = [{"role": "user", "content": list(blocks)}]
    if told:
        messages.append({"role": "assistant", "content": list(told)})
    found = models()[model]
    return converse.parse({"messages": messages}, found, text_dialect(found).extend)


def document(**members: Any) -> Json:
    return {"document": {"name": "policy", "source": {"text": "Take 20 days."}, **members}}


def in_a_result(block: Json, model: str) -> Generation:
    use: Json = {"toolUse": {"toolUseId": "1", "name": "f", "input": {}}}
    result: Json = {"toolResult": {"toolUseId": "1", "content": [block]}}
    messages: list[Json] = [
        {"role": "user", "content": [ASK]},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]
    tools = {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]}
    return converse.parse({"messages": messages, "toolConfig": tools}, models()[model])


def parts(generation: Generation) -> tuple[Part, ...]:
    return generation.turns[-1].parts


def refusal(attempt: Callable[[], object]) -> str:
    with pytest.raises(ValidationException) as caught:
        attempt()
    return caught.value.message


def test_a_document_may_ask_to_be_cited() -> None:
    whole = document(citations={"enabled": True}, context="Manual 3.2")
    pieces = document(source={"content": [{"text": "Take"}, {"text": "20 days."}]})
    assert parts(read(whole, pieces, document(citations={"enabled": False}), ASK)) == (
        Document("txt", "policy", b"Take 20 days.", citations=True, context="Manual 3.2"),
        Document("txt", "policy", ("Take", "20 days.")),
        Document("txt", "policy", b"Take 20 days."),
        Text("How many days?"),
    )


@pytest.mark.parametrize("model", [CLAUDE_3, NOVA])
@pytest.mark.parametrize(
    ("block", "field"),
    [
        (document(citations={"enabled": True}), "document.citations"),
        (document(context="c"), "document.context"),
        (document(source={"content": [{"text": "a"}]}), "document.source.content"),
    ],
)
def test_a_model_that_does_not_cite_refuses_what_came_with_citations(
    block: Json, field: str, model: str
) -> None:
    assert refusal(lambda: read(block, ASK, model=model)) == (
        f"This model doesn't support the {field} field. Remove {field} and try again."
    )


def test_a_tools_document_is_not_cited() -> None:
    block = document(citations={"enabled": True})
    told = refusal(lambda: in_a_result(block, CLAUDE))
    assert told == "Citations are not supported in tool result documents."


def test_pieces_of_a_document_count_together() -> None:
    pieces = [{"text": "1" * 2_359_297}] * 2
    told = refusal(lambda: read(document(source={"content": pieces}), ASK))
    assert "has 4718594 bytes, which exceeds the limit of 4718592" in told


def test_earlier_citations_go_back_to_the_model() -> None:
    cited = {"content": [{"text": "You have "}, {"text": "20 days."}], "citations": [CITED_BLOCK]}
    bare = {"content": [{"text": "So."}]}
    generation = read(ASK, told=({"citationsContent": cited}, {"citationsContent": bare}))
    assert parts(generation) == (Text("You have 20 days.", (CITED,)), Text("So."))


@pytest.mark.parametrize(
    ("cited", "told"),
    [
        ({"content": [{"text": " "}]}, "CitationsContentBlock object at messages.1.content.0"),
        ({"content": [{"text": "a"}], "citations": [{"source": "x"}]}, "citations.source field"),
        (
            {"content": [{"text": "a"}], "citations": [{"location": {"web": {"url": "u"}}}]},
            "citations.location.web field",
        ),
    ],
)
def test_citations_that_cannot_be_carried_are_refused(cited: Json, told: str) -> None:
    assert told in refusal(lambda: read(ASK, told=({"citationsContent": cited},)))


def test_citations_are_the_assistants_and_of_models_that_cite() -> None:
    block: Json = {"citationsContent": {"content": [{"text": "a"}]}}
    assert "the citationsContent field" in refusal(lambda: read(block))
    assert "the citationsContent field" in refusal(lambda: read(ASK, told=(block,), model=CLAUDE_3))


EVENTS: Final[tuple[Event, ...]] = (
    Started(5),
    TextDelta("You have ", 1),
    TextStarted(),
    CitationDelta(CITED),
    TextDelta("20 ", 2),
    TextDelta("days.", 3),
    CitationDelta(Citation(span=Span("page", 1, 2, 3))),
    TextStarted(),
    TextDelta(" Ask.", 4),
    Finished("end", 5, 4),
)
PAGE_BLOCK: Final[Json] = {
    "location": {"documentPage": {"documentIndex": 1, "end": 3, "start": 2}},
    "sourceContent": [],
}


def folded(*events: Event) -> Completion:
    fold = Fold()
    for event in events:
        fold.feed(event)
    return fold.completion()


def test_citations_fold_into_the_text_they_are_of() -> None:
    completion = folded(*EVENTS)
    assert completion.parts == (
        Text("You have "),
        Text("20 days.", (CITED, Citation(span=Span("page", 1, 2, 3)))),
        Text(" Ask."),
    )
    assert completion.text == "You have 20 days. Ask."


def test_a_citation_ends_with_its_text() -> None:
    cited = (Started(5), CitationDelta(CITED), TextDelta("20 days.", 1))
    completion = folded(
        *cited, ToolUseStarted("1", "f"), TextDelta("So.", 2), Finished("end", 5, 2)
    )
    assert completion.parts[0] == Text("20 days.", (CITED,))
    assert completion.parts[-1] == Text("So.")


def test_a_whole_answer_has_a_block_for_each_cited_text() -> None:
    body = converse.render(folded(*EVENTS), {}, models()[CLAUDE], 1)
    cited = {"citations": [CITED_BLOCK, PAGE_BLOCK], "content": [{"text": "20 days."}]}
    assert body["output"]["message"]["content"] == [
        {"text": "You have "},
        {"citationsContent": cited},
        {"text": " Ask."},
    ]


def test_a_stream_has_a_block_for_each_cited_text() -> None:
    stream = Events({}, models()[CLAUDE], lambda: 1)
    events = [told for event in EVENTS for told in stream.feed(event)]
    deltas = [event["contentBlockDelta"] for event in events if "contentBlockDelta" in event]
    assert [(each["contentBlockIndex"], each["delta"]) for each in deltas] == [
        (0, {"text": "You have "}),
        (1, {"citation": CITED_BLOCK}),
        (1, {"text": "20 "}),
        (1, {"text": "days."}),
        (1, {"citation": PAGE_BLOCK}),
        (2, {"text": " Ask."}),
    ]
    stops = [event["contentBlockStop"] for event in events if "contentBlockStop" in event]
    assert [stop["contentBlockIndex"] for stop in stops] == [0, 1, 2]


MEDIA: Final = (
    {"image": {"format": "png", "source": PLACE}},
    {"document": {"name": "rain", "format": "pdf", "source": PLACE}},
    {"video": {"format": "mp4", "source": PLACE}},
)


def test_nova_takes_media_by_their_place_in_s3() -> None:
    expected = Image("png", AT), Document("pdf", "rain", AT), Video("mp4", AT)
    assert parts(read(ASK, *MEDIA, model=NOVA))[1:] == expected
    body = {"messages": [{"role": "user", "content": [ASK, *MEDIA]}]}
    assert parts(nova.parse(body, models()[NOVA]))[1:] == expected


def test_novas_place_in_s3_has_an_address() -> None:
    image = {"image": {"format": "png", "source": {"s3Location": {"bucketOwner": "1"}}}}
    body = {"messages": [{"role": "user", "content": [image]}]}
    assert "required key [uri] not found" in refusal(lambda: nova.parse(body, models()[NOVA]))


def test_a_tools_document_in_s3_is_refused_as_novas_own_check_does() -> None:
    assert refusal(lambda: in_a_result(MEDIA[1], NOVA)) == (
        "The model returned the following errors: Malformed input request: #/messages/2/content/0: "
        "extraneous key [toolResult] is not permitted, please reformat your input and try again."
    )
    assert in_a_result(MEDIA[0], NOVA)


@pytest.mark.parametrize("model", [CLAUDE, GEMMA])
def test_other_models_take_nothing_from_s3(model: str) -> None:
    told = refusal(lambda: read(ASK, MEDIA[0], model=model))
    assert told == "This model doesn't support the s3Uri field. Remove s3Uri and try again."
