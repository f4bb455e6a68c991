"""The embedded engine honours and refuses exactly what it declares for docs/parameters.md."""

import math

import pytest
from llama_asking import ask, asking
from msgspec.structs import replace
from parameter_probes import PLAIN, TEXT_PROBES

from outcrop.engines.honours import TEXT
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.engines.protocol import Unsupported
from outcrop.generation import Sampling, ToolChoice

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("name", sorted(LlamaEngine.HONOURS.keys() & TEXT_PROBES.keys()))
async def test_what_is_declared_is_honoured(engine: LlamaEngine, name: str):
    probe = TEXT_PROBES[name]
    if name == "truncate":
        limit = await engine.count_tokens(probe) - 2
        probe = replace(probe, max_input_tokens=limit)
    assert (await ask(engine, probe)).finished


@pytest.mark.parametrize("name", sorted(TEXT.keys() - LlamaEngine.HONOURS.keys()))
async def test_what_is_not_declared_is_refused(engine: LlamaEngine, name: str):
    with pytest.raises(Unsupported):
        await ask(engine, TEXT_PROBES[name])


async def test_conditions_are_kept(engine: LlamaEngine):
    beyond = replace(PLAIN, sampling=Sampling(logit_bias=((49_152, 1.0),)))
    unsayable = replace(PLAIN, json_schema={"type": "string", "pattern": "(?=a)b"})
    unknown = replace(TEXT_PROBES["tools, tool"], tool_choice=ToolChoice("tool", "other"))
    for refused in (beyond, unsayable, unknown):
        with pytest.raises(Unsupported):
            await ask(engine, refused)


async def test_top_p_acts_after_top_k(engine: LlamaEngine):
    """Of two tokens the likelier has at least half; a top-p between its share of all tokens and
    that half keeps it alone if the two were chosen first, and both otherwise."""
    greedy = await ask(engine, asking("Tell me a story.", 1, logprobs="generation"))
    (first,) = greedy.tokens
    share = math.exp(first.logprob or 0.0)
    assert share < 0.45

    async def drawn(top_p: float | None) -> set[str]:
        return {
            (
                await ask(
                    engine,
                    asking(
                        "Tell me a story.", 1, sampling=Sampling(top_p=top_p, top_k=2, seed=seed)
                    ),
                )
            ).text
            for seed in range(24)
        }

    assert len(await drawn(None)) == 2
    assert await drawn(share + 0.04) == {first.text}
