"""Answers that the engine's own filters of content ended: each family says so in its own words."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from in_process import ADMIN, Client, Inside, running_inside
from msgspec import msgpack

from outcrop.journal.files import START
from outcrop.journal.records import CallRecord

SCRIPT = 'script: [{"text": "so far"}, {"stop": "filtered"}, {"text": " and no further"}]'
TURNS = [{"role": "user", "content": SCRIPT}]
NATIVE: dict[str, tuple[dict[str, Any], str]] = {
    "amazon.titan-text-lite-v1": ({"inputText": SCRIPT}, '"completionReason":"CONTENT_FILTERED"'),
    "anthropic.claude-3-haiku-20240307-v1:0": (
        {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99, "messages": TURNS},
        '"stop_reason":"refusal"',
    ),
    "cohere.command-text-v14": ({"prompt": SCRIPT}, '"finish_reason":"ERROR_TOXIC"'),
    "cohere.command-r-v1:0": ({"message": SCRIPT}, '"finish_reason":"ERROR_TOXIC"'),
    "ai21.jamba-1-5-mini-v1:0": ({"messages": TURNS}, '"finish_reason":"content_filter"'),
    "meta.llama3-8b-instruct-v1:0": ({"prompt": SCRIPT}, '"stop_reason":"stop"'),
}


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as running:
        yield running


@pytest.mark.parametrize("model_id", NATIVE)
async def test_a_family_says_that_its_answer_was_filtered(inside: Inside, model_id: str) -> None:
    body, told = NATIVE[model_id]
    answer = await Client(inside.app, ADMIN).ask(
        "bedrock-runtime", "InvokeModel", modelId=model_id, body=json.dumps(body)
    )
    text = json.dumps(json.loads(answer["body"]), separators=(",", ":"))
    assert told in text
    # Some families repeat the question.
    assert text.count("no further") == text.count("script:")
    assert "so far" in text


async def test_a_conversation_says_it_and_it_is_recorded(inside: Inside) -> None:
    answer = await Client(inside.app, ADMIN).ask(
        "bedrock-runtime",
        "Converse",
        modelId="amazon.titan-text-lite-v1",
        messages=[{"role": "user", "content": [{"text": SCRIPT}]}],
    )
    assert answer["stopReason"] == "content_filtered"
    records, _ = inside.deployment.records.journal.read(START, 1 << 20)
    last = msgpack.decode(records[-1], type=CallRecord)
    assert last.invocation is not None
    assert last.invocation.is_filtered
