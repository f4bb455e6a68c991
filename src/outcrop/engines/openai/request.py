"""A generation as the body of ``POST /chat/completions``.

What the server cannot honour is refused here. ``stream.py`` finds the stop sequences and the
connection is closed at the first: they go to the server too where it returns the one it met.
"""

from typing import Any

from outcrop.engines.openai.messages import messages
from outcrop.engines.openai.peers import Peer
from outcrop.engines.protocol import Unsupported
from outcrop.generation import Generation, Sampling


def render(generation: Generation, model: str, peer: Peer, engine: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": messages(generation, peer, engine),
        "stream": True,
        "stream_options": _stream_options(peer),
        # Nobody generates nothing: of an answer of length 0 one token is made and dropped.
        peer.max_tokens: max(generation.max_tokens, 1),
        **peer.neutral,
        **peer.stream,
        **_sampling(generation.sampling, peer, engine),
        **_tools(generation, peer, engine),
        **_prefill(generation, peer, engine),
        **_logprobs(generation, engine),
        **_reasoning(generation, peer, engine),
    }
    if generation.json_schema is not None:
        schema = {"name": "answer", "schema": generation.json_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if generation.stop_sequences and peer.include_stop:
        body |= {"stop": generation.stop_sequences, "include_stop_str_in_output": True}
    return body


def tools(generation: Generation) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.schema,
            },
        }
        for tool in generation.tools
    ]


def _stream_options(peer: Peer) -> dict[str, bool]:
    continuous = {"continuous_usage_stats": True} if peer.continuous_usage else {}
    return {"include_usage": True} | continuous


def _sampling(sampling: Sampling, peer: Peer, engine: str) -> dict[str, Any]:
    if sampling.normalized_frequency_penalty:
        value = sampling.normalized_frequency_penalty
        raise Unsupported("normalized_frequency_penalty", value, engine)
    if sampling.top_k and not peer.top_k:
        raise Unsupported("top_k", sampling.top_k, engine)
    if sampling.logit_bias and not peer.logit_bias:
        raise Unsupported("logit_bias", dict(sampling.logit_bias), engine)
    fields: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
    }
    optional = {
        "top_k": sampling.top_k,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logit_bias": {str(token): bias for token, bias in sampling.logit_bias},
    }
    fields |= {name: value for name, value in optional.items() if value}
    return fields if sampling.seed is None else fields | {"seed": sampling.seed}


def _tools(generation: Generation, peer: Peer, engine: str) -> dict[str, Any]:
    choice = generation.tool_choice
    if not generation.tools:
        return {}
    if choice.mode in ("any", "tool") and not peer.tool_choice:
        raise Unsupported("tool_choice", choice.name or choice.mode, engine)
    offered = tools(generation)
    match choice.mode:
        case "none" if not peer.tool_choice:
            return {}
        case "tool" if not peer.named_tool:
            named = [tool for tool in offered if tool["function"]["name"] == choice.name]
            return {"tools": named, "tool_choice": "required"}
        case "tool":
            function = {"type": "function", "function": {"name": choice.name}}
            return {"tools": offered, "tool_choice": function}
        case "any":
            return {"tools": offered, "tool_choice": "required"}
        case "none":
            return {"tools": offered, "tool_choice": "none"}
        case "auto":
            return {"tools": offered} | ({"tool_choice": "auto"} if peer.tool_choice else {})


def _prefill(generation: Generation, peer: Peer, engine: str) -> dict[str, Any]:
    if generation.turns[-1].role != "assistant":
        return {}
    if peer.prefill is None:
        raise Unsupported("the last turn's role", "assistant", engine)
    return dict(peer.prefill)


def _logprobs(generation: Generation, engine: str) -> dict[str, Any]:
    match generation.logprobs:
        case "none":
            return {}
        case "generation":
            return {"logprobs": True, "top_logprobs": 1}
        case "all":
            # A chat stream carries no log-probabilities of the prompt on any of these servers.
            raise Unsupported("logprobs", "all", engine)


def _reasoning(generation: Generation, peer: Peer, engine: str) -> dict[str, Any]:
    asked = generation.reasoning
    if asked is None:
        return {}
    if asked.budget_tokens is not None and peer.budget:
        effort = {"reasoning_effort": asked.effort} if asked.effort else {}
        return {"thinking_token_budget": asked.budget_tokens} | effort
    if asked.budget_tokens is None and asked.effort is not None and peer.effort:
        return {"reasoning_effort": asked.effort}
    # No server documents a word for thinking by itself, without a measure.
    raise Unsupported("reasoning", asked.budget_tokens or asked.effort or "enabled", engine)
