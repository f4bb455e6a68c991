"""Anthropic Claude on InvokeModel: a body with ``messages`` is the messages format, any other the
text completions, for models that have both; a model with one of them refuses the other's body."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from outcrop.catalog.model import Model
from outcrop.dialects import anthropic_answers, anthropic_messages, anthropic_text
from outcrop.dialects.protocol import Chunks, Rendering
from outcrop.errors import ValidationException
from outcrop.generation import Completion, Generation


def parse(body: Any, model: Model) -> Generation:
    if _is_messages(body, model):
        _check_offers_completions(body, model)
        return anthropic_messages.parse(body, model)
    return anthropic_text.parse(body, model)


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    if _is_messages(rendering.body, rendering.model):
        return anthropic_answers.render(answers, rendering)
    return anthropic_text.render(answers, rendering)


def chunks(rendering: Rendering) -> Chunks:
    if _is_messages(rendering.body, rendering.model):
        return anthropic_answers.chunks(rendering)
    return anthropic_text.chunks(rendering)


def extend(generation: Generation, fields: Mapping[str, Any], model: Model) -> Generation:
    if "messages" in model.supports:
        return anthropic_messages.extend(generation, fields, model)
    return anthropic_text.extend(generation, fields, model)


def _is_messages(body: Any, model: Model) -> bool:
    if "completions" not in model.supports:
        return True
    return "messages" in model.supports and isinstance(body, dict) and "messages" in body


def _check_offers_completions(body: Any, model: Model) -> None:
    """A text completion sent to a model of messages only is told which API it should use."""
    is_completion = isinstance(body, dict) and "prompt" in cast("dict[str, Any]", body)
    if is_completion and "completions" not in model.supports:
        raise ValidationException(
            f'"{model.provider_model or model.id}" is not supported on this API. '
            "Please use the Messages API instead."
        )
