"""Streams of engines that learn at the end how many tokens a prompt has: no chunk says 0 for it."""

from collections.abc import Mapping
from typing import Any

import pytest
from family_recordings import models, rendering

from outcrop.dialects import text_dialect
from outcrop.generation import Event, Finished, Started, TextDelta

LATE = (Started(0), TextDelta("Hi", 1), TextDelta(" you", 2), Finished("end", 5, 2))
EARLY = (Started(5), *LATE[1:])


def chunks(model_id: str, events: tuple[Event, ...]) -> list[Mapping[str, Any]]:
    model = models()[model_id]
    stream = text_dialect(model).chunks(rendering(model, {}))
    return [chunk for event in events for chunk in stream.feed(event)]


@pytest.mark.parametrize(
    ("model_id", "member"),
    [
        ("amazon.titan-text-lite-v1", "inputTextTokenCount"),
        ("meta.llama3-8b-instruct-v1:0", "prompt_token_count"),
    ],
)
def test_the_last_chunk_tells_what_the_first_could_not(model_id: str, member: str) -> None:
    late = [chunk[member] for chunk in chunks(model_id, LATE)]
    assert late == [None] * (len(late) - 1) + [5]
    early = [chunk[member] for chunk in chunks(model_id, EARLY)]
    assert early == [5] + [None] * (len(early) - 1)


def test_claude_tells_a_late_count_beside_that_of_the_answer() -> None:
    model_id = "anthropic.claude-3-haiku-20240307-v1:0"
    late, early = (chunks(model_id, events)[-2] for events in (LATE, EARLY))
    assert late["usage"] == {"input_tokens": 5, "output_tokens": 2}
    assert early["usage"] == {"output_tokens": 2}
