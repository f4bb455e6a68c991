"""Media, thoughts and cache points through the OpenAI engine, as the servers document them."""

import json
from typing import Any

import pytest
from msgspec.structs import replace
from openai_server import ASK, WEATHER, asked, collect, delta, sent, serving, total

from outcrop.engines.openai import peers, request
from outcrop.engines.protocol import EngineFailed, Unsupported
from outcrop.generation import (
    CachePoint,
    Document,
    Finished,
    Image,
    Reasoning,
    ReasoningDelta,
    ReasoningRequest,
    Started,
    Text,
    TextDelta,
    Token,
    ToolResult,
    ToolUse,
    Turn,
    Video,
)


async def test_media_are_sent_as_content_parts_in_their_order() -> None:
    parts = (
        Text("See:"),
        Image("jpeg", b"\xff\xd8"),
        Document("html", "note", b"<p>rain</p>"),
        CachePoint(),
        Video("three_gp", b"\x00"),
    )
    body = await sent("vllm", asked(*parts))
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "See:"},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9g="}},
        {"type": "text", "text": '<document name="note">\nrain\n</document>'},
        {"type": "video_url", "video_url": {"url": "data:video/3gpp;base64,AA=="}},
    ]


async def test_documents_of_text_alone_stay_a_string() -> None:
    body = await sent("library", asked(Text("See:"), Document("csv", "n", b"1,2")))
    assert body["messages"][0]["content"] == 'See:\n<document name="n">\n1,2\n</document>'


async def test_what_a_tool_answered_besides_text_follows_as_the_users() -> None:
    results = (
        ToolResult("c1", "a map", media=(Image("png", b"m"),)),
        Text("Where?"),
        ToolResult("c2", "rain"),
    )
    calls = tuple(ToolUse(name, "weather", {}) for name in ("c1", "c2"))
    turns = (*ASK.turns, Turn("assistant", (Reasoning("Hm.", "s"), *calls)), Turn("user", results))
    messages = (await sent("vllm", replace(ASK, turns=turns, tools=(WEATHER,))))["messages"]
    assert "Hm." not in json.dumps(messages)
    assert messages[2:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "a map"},
        {"role": "tool", "tool_call_id": "c2", "content": "rain"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Attached to the result of the tool call c1:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,bQ=="}},
                {"type": "text", "text": "Where?"},
            ],
        },
    ]


def test_openai_itself_takes_pdf_and_names_its_limit_otherwise() -> None:
    peer = peers.recognize(peers.ModelList(), "https://api.openai.com/v1")
    assert peers.recognize(peers.ModelList(), "https://api.openai.com.example/v1") is peers.PLAIN
    body = request.render(asked(Document("pdf", "report", b"%PDF")), "m", peer, "remote")
    assert body["messages"][0]["content"] == [
        {
            "type": "file",
            "file": {
                "filename": "report.pdf",
                "file_data": "data:application/pdf;base64,JVBERg==",
            },
        }
    ]
    assert body["max_completion_tokens"] == 50
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    ("asking", "fields"),
    [
        (ReasoningRequest(effort="low"), {"reasoning_effort": "low"}),
        (ReasoningRequest(budget_tokens=99), {"thinking_token_budget": 99}),
        (
            ReasoningRequest(99, "high"),
            {"thinking_token_budget": 99, "reasoning_effort": "high"},
        ),
    ],
)
async def test_thinking_is_asked_for_in_vllms_words(
    asking: ReasoningRequest, fields: dict[str, Any]
) -> None:
    body = await sent("vllm", replace(ASK, reasoning=asking))
    assert body.items() >= fields.items()


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
async def test_thoughts_come_back_before_the_answer(name: str) -> None:
    async with serving() as (server, engine):
        server.say(
            delta(usage=1, **{name: "Let me "}),
            delta(usage=2, **{name: "see.", "content": None}),
            delta(usage=3, content="Yes"),
            delta("stop", usage=4),
            total(4),
        )
        assert await collect(engine) == [
            Started(9),
            ReasoningDelta("Let me ", 1),
            ReasoningDelta("see.", 2),
            TextDelta("Yes", 3),
            Finished("end", 9, 4),
        ]


async def test_a_thought_sent_under_both_names_is_one_and_keeps_its_log_probabilities() -> None:
    async with serving("other") as (server, engine):
        thought = delta(reasoning="Hm", reasoning_content="Hm")
        thought["choices"][0]["logprobs"] = {"content": [{"token": "Hm", "logprob": -1.0}]}
        answer = delta(content="Yes")
        answer["choices"][0]["logprobs"] = {"content": [{"token": "Yes", "logprob": -0.5}]}
        server.say(thought, answer, delta("stop"), total(2))
        assert await collect(engine, replace(ASK, logprobs="generation")) == [
            Started(0),
            ReasoningDelta("Hm", 1),
            TextDelta("Yes", 2, (Token("Yes", -1, -0.5),)),
            Finished("end", 9, 2),
        ]


@pytest.mark.parametrize("reasoning", [{"text": "Hm"}, "", None])
async def test_a_thought_of_another_shape_is_passed_over(reasoning: Any) -> None:
    async with serving() as (server, engine):
        server.say(delta(usage=1, reasoning=reasoning, content="Yes"), delta("stop"), total(1))
        assert (await collect(engine))[1] == TextDelta("Yes", 1)


async def test_a_server_that_ignores_the_budget_of_a_thought_fails() -> None:
    async with serving() as (server, engine):
        generation = replace(ASK, reasoning=ReasoningRequest(budget_tokens=10))
        server.say(delta(usage=74, reasoning="Hm"), delta("stop", usage=75), total(75))
        assert ReasoningDelta("Hm", 74) in await collect(engine, generation)
        server.say(delta(usage=74, content="So:"), delta("stop", usage=75, reasoning="Hm"))
        assert ReasoningDelta("Hm", 75) in await collect(engine, generation)
        server.say(delta(usage=75, reasoning="Hm"), delta("stop", usage=76), total(76))
        with pytest.raises(EngineFailed, match="--reasoning-config"):
            await collect(engine, generation)


@pytest.mark.parametrize(
    ("details", "cached"),
    [({"cached_tokens": 6}, 6), ({"cached_tokens": None}, 0), (None, 0)],
)
async def test_cached_tokens_are_told_to_who_set_cache_points(details: Any, cached: int) -> None:
    async with serving() as (server, engine):
        end = total(1)
        end["usage"]["prompt_tokens_details"] = details
        server.say(delta(content="Yes"), delta("stop"), end)
        asking = asked(Text("Hi"), CachePoint())
        assert (await collect(engine, asking))[-1] == Finished(
            "end", 9 - cached, 1, cache_read_tokens=cached
        )
        assert (await collect(engine))[-1] == Finished("end", 9, 1)


async def test_tokens_of_images_are_not_guessed() -> None:
    async with serving() as (server, engine):
        assert await engine.count_tokens(asked(Document("md", "n", b"a"))) == 17
        with pytest.raises(Unsupported, match="counting tokens"):
            await engine.count_tokens(asked(Image("png", b"")))
        assert len(server.asked) == 1
