"""How Bedrock's models are asked to think: Converse has no word for it, each family has its own.

What a family has no word for is refused here; whether a model of the family thinks at all, and
which settings it takes beside, AWS says.
"""

from typing import Any

from outcrop.engines.protocol import Unsupported
from outcrop.generation import ReasoningRequest

# Their bodies take OpenAI's field.
_EFFORT_FAMILIES = ("openai.gpt-oss", "moonshotai.kimi", "moonshot.kimi", "deepseek.v3")
# High effort lets Nova refuse a limit of tokens, and every request has one.
_NOVA_EFFORTS = ("low", "medium")


def reasoning_fields(asked: ReasoningRequest, model: str, engine: str) -> dict[str, Any]:
    """The additionalModelRequestFields for the upstream's model ID, profile or ARN."""
    if "anthropic." in model:
        return _claude(asked)
    effort = asked.effort if asked.budget_tokens is None else None
    if "amazon.nova-2" in model and effort in _NOVA_EFFORTS:
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}
    if effort is not None and any(family in model for family in _EFFORT_FAMILIES):
        return {"reasoning_effort": effort}
    raise Unsupported("reasoning", asked.budget_tokens or asked.effort or "enabled", engine)


def _claude(asked: ReasoningRequest) -> dict[str, Any]:
    """Models with a budget know no effort beside it but as a setting of their own."""
    effort = {"output_config": {"effort": asked.effort}} if asked.effort is not None else {}
    if asked.budget_tokens is None:
        return {"thinking": {"type": "adaptive"}} | effort
    return {"thinking": {"type": "enabled", "budget_tokens": asked.budget_tokens}} | effort
