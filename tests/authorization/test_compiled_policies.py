"""Policies are compiled ahead of the requests that they decide, and never instead of new ones."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from in_process import ADMIN, Inside, running_inside

from outcrop.authorization import compiled
from outcrop.authorization.compiled import compile_policy, read_policy
from outcrop.security.policy import document
from outcrop.security.policy.document import MalformedPolicy, Policy

ACCOUNT = "123456789012"


def policy(sid: str) -> str:
    statement = {"Sid": sid, "Effect": "Allow", "Action": "bedrock:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as inside:
        yield inside


def test_a_text_is_compiled_once_whatever_it_is_called() -> None:
    first, second = (compile_policy(policy("Once"), "identity", name) for name in ("a", "b"))
    assert (first.name, second.name) == ("a", "b")
    assert first.statements is second.statements
    assert read_policy(policy("Once"), "identity", 20_480).statements is first.statements


def test_a_document_on_its_way_in_keeps_its_limit() -> None:
    padded = policy("Padded") + " " * 100
    assert read_policy(padded, "identity", len(padded)).statements
    with pytest.raises(MalformedPolicy):
        read_policy(padded, "identity", len(padded) - 1)


async def test_what_users_and_roles_hold_is_compiled_before_they_ask(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [policy(f"Ahead{number}") for number in range(3)]
    seen = {text: asyncio.Event() for text in texts}

    def noted(text: str, *arguments: Any, **options: Any) -> Policy:
        if text in seen:
            seen[text].set()
        return document.parse_policy(text, *arguments, **options)

    monkeypatch.setattr(compiled, "parse_policy", noted)
    await inside.user(ACCOUNT, "ann", texts[0])
    await inside.role(ACCOUNT, "Work", policy("Trusted"), texts[1])
    for text in texts[:2]:
        await seen[text].wait()
    # A further change wakes it again.
    item = inside.deployment.state.stores.directory.find_user(ACCOUNT, "ann")
    assert item is not None
    item.record.inline["more"] = texts[2]
    await inside.change(item)
    await seen[texts[2]].wait()
    assert await inside.client(ADMIN).ask("bedrock", "ListFoundationModels")
