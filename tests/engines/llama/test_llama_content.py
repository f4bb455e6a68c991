"""Documents, media, thoughts and cache points on the embedded engine."""

import pytest
from llama_asking import GREEDY, ask, asking
from msgspec.structs import replace

from outcrop.engines.llama.engine import LlamaEngine
from outcrop.engines.protocol import Unsupported
from outcrop.generation import (
    CachePoint,
    Document,
    Generation,
    Image,
    Part,
    Reasoning,
    ReasoningRequest,
    Sampling,
    Text,
    Turn,
    Video,
)

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

TALE = "A crow, half dead with thirst, came upon a pitcher which had once been full of water. "


def asked(*parts: Part, max_tokens: int = 12) -> Generation:
    return Generation((Turn("user", parts),), max_tokens, sampling=GREEDY)


async def test_a_document_is_read_as_its_text(engine: LlamaEngine):
    question = Text("What is the capital of France?")
    written = Text('<document name="tale">\nOnce upon a time\n</document>')
    page = Document("html", "tale", b"<html><style>p{}</style><p>Once upon a time</p></html>")
    read = await ask(engine, asked(question, page))
    assert read.text == (await ask(engine, asked(written, question))).text
    assert read.started.input_tokens == await engine.count_tokens(asked(written, question))


@pytest.mark.parametrize(
    ("part", "parameter"),
    [
        (Image("png", b"x"), "image='png'"),
        (Video("mp4", b"x"), "video='mp4'"),
        (Document("pdf", "n", b"%PDF"), "document='pdf'"),
    ],
)
async def test_what_is_no_text_is_refused_by_its_name(
    engine: LlamaEngine, part: Part, parameter: str
):
    with pytest.raises(Unsupported, match=parameter):
        await ask(engine, asked(Text("See"), part))
    with pytest.raises(Unsupported, match=parameter):
        await engine.count_tokens(asked(Text("See"), part))


async def test_thinking_is_refused_and_earlier_thoughts_are_left_out(engine: LlamaEngine):
    with pytest.raises(Unsupported, match="reasoning"):
        await ask(engine, replace(asking("Hi"), reasoning=ReasoningRequest(effort="low")))
    answered = (Turn("assistant", (Text("Yes"),)), Turn("user", (Text("Go on"),)))
    thought = Turn("assistant", (Reasoning("Hm.", "c2ln"), Text("Yes")))
    plain = await ask(engine, asking("Do you know?", more=answered))
    assert (await ask(engine, asking("Do you know?", more=(thought, answered[1])))).events == (
        plain.events
    )


async def test_what_stands_before_a_cache_point_is_read_from_the_cache(engine: LlamaEngine):
    generation = asked(Text(f"Cached once. {TALE}"), CachePoint(), Text("Who was thirsty?"))
    total = await engine.count_tokens(generation)
    first = await ask(engine, generation)
    again = await ask(engine, generation)
    assert again.text == first.text != ""
    wrote, read = first.finished, again.finished
    # The template's opening words may be in the slot already.
    assert wrote.cache_read_tokens < 5
    assert read.cache_write_tokens == 0
    assert read.cache_read_tokens == wrote.cache_read_tokens + wrote.cache_write_tokens > 20
    assert wrote.input_tokens == read.input_tokens == total - read.cache_read_tokens > 0
    assert again.started.input_tokens == total


async def test_another_question_reads_the_same_cache(engine: LlamaEngine):
    tale = Text(f"Cached for two. {TALE}")
    await ask(engine, asked(tale, CachePoint(), Text("Who was thirsty?")))
    other = await ask(engine, asked(tale, CachePoint(), Text("What was it full of?")))
    bare = await ask(engine, asked(tale, Text("What was it full of?")))
    assert other.finished.cache_read_tokens > 20
    assert other.finished.cache_write_tokens == 0
    assert other.text == bare.text


async def test_a_cached_system_text_counts_without_its_turns(engine: LlamaEngine):
    generation = asking("Who?", 4, system=f"Cached above. {TALE}", cached=frozenset({"system"}))
    wrote = (await ask(engine, generation)).finished
    read = (await ask(engine, replace(generation, max_tokens=0))).finished
    length = wrote.cache_read_tokens + wrote.cache_write_tokens
    assert (read.cache_read_tokens, read.cache_write_tokens) == (length, 0)
    system = replace(generation, turns=(Turn("user", (Text(""),)),))
    # Behind it: the turn's control tokens and roles.
    assert 5 < await engine.count_tokens(system) - length < 15


async def test_a_stop_sequence_leaves_the_figures_right(engine: LlamaEngine):
    generation = asked(Text(f"Cached to stop. {TALE}"), CachePoint(), Text("Who was thirsty?"))
    whole = await ask(engine, generation)
    stopped = await ask(engine, replace(generation, stop_sequences=(whole.text[4:7],)))
    assert stopped.finished.stop == "stop_sequence"
    assert stopped.finished.cache_read_tokens > 20
    assert stopped.finished.cache_write_tokens == 0


@pytest.mark.parametrize("sampling", [GREEDY, Sampling()])
async def test_without_cache_points_no_cache_is_told(engine: LlamaEngine, sampling: Sampling):
    generation = asking(f"Never told. {TALE}", 2, sampling=sampling)
    await ask(engine, generation)
    finished = (await ask(engine, generation)).finished
    assert (finished.cache_read_tokens, finished.cache_write_tokens) == (0, 0)
    assert finished.input_tokens == await engine.count_tokens(generation)
