"""The learning rate of each step: up to the given one over the warm-up, then down in a line."""


def learning_rate(peak: float, step: int, steps: int, warmup_steps: int) -> float:
    """``step`` counts from 0. The first step of a warm-up and the last of all still move."""
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (steps - step) / max(1, steps - warmup_steps)
