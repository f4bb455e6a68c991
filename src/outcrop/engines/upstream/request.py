"""A generation as the body of Converse; what Converse has no word for is refused here."""

from typing import Any, Literal

import msgspec

from outcrop.engines.protocol import Unsupported
from outcrop.engines.upstream.content import CACHE_POINT, blocks, has_media
from outcrop.engines.upstream.reasoning import reasoning_fields
from outcrop.generation import Generation, Sampling, ToolResult, ToolUse

# Converse names no top-k: these providers' models take it in the place it has in their own body.
_TOP_K = {
    "anthropic.": ("top_k",),
    "cohere.": ("k",),
    "mistral.": ("top_k",),
    "amazon.nova": ("inferenceConfig", "topK"),
}
_REFUSED_SAMPLERS = (
    "presence_penalty",
    "frequency_penalty",
    "normalized_frequency_penalty",
    "logit_bias",
    "seed",
)
REFUSED = (*_REFUSED_SAMPLERS, "json_schema", "logprobs, generation", "logprobs, all")


def render(generation: Generation, model: str, engine: str) -> dict[str, Any]:
    _check(generation, engine)
    body = conversation(generation, engine)
    body["inferenceConfig"] = _inference(generation)
    fields: dict[str, Any] = {}
    if generation.sampling.top_k:
        fields |= _top_k(generation.sampling.top_k, model, engine)
    if generation.reasoning is not None:
        fields |= reasoning_fields(generation.reasoning, model, engine)
    if fields:
        body["additionalModelRequestFields"] = fields
    if len(generation.stop_sequences) > 1:
        # Which of several was met is told only by models that have this field.
        body["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    return body


def conversation(generation: Generation, engine: str) -> dict[str, Any]:
    """Messages, system and tools: what CountTokens reads too."""
    body: dict[str, Any] = {
        "messages": [
            {"role": turn.role, "content": blocks(turn.parts)} for turn in generation.turns
        ]
    }
    if generation.system is not None:
        body["system"] = [{"text": generation.system}, *_cache_point("system", generation)]
    if generation.tools and generation.tool_choice.mode == "none":
        parts = [part for turn in generation.turns for part in turn.parts]
        if any(isinstance(part, ToolUse | ToolResult) for part in parts):
            raise Unsupported("tool_choice", "none", engine)
    elif generation.tools:
        body["toolConfig"] = _tools(generation)
    return body


def _cache_point(place: Literal["system", "tools"], generation: Generation) -> list[Any]:
    return [CACHE_POINT] if place in generation.cached else []


def _tools(generation: Generation) -> dict[str, Any]:
    choice = generation.tool_choice
    tools: list[dict[str, Any]] = []
    for tool in generation.tools:
        specification: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": tool.schema}}
        if tool.description:
            specification["description"] = tool.description
        tools.append({"toolSpec": specification})
    return {
        "tools": [*tools, *_cache_point("tools", generation)],
        "toolChoice": {choice.mode: {"name": choice.name} if choice.mode == "tool" else {}},
    }


def _inference(generation: Generation) -> dict[str, Any]:
    sampling = generation.sampling
    # Converse generates one token at least; of an answer of length 0 it is dropped.
    fields: dict[str, Any] = {"maxTokens": max(generation.max_tokens, 1)}
    # Newer models refuse both at once, so a neutral temperature beside top-p is not sent.
    if sampling.top_p is None or sampling.temperature != 1.0:
        fields["temperature"] = sampling.temperature
    if sampling.top_p is not None:
        fields["topP"] = sampling.top_p
    if generation.stop_sequences:
        fields["stopSequences"] = generation.stop_sequences
    return fields


def _top_k(top_k: int, model: str, engine: str) -> dict[str, Any]:
    for family, place in _TOP_K.items():
        if family in model:
            fields: Any = top_k
            for name in reversed(place):
                fields = {name: fields}
            return fields
    raise Unsupported("top_k", top_k, engine)


def _check(generation: Generation, engine: str) -> None:
    sampling, neutral = generation.sampling, Sampling()
    for name in _REFUSED_SAMPLERS:
        if getattr(sampling, name) != getattr(neutral, name):
            raise Unsupported(name, getattr(sampling, name), engine)
    if generation.logprobs != "none":
        raise Unsupported("logprobs", generation.logprobs, engine)
    if generation.json_schema is not None:
        raise Unsupported("json_schema", generation.json_schema, engine)
    limit = generation.max_input_tokens
    if generation.truncate == "none" or limit is None:
        return
    # No text has more tokens than bytes: what is short needs no cut.
    longest = len(msgspec.json.encode((generation.system, generation.turns)))
    if longest > limit or has_media(generation):
        raise Unsupported("truncate", generation.truncate, engine)
