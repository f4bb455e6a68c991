"""The body of a completion request. Every sampler is named: llama.cpp's own defaults would act."""

from collections.abc import Sequence
from typing import Any

from outcrop.engines.protocol import Unsupported
from outcrop.generation import Generation, Sampling

# In this order a top-k of 5 and a top-p of 0.9 mean: 0.9 of what the five tokens hold together.
_SAMPLERS = ("penalties", "top_k", "top_p", "temperature")
# What makes each other sampler do nothing.
_NEUTRAL: dict[str, Any] = {
    "samplers": _SAMPLERS,
    "min_p": 0.0,
    "typical_p": 1.0,
    "top_n_sigma": -1.0,
    "xtc_probability": 0.0,
    "dynatemp_range": 0.0,
    "repeat_penalty": 1.0,
    "dry_multiplier": 0.0,
    "mirostat": 0,
    "adaptive_target": -1.0,
    "min_keep": 0,
    "ignore_eos": False,
    "post_sampling_probs": False,
    "n_keep": 0,
    "stop": (),
}
# The largest unsigned 32-bit number asks llama.cpp for a random seed.
_RANDOM_SEED = 2**32 - 1
# Added to a token's logit so that no other can be drawn.
_CERTAIN = 1e6


def request_body(
    prompt: Sequence[int],
    max_tokens: int,
    sampling: Sampling,
    *,
    grammar: str | None = None,
    logprobs: bool = False,
    cached: bool = False,
) -> dict[str, Any]:
    seed = sampling.seed
    return {
        **_NEUTRAL,
        "prompt": prompt,
        "n_predict": max_tokens,
        # Penalties see the prompt and all of the answer.
        "repeat_last_n": len(prompt) + max_tokens,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k or 0,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logit_bias": sampling.logit_bias,
        "seed": _RANDOM_SEED if seed is None else seed % _RANDOM_SEED,
        "grammar": grammar or "",
        "n_probs": 1 if logprobs else 0,
        # A prompt read in one batch and one read from the cache differ in the last digits: what
        # has to repeat exactly is computed from its first token on, unless its caller set cache
        # points.
        "cache_prompt": cached or (sampling.temperature > 0 and seed is None),
        # What was read from the cache is then told with the first token.
        "timings_per_token": cached,
    }


def forced_body(prompt: Sequence[int], token: int, alternatives: int = 1) -> dict[str, Any]:
    """Makes ``token`` follow ``prompt``; its raw probability is reported with the likeliest
    ``alternatives``. The prompt is kept, so the next longer one costs one token."""
    sampling = Sampling(temperature=0.0, logit_bias=((token, _CERTAIN),))
    body = request_body(prompt, 1, sampling, logprobs=True)
    return {**body, "n_probs": alternatives, "cache_prompt": True}


def refuse_unsupported(generation: Generation, vocabulary_size: int, engine: str) -> None:
    """Raises Unsupported for what llama.cpp would ignore, or its models cannot do."""
    sampling = generation.sampling
    asked = generation.reasoning
    if asked is not None:
        raise Unsupported("reasoning", asked.budget_tokens or asked.effort or "enabled", engine)
    if sampling.normalized_frequency_penalty:
        raise Unsupported(
            "normalized_frequency_penalty", sampling.normalized_frequency_penalty, engine
        )
    for token, _ in sampling.logit_bias:
        if not 0 <= token < vocabulary_size:
            raise Unsupported("logit_bias", token, engine)
