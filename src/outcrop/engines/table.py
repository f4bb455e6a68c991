"""docs/parameters.md: ``python -m outcrop.engines.table`` writes it from what engines declare."""

import sys
from collections.abc import Mapping
from typing import Final

from outcrop.engines.honours import EMBEDDING, TEXT, Honours
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.engines.onnx import OnnxEngine
from outcrop.engines.openai import OpenAIEngine
from outcrop.engines.scripted import ScriptedEngine
from outcrop.engines.upstream import UpstreamEngine

COLUMNS: Final[Mapping[str, Honours]] = {
    "llama": LlamaEngine.HONOURS,
    "openai": OpenAIEngine.HONOURS,
    "bedrock": UpstreamEngine.HONOURS,
    "onnx": OnnxEngine.HONOURS,
    "scripted": ScriptedEngine.HONOURS,
}
"""A column for each ``kind`` of the configuration."""

_INTRODUCTION: Final = """\
# Which engine honours which parameter

This page is generated from what the engines declare, by `python -m outcrop.engines.table >
docs/parameters.md`; tests keep it current and hold the declarations against the engines.

The names are the neutral ones of `src/outcrop/generation.py`. Each family has its own: `topP`,
`p` and `top_p` are one parameter here. Ranges and defaults are the family's
([models.md](models.md)); a value outside its range is refused before any engine is asked.

- A parameter that the engine cannot honour is accepted at its neutral value (a penalty of 0, no
  bias, no seed) and otherwise refused with `ValidationException`, which names the parameter and
  the value.
- With `unsupported = "warn"` ([configuration.md](configuration.md)) a *sampler* that the engine
  cannot honour is set to its neutral value instead, and the answer names it in
  `x-outcrop-not-honoured`. Everything else is still refused: an answer without its tool call or
  its schema would be another answer.
- A cell is *yes*, *no*, or the condition under which it is yes. Cells of `openai` name the
  servers that can: the engine recognizes them by their model list, and takes an unknown one for
  plain OpenAI.
"""

_NOTES: Final = """
## Counts of tokens

- Every count is the engine's own. `bedrock` and most servers behind `openai` count a prompt at the
  end of its answer: a stream then tells it there, and Claude's `message_start` says 0.
- A server behind `openai` that is no vLLM or llama.cpp tells no count of an answer which ended at
  a stop sequence: its prompt counts 0, its answer one token for each chunk.

## Documents, thoughts and caches

- `llama` and `openai` put a document of text in front of the text it came with, between
  `<document name="…">` and `</document>`. Text is UTF-8, or UTF-16 with its mark; other bytes
  are refused. Of HTML the text is taken, without scripts and styles.
- A text-only server behind `openai` refuses an image itself. What a tool answered besides text
  follows as a message of the user, since a tool's message holds text alone.
- Earlier thoughts in a conversation go back to `bedrock`, signatures and all. `llama` and
  `openai` leave them out, as the providers themselves do for turns that are over.
- Citations are the model's own work: only `bedrock` passes them on, in requests, answers and
  streams of Converse. `llama` and `openai` read a document's `context` and pieces as text, and
  leave the citations of earlier turns out. Claude's own form on InvokeModel refuses citations.
- What lies in S3 goes to `bedrock` by its place, unread: the account of the upstream must be
  allowed to read it. Nothing here reads S3 yet, so every other engine refuses it.
- vLLM keeps to a budget only where it is started with `--reasoning-config`: a thought that grows
  beyond it ends the answer with an error. Thoughts that a server makes unasked are passed on.
- `cached` on `llama`: the figures are the engine's own, without a least length (AWS's 1,024
  tokens are of its models). Of the prompt up to its last cache point, what need not be computed
  is *read*, the rest *written*; it stays until another prompt takes its slot. Without cache
  points the figures are 0. A prompt read from the cache and one computed at once differ in the
  last digits of their probabilities, so that at temperature 0 two nearly equal tokens may change
  places.
- `cached` on `openai`: servers cache by themselves; what they say they read is told only where
  the request has cache points, and none says what it wrote.

## The cost of likelihoods

- `logprobs, generation` (Cohere `return_likelihoods: GENERATION`) costs next to nothing: the
  engine reports them with each token.
- `logprobs, all` (Cohere `return_likelihoods: ALL`, and every Jurassic-2 answer, whose body
  lists the prompt's tokens) scores the prompt first. llama.cpp's server does not report a
  prompt's probabilities, so each of its tokens is forced after those before it: one request of
  one computed token for each token of the prompt. A prompt of 1,000 tokens costs at least what
  an answer of 1,000 tokens does, before the first token of the answer. Why: [decision
  0007](decisions/0007-prompt-scoring-by-forced-tokens.md).
- Where a token ends in the middle of a character, which happens in Japanese and with emoji, the
  whole vocabulary's probabilities are read for it: some megabytes of JSON for each such token.
- An engine that says *no* to `logprobs, all` cannot serve Jurassic-2: every call is refused.

## Embeddings

- The embedded model reads windows of 256 tokens. A longer text is split, each window is
  embedded, and the vectors are averaged by their tokens; beyond the model's own limit (8,192
  tokens for Titan, 512 for Cohere v3) `truncate` decides.
- `input_type` is required by Cohere and changes nothing on a model that was trained with one
  kind of vector, such as the embedded one.
"""


def render() -> str:
    return (
        f"{_INTRODUCTION}\n## Text\n\n{_table(TEXT)}\n## Embedding\n\n{_table(EMBEDDING)}{_NOTES}"
    )


def _table(rows: Mapping[str, str]) -> str:
    head = ["Parameter", "Means", *(f"`{kind}`" for kind in COLUMNS)]
    lines = [head, ["---"] * len(head)]
    for name, meaning in rows.items():
        cells = [_cell(declared, name) for declared in COLUMNS.values()]
        lines.append([f"`{name}`", meaning, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(declared: Honours, name: str) -> str:
    return declared[name] or "yes" if name in declared else "no"


if __name__ == "__main__":
    sys.stdout.write(render())
