"""A run of several answers: what each of them asks its engine for."""

from collections.abc import AsyncGenerator

import pytest

from outcrop.config import Scripted
from outcrop.engines.protocol import EngineBusy
from outcrop.engines.scripted import ScriptedEngine
from outcrop.generation import Event, Generation, Sampling, Text, Turn
from outcrop.services.bedrock_runtime.inference import Run

ASK = Generation((Turn("user", (Text("one two"),)),), 9, count=3)


class Watched(ScriptedEngine):
    """Remembers what it was asked for; refuses the answer number ``refused``."""

    def __init__(self, refused: int | None = None) -> None:
        super().__init__("script", Scripted())
        self.asked: list[Generation] = []
        self._refused = refused

    async def generate(self, generation: Generation) -> AsyncGenerator[Event]:
        self.asked.append(generation)
        if len(self.asked) - 1 == self._refused:
            raise EngineBusy("the queue is full")
        async for event in super().generate(generation):
            yield event


async def test_a_prompt_is_scored_once_for_all_its_answers() -> None:
    engine = Watched()
    scored = Generation(ASK.turns, ASK.max_tokens, count=3, logprobs="all")
    answers = await Run(engine, scored, []).completions()
    assert [each.logprobs for each in engine.asked] == ["all", "generation", "generation"]
    assert answers[0].prompt_tokens
    assert all(each == answers[0] for each in answers)


async def test_each_answer_has_a_seed_of_its_own() -> None:
    engine = Watched()
    seeded = Generation(ASK.turns, ASK.max_tokens, count=3, sampling=Sampling(seed=7))
    await Run(engine, seeded, []).completions()
    assert [each.sampling.seed for each in engine.asked] == [7, 8, 9]


@pytest.mark.parametrize("refused", [0, 1])
async def test_one_answer_that_fails_ends_the_run(refused: int) -> None:
    scored = Generation(ASK.turns, ASK.max_tokens, count=3, logprobs="all")
    with pytest.raises(EngineBusy):
        await Run(Watched(refused), scored, []).completions()
