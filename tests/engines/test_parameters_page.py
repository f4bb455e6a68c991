"""docs/parameters.md is what the engines declare, and what they declare is what they do."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from parameter_probes import PLAIN, TEXT_PROBES, TOOL

from outcrop.config import EngineConfig, Scripted
from outcrop.engines.honours import EMBEDDING, PARAMETERS, TEXT, Honours
from outcrop.engines.openai import request as openai_request
from outcrop.engines.openai.engine import OpenAIEngine
from outcrop.engines.openai.honours import REFUSED
from outcrop.engines.openai.peers import ALL, Peer
from outcrop.engines.protocol import Unsupported
from outcrop.engines.scripted import ScriptedEngine
from outcrop.engines.table import COLUMNS, render
from outcrop.engines.upstream import request as upstream_request
from outcrop.engines.upstream.engine import UpstreamEngine
from outcrop.generation import (
    EmbeddingRequest,
    Generation,
    Sampling,
    Text,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "parameters.md"
# What a request is made of, rather than asked for.
CONTENT = {"turns", "system", "sampling", "tool_choice", "max_input_tokens"}


def is_refused(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except Unsupported:
        return True
    return False


def test_the_page_is_what_the_engines_declare() -> None:
    assert PAGE.read_text(encoding="utf-8") == render()


def test_every_kind_of_engine_has_its_column() -> None:
    assert set(COLUMNS) == {kind.__struct_config__.tag for kind in EngineConfig.__args__}


def test_every_field_of_a_request_is_a_row_and_every_row_is_probed() -> None:
    rows = {name.partition(",")[0] for name in PARAMETERS}
    asked = {*Sampling.__struct_fields__, *Generation.__struct_fields__} - CONTENT
    assert asked <= rows
    sized = set(EmbeddingRequest.__struct_fields__)
    assert sized - {"texts", "max_tokens", "truncate"} == set(EMBEDDING) & sized
    assert set(TEXT) - {"count", "count_tokens"} == set(TEXT_PROBES)


@pytest.mark.parametrize("kind", COLUMNS)
def test_only_known_parameters_are_declared(kind: str) -> None:
    assert set(COLUMNS[kind]) <= set(PARAMETERS)


@pytest.mark.parametrize("name", TEXT_PROBES)
async def test_the_scripted_engine_does_as_it_declares(name: str) -> None:
    engine = ScriptedEngine("script", Scripted())
    if name in ScriptedEngine.HONOURS:
        assert [event async for event in engine.generate(TEXT_PROBES[name])]
        return
    with pytest.raises(Unsupported, match=f"{name}="):
        [event async for event in engine.generate(TEXT_PROBES[name])]
    with pytest.raises(Unsupported, match=f"{name}="):
        await engine.count_tokens(TEXT_PROBES[name])


async def test_the_scripted_engine_keeps_to_its_conditions() -> None:
    engine = ScriptedEngine("script", Scripted())
    unknown = replace(TEXT_PROBES["tools, tool"], tool_choice=ToolChoice("tool", "other"))
    unfindable = replace(PLAIN, json_schema={"type": "string", "pattern": "^[0-9]{3}$"})
    for refused in (unknown, unfindable):
        with pytest.raises(Unsupported):
            [event async for event in engine.generate(refused)]
    with pytest.raises(Unsupported):
        await engine.embed(EmbeddingRequest(("a",), 383, 9))
    assert await engine.embed(EmbeddingRequest(("a",), 384, 9, "end", input_type="search_query"))


def _peer_is_named(declared: Honours, name: str, peer: Peer) -> bool:
    return name in declared and (not declared[name] or peer.name in declared[name].split(", "))


@pytest.mark.parametrize("peer", ALL, ids=lambda peer: peer.name)
@pytest.mark.parametrize("name", sorted(TEXT_PROBES.keys() - {"truncate"}))
def test_openai_requests_are_built_or_refused_as_declared(peer: Peer, name: str) -> None:
    refused = is_refused(lambda: openai_request.render(TEXT_PROBES[name], "m", peer, "engine"))
    assert refused != _peer_is_named(OpenAIEngine.HONOURS, name, peer)


def test_what_no_openai_server_honours_is_not_declared() -> None:
    assert not set(REFUSED) & OpenAIEngine.HONOURS.keys()


def _is_refused_by_bedrock(generation: Generation, model: str) -> bool:
    return is_refused(lambda: upstream_request.render(generation, model, "engine"))


@pytest.mark.parametrize("name", sorted(TEXT_PROBES.keys() - {"truncate"}))
def test_converse_requests_are_built_or_refused_as_declared(name: str) -> None:
    refused = _is_refused_by_bedrock(TEXT_PROBES[name], "anthropic.claude-v2")
    assert refused == (name not in UpstreamEngine.HONOURS)


def test_converse_requests_keep_to_their_conditions() -> None:
    top_k = TEXT_PROBES["top_k"]
    assert _is_refused_by_bedrock(top_k, "meta.llama3-8b-instruct-v1:0")
    assert not _is_refused_by_bedrock(top_k, "cohere.command-r-v1:0")
    called = (
        Turn("assistant", (ToolUse("1", TOOL.name, {}),)),
        Turn("user", (ToolResult("1", "dry"), Text("And now?"))),
    )
    none = TEXT_PROBES["tools, none"]
    assert _is_refused_by_bedrock(replace(none, turns=(*none.turns, *called)), "m")
    assert _is_refused_by_bedrock(TEXT_PROBES["truncate"], "m")
    assert not _is_refused_by_bedrock(replace(TEXT_PROBES["truncate"], max_input_tokens=999), "m")
