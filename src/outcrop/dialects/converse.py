"""Converse: one request and answer form for every model, over the same types as the families.

``params`` is always the wire-validated input. Sources: botocore's bedrock-runtime model, recorded
exchanges of 2024 to 2026, and AWS's texts as public issue reports quote them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from outcrop.catalog.model import Model
from outcrop.dialects.converse_citations import render_cited_text
from outcrop.dialects.converse_request import Extend, check_features, read_generation
from outcrop.errors import ValidationException
from outcrop.generation import (
    AnswerPart,
    Completion,
    Finished,
    Generation,
    Reasoning,
    Stop,
    Text,
    ToolUse,
)

NOT_COUNTED: Final = "The provided model doesn't support counting tokens."
STOP_REASONS: Final[Mapping[Stop, str]] = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "filtered": "content_filtered",
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
        "usage": render_usage(answer, params, model, is_whole=True),
    }
    if native is not None and wants_native(params):
        body |= render_response_fields(params["additionalModelResponseFieldPaths"], native)
    return {**body, **render_echo(params)}


def wants_native(params: Mapping[str, Any]) -> bool:
    return bool(params.get("additionalModelResponseFieldPaths"))


def render_usage(
    done: Completion | Finished, params: Mapping[str, Any], model: Model, *, is_whole: bool
) -> dict[str, Any]:
    """The prompt cache is told of where it was asked for, and in every whole answer of a recent
    Claude. Each of its counts has two names."""
    read, written = done.cache_read_tokens, done.cache_write_tokens
    usage: dict[str, Any] = {
        "inputTokens": done.input_tokens,
        "outputTokens": done.output_tokens,
        "serverToolUsage": {},
        "totalTokens": done.input_tokens + done.output_tokens + read + written,
    }
    is_recent_claude = _is_recent_claude(model)
    if read or written or asks_for_cache(params) or (is_whole and is_recent_claude):
        usage |= {
            "cacheReadInputTokenCount": read,
            "cacheReadInputTokens": read,
            "cacheWriteInputTokenCount": written,
            "cacheWriteInputTokens": written,
        }
    if written and is_recent_claude:
        usage["cacheDetails"] = [{"inputTokens": written, "ttl": "5m"}]
    return usage


def asks_for_cache(params: Mapping[str, Any]) -> bool:
    messages: Sequence[Mapping[str, Any]] = params.get("messages", ())
    lists: list[Sequence[Mapping[str, Any]]] = [
        params.get("system", ()),
        params.get("toolConfig", {}).get("tools", ()),
        *(message["content"] for message in messages),
    ]
    return any("cachePoint" in block for blocks in lists for block in blocks)


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
    parts = answer.parts
    if model.dialect == "deepseek":
        # R1's thoughts stand behind its text (recorded); every other model's stand before.
        parts = sorted(parts, key=lambda part: isinstance(part, Reasoning))
    return [_block(part, model) for part in parts] or [{"text": ""}]


def _block(part: AnswerPart, model: Model) -> dict[str, Any]:
    match part:
        case Text():
            return render_cited_text(part) if part.citations else {"text": part.text}
        case Reasoning(redacted=bytes(redacted)):
            return {"reasoningContent": {"redactedContent": redacted}}
        case Reasoning():
            signature = {} if part.signature is None else {"signature": part.signature}
            return {"reasoningContent": {"reasoningText": {**signature, "text": part.text}}}
        case ToolUse():
            tool_use = {"input": part.input, "name": part.name, "toolUseId": part.id}
            return {"toolUse": tool_use | render_tool_type(model)}


def render_tool_type(model: Model) -> dict[str, str]:
    """Only recent Claude models tell it of the caller's own tools (recorded)."""
    return {"type": "tool_use"} if _is_recent_claude(model) else {}


def _is_recent_claude(model: Model) -> bool:
    """AWS counts tokens for just those models whose whole answers carry the members of 2025."""
    return "count_tokens" in model.supports
