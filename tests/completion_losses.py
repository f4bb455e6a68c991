"""The loss of what a model says, computed by hand: what training reports is held against it."""

from collections.abc import Iterable
from typing import Any

from outcrop.training.datasets import Example


def completion_loss(model: Any, torch: Any, examples: Iterable[Example]) -> float:
    """Of one token of the completions, on average; ``model`` is Transformers' or PEFT's."""
    total, count = 0.0, 0
    for one in examples:
        ids = torch.tensor([one.prompt + one.completion])
        with torch.no_grad():
            logits = model(ids).logits[0, len(one.prompt) - 1 : -1]
        answer = ids[0, len(one.prompt) :]
        total += torch.nn.functional.cross_entropy(logits, answer, reduction="sum").item()
        count += len(one.completion)
    return total / count
