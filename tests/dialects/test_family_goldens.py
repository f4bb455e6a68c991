"""Answers and streams have the members, types and order that the real service was recorded with."""

import itertools
from collections.abc import Iterable
from types import ModuleType
from typing import Any, cast

import pytest
from family_recordings import METRICS, Recording, recordings, rendering, shape
from recorded_answers import completion, reason_of, stream_events, text_of

from outcrop.dialects import (
    cohere_command,
    cohere_command_r,
    cohere_embed,
    jamba,
    jurassic2,
    llama,
    mistral,
    titan_embed,
)
from outcrop.errors import ValidationException
from outcrop.generation import Embeddings

TEXT: dict[str, ModuleType] = {
    "cohere_command": cohere_command,
    "cohere_command_r": cohere_command_r,
    "jamba": jamba,
    "jurassic2": jurassic2,
    "llama": llama,
    "mistral": mistral,
}
EMBEDDING: dict[str, ModuleType] = {"cohere_embed": cohere_embed, "titan_embed": titan_embed}
# Bodies that the authors of a test wrote themselves: no member or reason of them is the service's.
INVENTED = {
    "275de63b617dc0c5": "p of 1 is outside Command R's range, and the answer has two members",
    "cae4973988fe88a6": "max_tokens is no stop reason of Llama",
    "1be4f05b87b53c06": "max_tokens is no stop reason of Mistral",
}
# The token that ends a stream has its ID only in the service's own tokenizer.
UNLIKE_OURS = {"c3b2d4f07fa8d028": {"stop_reason": ("int", "NoneType")}}
# What differs from call to call, or is a measurement.
VOLATILE = {"id", "response_id", "generation_id", "requestDurationMillis", "billed_units", "tokens"}


def of(
    dialects: Iterable[str], *, streamed: bool = False, invented: bool | None = None
) -> list[Any]:
    return [
        pytest.param(each, id=f"{each.model.id}-{each.id}")
        for dialect in dialects
        for each in recordings(dialect, streamed=streamed)
        if invented is None or (each.id in INVENTED) == invented
    ]


@pytest.mark.parametrize("recording", of(TEXT, invented=False))
def test_an_answer_has_the_recorded_members_types_and_values(recording: Recording) -> None:
    dialect = TEXT[recording.model.dialect]
    assert dialect.parse(recording.body, recording.model).turns
    context = rendering(recording.model, recording.body)
    answer = dialect.render([completion(recording.model.dialect, recording.answer)], context)
    assert shape(answer) == shape(recording.answer)
    if recording.model.dialect != "jurassic2":
        assert determined(answer) == determined(recording.answer)


@pytest.mark.parametrize("recording", of(TEXT, invented=True))
def test_an_invented_recording_is_unlike_the_service(recording: Recording) -> None:
    answer = recording.answer
    reason = answer.get("finish_reason") or answer.get("stop_reason")
    assert (reason or answer["outputs"][0]["stop_reason"]) == "max_tokens"


def test_command_r_refuses_the_p_of_the_invented_recording() -> None:
    (recording,) = (each for each in recordings("cohere_command_r") if each.id in INVENTED)
    with pytest.raises(ValidationException, match=r"#/p: 1 is not less or equal to 0\.99"):
        cohere_command_r.parse(recording.body, recording.model)


def determined(value: Any) -> Any:
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {name: determined(each) for name, each in members.items() if name not in VOLATILE}
    if isinstance(value, list):
        return [determined(each) for each in cast("list[Any]", value)]
    return value


@pytest.mark.parametrize("recording", of(["jurassic2"]))
def test_jurassic_places_every_token_where_the_service_does(recording: Recording) -> None:
    context = rendering(recording.model, recording.body)
    answer = jurassic2.render([completion(recording.model.dialect, recording.answer)], context)
    assert answer["id"] == recording.answer["id"]
    pairs = (
        (answer["prompt"], recording.answer["prompt"]),
        (answer["completions"][0]["data"], recording.answer["completions"][0]["data"]),
    )
    for ours, theirs in pairs:
        covered = [t for t in theirs["tokens"] if t["textRange"]["end"] > t["textRange"]["start"]]
        ranges = [t["textRange"] for t in ours["tokens"]]
        assert [each for each in ranges if each["end"] > each["start"]] == [
            token["textRange"] for token in covered
        ]
        logprobs = [token["generatedToken"]["raw_logprob"] for token in ours["tokens"]]
        assert set(logprobs) <= {t["generatedToken"]["raw_logprob"] for t in theirs["tokens"]}


@pytest.mark.parametrize("recording", of(TEXT, streamed=True))
def test_a_stream_has_the_recorded_chunks_in_the_recorded_order(recording: Recording) -> None:
    dialect = TEXT[recording.model.dialect]
    assert dialect.parse(recording.body, recording.model).turns
    stream = dialect.chunks(rendering(recording.model, recording.body))
    events = stream_events(recording.model.dialect, recording.chunks)
    ours = [chunk for event in events for chunk in stream.feed(event)]
    theirs = [chunk for chunk in recording.chunks if set(chunk) != {METRICS}]
    assert kinds(ours, recording) == kinds(theirs, recording)
    assert "".join(map(text_of, ours)) == "".join(map(text_of, theirs))
    assert determined_ends(ours) == determined_ends(theirs)


def kinds(chunks: list[dict[str, Any]], recording: Recording) -> list[Any]:
    """The shapes of the chunks, each run of equal ones as one."""
    shapes = [shape(chunk) for chunk in chunks]
    for name, types in UNLIKE_OURS.get(recording.id, {}).items():
        for choice in shapes[-1]["choices"]:
            assert choice[name] in types
            choice[name] = types
    return [each for each, _ in itertools.groupby(shapes)]


def determined_ends(chunks: list[dict[str, Any]]) -> tuple[str, Any, Any]:
    reason = reason_of(chunks)
    return reason, chunks[-1].get("generation_token_count"), chunks[-1].get("usage")


@pytest.mark.parametrize("recording", of(EMBEDDING))
def test_an_embedding_answer_is_the_recorded_one(recording: Recording) -> None:
    dialect = EMBEDDING[recording.model.dialect]
    request = dialect.parse(recording.body, recording.model)
    vectors = vectors_of(recording.answer)
    assert [request.dimensions] * len(request.texts) == [len(vector) for vector in vectors]
    counts = (recording.answer.get("inputTextTokenCount", 4),) * len(vectors)
    context = rendering(recording.model, recording.body, recording.answer.get("id", ""))
    assert dialect.render(Embeddings(tuple(vectors), counts), context) == recording.answer


def vectors_of(answer: dict[str, Any]) -> list[list[float]]:
    if "embedding" in answer:
        return [answer["embedding"]]
    by_type: dict[str, Any] = {"embeddings_floats": {"float": answer["embeddings"]}}
    return by_type.get(answer["response_type"], answer["embeddings"])["float"]


def test_there_are_recordings_of_every_family() -> None:
    found = {dialect for dialect in [*TEXT, *EMBEDDING] if recordings(dialect)}
    assert found == {*TEXT, *EMBEDDING}
    streams = {dialect for dialect in TEXT if recordings(dialect, streamed=True)}
    assert streams == {*TEXT} - {"jurassic2"}
