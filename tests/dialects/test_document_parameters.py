"""Rows of the requirements that no family's own test holds; their IDs stand in comments."""

from typing import Any

import pytest
from family_recordings import models, rendering

from outcrop.dialects import cohere_embed, jurassic2, llama, titan_text
from outcrop.errors import ValidationException
from outcrop.generation import Completion, Finished, Started, Stop, Text, TextDelta

TITAN = models()["amazon.titan-text-express-v1"]
LLAMA2 = models()["meta.llama2-13b-chat-v1"]
MID = models()["ai21.j2-mid-v1"]
EMBED = models()["cohere.embed-english-v3"]
SCOPES = ("Whitespaces", "Punctuations", "Numbers", "Stopwords", "Emojis")


def titan(**configuration: Any) -> Any:
    return titan_text.parse({"inputText": "Hi", "textGenerationConfig": configuration}, TITAN)


def test_a_titan_stop_sequence_has_at_most_20_characters() -> None:
    # IP-14.
    assert titan(stopSequences=["x" * 20]).stop_sequences == ("x" * 20,)
    with pytest.raises(ValidationException, match="Malformed input request"):
        titan(stopSequences=["x" * 21])


@pytest.mark.parametrize(
    ("stop", "reason"), [("end", "FINISH"), ("length", "LENGTH"), ("tool_use", "FINISH")]
)
def test_titan_counts_both_sides_and_tells_how_it_ended(stop: Stop, reason: str) -> None:
    # IP-16, IP-17, IP-18 (recorded as FINISH).
    answer = Completion((Text("Ho"),), stop, 7, 3)
    assert titan_text.render([answer], rendering(TITAN, {"inputText": "Hi"})) == {
        "inputTextTokenCount": 7,
        "results": [{"tokenCount": 3, "outputText": "Ho", "completionReason": reason}],
    }


@pytest.mark.parametrize("stop", ["end", "length"])
def test_llama_tells_stop_or_length_whole_and_streamed(stop: Stop) -> None:
    # IP-76.
    reason = {"end": "stop", "length": "length"}[stop]
    shown = rendering(LLAMA2, {"prompt": "Hi"})
    whole = llama.render([Completion((Text("Ho"),), stop, 2, 1)], shown)
    assert whole["stop_reason"] == reason
    stream = llama.chunks(shown)
    events = [Started(2), TextDelta("Ho", 1), Finished(stop, 2, 1)]
    sent = [chunk for event in events for chunk in stream.feed(event)]
    assert [chunk["stop_reason"] for chunk in sent] == [None, reason]


@pytest.mark.parametrize("penalty", ["countPenalty", "presencePenalty", "frequencyPenalty"])
@pytest.mark.parametrize("scope", SCOPES)
def test_a_jurassic_penalty_acts_on_all_text_or_is_refused(penalty: str, scope: str) -> None:
    # IP-37 to IP-42.
    def parse(value: Any) -> Any:
        return jurassic2.parse(
            {"prompt": "Hi", penalty: {"scale": 1, f"applyTo{scope}": value}}, MID
        )

    sampling = parse(True).sampling
    assert 1 in (
        sampling.frequency_penalty,
        sampling.presence_penalty,
        sampling.normalized_frequency_penalty,
    )
    with pytest.raises(ValidationException, match=f"{penalty}.applyTo{scope}"):
        parse(False)
    with pytest.raises(ValidationException, match="expected type: Boolean"):
        parse("yes")


@pytest.mark.parametrize("missing", ["texts", "input_type"])
def test_cohere_embed_needs_texts_and_their_type(missing: str) -> None:
    # IP-62.
    body = {"texts": ["x"], "input_type": "search_query"}
    del body[missing]
    with pytest.raises(ValidationException, match=rf"required key \[{missing}\] not found"):
        cohere_embed.parse(body, EMBED)


@pytest.mark.parametrize(
    "kind", ["search_document", "search_query", "classification", "clustering"]
)
def test_cohere_embed_takes_the_documents_types_and_texts_of_any_length(kind: str) -> None:
    # IP-64, IP-65.
    body = {"texts": ["", "x" * 2048], "input_type": kind}
    request = cohere_embed.parse(body, EMBED)
    assert (request.input_type, len(request.texts)) == (kind, 2)
