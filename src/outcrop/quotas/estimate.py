"""How many tokens a prompt probably has, before an engine has counted them."""

from collections.abc import Sequence

from outcrop.generation import Generation


def estimate_tokens(generation: Generation) -> int:
    return estimate_texts([str(generation.turns)])


def estimate_texts(texts: Sequence[str]) -> int:
    return sum(-(-len(text) // 4) for text in texts)
