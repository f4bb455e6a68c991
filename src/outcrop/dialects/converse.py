"""Converse: one request and answer form for every model, over the same types as the families.

``params`` is always the wire-validated input. Sources: botocore's bedrock-runtime model, recorded
exchanges of 2024 to 2026, and AWS's texts as public issue reports quote them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from outcrop.catalog.model import Model
from outcrop.dialects.converse_request import Extend, check_features, read_generation
from outcrop.errors import ValidationException
from outcrop.generation import Completion, Generation, Stop, Text, ToolUse

NOT_COUNTED: Final = "The provided model doesn't support counting tokens."
STOP_REASONS: Final[Mapping[Stop, str]] = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
}


def parse(params: Mapping[str, Any], model: Model, extend: Extend | None = None) -> Generation:
    """``extend`` is that of the family's dialect, for additionalModelRequestFields."""
    if "converse" not in model.supports:
        raise ValidationException(
            "This action doesn't support the model that you provided. "
            "Try again with a supported text or chat model."
        )
    check_features(params)
    return read_generation(params, model, extend)


def count_tokens_generation(
    params: Mapping[str, Any], model: Model, extend: Extend | None = None
) -> Generation:
    """``params`` is the ``converse`` member of CountTokens' input."""
    if "count_tokens" not in model.supports:
        raise ValidationException(NOT_COUNTED)
    return parse(params, model, extend)


def render(
    answer: Completion,
    params: Mapping[str, Any],
    model: Model,
    elapsed_ms: int,
    native: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The members of ConverseResponse. ``native`` is the answer as the family's own dialect renders
    it; needed when ``wants_native(params)``.

    Titan's recorded texts start with "Bot: ", which its model wrote; it is not added to ours.
    """
    body: dict[str, Any] = {
        "metrics": {"latencyMs": elapsed_ms},
        "output": {"message": {"content": _content(answer, model), "role": "assistant"}},
        "stopReason": STOP_REASONS[answer.stop],
        "usage": render_usage(answer.input_tokens, answer.output_tokens, model),
    }
    if native is not None and wants_native(params):
        body |= render_response_fields(params["additionalModelResponseFieldPaths"], native)
    return {**body, **render_echo(params)}


def wants_native(params: Mapping[str, Any]) -> bool:
    return bool(params.get("additionalModelResponseFieldPaths"))


def render_usage(
    input_tokens: int, output_tokens: int, model: Model | None = None
) -> dict[str, Any]:
    """``model`` is given for whole answers: only those report the prompt cache, empty here."""
    usage: dict[str, Any] = {
        "inputTokens": input_tokens,
        "outputTokens": output_tokens,
        "serverToolUsage": {},
        "totalTokens": input_tokens + output_tokens,
    }
    if model is not None and _is_recent_claude(model):
        usage |= {
            "cacheReadInputTokenCount": 0,
            "cacheReadInputTokens": 0,
            "cacheWriteInputTokenCount": 0,
            "cacheWriteInputTokens": 0,
        }
    return usage


def render_echo(params: Mapping[str, Any]) -> dict[str, Any]:
    """What AWS repeats of a request that named it."""
    return {name: params[name] for name in ("performanceConfig", "serviceTier") if name in params}


def render_response_fields(paths: Sequence[str], native: Mapping[str, Any]) -> dict[str, Any]:
    """The members of ``native`` that the JSON pointers name, in their places; others are absent."""
    fields: dict[str, Any] = {}
    for path in paths:
        steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]
        if steps and path.startswith("/"):
            _copy(native, fields, steps)
    return {"additionalModelResponseFields": fields} if fields else {}


def _copy(source: Mapping[str, Any], target: dict[str, Any], steps: Sequence[str]) -> None:
    value: Any = source
    for step in steps:
        if isinstance(value, Mapping) and step in value:
            value = cast("Mapping[str, Any]", value)[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(_list(value)):
            value = _list(value)[int(step)]
        else:
            return
    for step in steps[:-1]:
        inner = target.get(step)
        if not isinstance(inner, dict):
            inner = target[step] = dict[str, Any]()
        target = cast("dict[str, Any]", inner)
    target[steps[-1]] = value


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value)


def _content(answer: Completion, model: Model) -> list[dict[str, Any]]:
    blocks = [_block(part, model) for part in answer.parts]
    return blocks or [{"text": ""}]


def _block(part: Text | ToolUse, model: Model) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    tool_use: dict[str, Any] = {"input": part.input, "name": part.name, "toolUseId": part.id}
    return {"toolUse": tool_use | render_tool_type(model)}


def render_tool_type(model: Model) -> dict[str, str]:
    """Only recent Claude models tell it of the caller's own tools (recorded)."""
    return {"type": "tool_use"} if _is_recent_claude(model) else {}


def _is_recent_claude(model: Model) -> bool:
    """AWS counts tokens for just those models whose whole answers carry the members of 2025."""
    return "count_tokens" in model.supports
