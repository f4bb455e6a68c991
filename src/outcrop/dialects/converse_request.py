"""Converse's request: checked in AWS's words, then read as a Generation.

What Outcrop cannot act on is refused, never ignored; a member at its neutral value, and
requestMetadata, change no answer and pass.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, cast

import msgspec
from msgspec.structs import replace

from outcrop.catalog.model import Model
from outcrop.dialects.converse_blocks import read_cache_point, unsupported_field
from outcrop.dialects.converse_messages import read_turns
from outcrop.dialects.media import check_cache_points
from outcrop.dialects.settings import EFFORTS
from outcrop.errors import ValidationException
from outcrop.generation import CachePoint, Generation, Sampling, Tool, ToolChoice
from outcrop.prompting.errors import SchemaInvalid, SchemaUnsupported
from outcrop.prompting.schemas import check

Extend = Callable[[Generation, Mapping[str, Any], Model], Generation]

# The families' own names of what inferenceConfig calls maxTokens and topP.
_MAX_TOKENS: Final = (
    "maxTokens", "max_tokens", "max_gen_len", "maxTokenCount", "max_tokens_to_sample",
    "max_completion_tokens", "max_new_tokens",
)  # fmt: skip
_TOP_P: Final = ("topP", "top_p", "p")
_TOP_K: Final = ("topK", "top_k", "k")


def check_features(params: Mapping[str, Any]) -> None:
    """Refuses the members whose features are not built, unless they are neutral."""
    if params.get("guardrailConfig", {}).get("guardrailIdentifier"):
        raise unsupported_field("guardrailConfig")
    if params.get("promptVariables"):
        raise unsupported_field("promptVariables")
    if params.get("performanceConfig", {}).get("latency", "standard") != "standard":
        raise unsupported_field("performanceConfig.latency")
    if params.get("serviceTier", {}).get("type", "default") != "default":
        raise unsupported_field("serviceTier")


def read_generation(params: Mapping[str, Any], model: Model, extend: Extend | None) -> Generation:
    tools, choice = _read_tools(params.get("toolConfig"), model)
    config: Mapping[str, Any] = params.get("inferenceConfig", {})
    generation = Generation(
        turns=read_turns(params.get("messages", ()), model, has_tools=bool(tools)),
        max_tokens=_max_tokens(config, model),
        system=_read_system(params.get("system", ()), model),
        sampling=_sampling(config, model),
        stop_sequences=tuple(config.get("stopSequences", ())),
        tools=tools,
        tool_choice=choice,
        json_schema=_read_output_schema(params.get("outputConfig", {})),
        cached=_read_cached(params, model),
    )
    _check_cache_points(generation)
    return _with_effort(_extended(generation, params, model, extend), params)


def _read_cached(params: Mapping[str, Any], model: Model) -> frozenset[Literal["system", "tools"]]:
    """A point in the middle of the system text or the tools counts as one at their end."""
    blocks: dict[Literal["system", "tools"], Sequence[Mapping[str, Any]]] = {
        "system": params.get("system", ()),
        "tools": params.get("toolConfig", {}).get("tools", ()),
    }
    cached: set[Literal["system", "tools"]] = set()
    for part, within in blocks.items():
        for block in within:
            if "cachePoint" in block:
                read_cache_point(block["cachePoint"], model)
                cached.add(part)
    return frozenset(cached)


def _check_cache_points(generation: Generation) -> None:
    points = sum(isinstance(part, CachePoint) for turn in generation.turns for part in turn.parts)
    try:
        check_cache_points(points + len(generation.cached))
    except ValidationException as error:
        raise model_refusal(error.message) from error


def _with_effort(generation: Generation, params: Mapping[str, Any]) -> Generation:
    """``outputConfig.effort`` says how hard a model thinks that was told to think."""
    effort = params.get("outputConfig", {}).get("effort")
    if not effort:
        return generation
    if generation.reasoning is None or effort not in EFFORTS:
        raise unsupported_field("outputConfig.effort")
    return replace(generation, reasoning=replace(generation.reasoning, effort=effort))


def _extended(
    generation: Generation, params: Mapping[str, Any], model: Model, extend: Extend | None
) -> Generation:
    fields = params.get("additionalModelRequestFields")
    if fields is None or fields == {}:
        return generation
    if not isinstance(fields, Mapping):
        raise invalid_object("additionalModelRequestFields")
    if extend is None:
        raise unsupported_field("additionalModelRequestFields")
    try:
        return extend(generation, cast("Mapping[str, Any]", fields), model)
    except ValidationException as error:
        raise model_refusal(error.message) from error


def invalid_object(path: str) -> ValidationException:
    return ValidationException(
        f"The format of the value at {path} is invalid. "
        "Provide a json object for the field and try again."
    )


def _max_tokens(config: Mapping[str, Any], model: Model) -> int:
    limit = model.max_output_tokens
    asked = config.get("maxTokens")
    if asked is None:
        # Converse's own default is all the model can write, not the family's.
        return limit
    for name in _MAX_TOKENS:
        parameter = model.parameters.get(name)
        if parameter is not None and parameter.maximum is not None:
            limit = min(limit, int(parameter.maximum))
    if asked > limit:
        raise ValidationException(
            f"The maximum tokens you requested exceeds the model limit of {limit}. "
            f"Try again with a maximum tokens value that is lower than {limit}."
        )
    return asked


def _sampling(config: Mapping[str, Any], model: Model) -> Sampling:
    temperature = config.get("temperature", _default(model, "temperature"))
    top_p = config.get("topP", _default(model, *_TOP_P))
    return Sampling(
        temperature=1.0 if temperature is None else temperature,
        top_p=None if top_p == 1 else top_p,
        top_k=_default(model, *_TOP_K) or None,
    )


def _default(model: Model, *names: str) -> Any:
    return next(
        (model.parameters[name].default for name in names if name in model.parameters), None
    )


def _read_system(blocks: Sequence[Mapping[str, Any]], model: Model) -> str | None:
    texts: list[str] = []
    for block in blocks:
        for kind in block.keys() - {"text", "cachePoint"}:
            raise unsupported_field(f"system.{kind}")
        if "text" in block:
            texts.append(block["text"])
    if texts and "system" not in model.supports:
        raise ValidationException(
            "This model doesn't support system messages. "
            "Try again without a system message or use a model that supports system messages."
        )
    return "\n".join(texts) if texts else None


def _read_output_schema(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if "textFormat" not in config:
        return None
    path = "outputConfig.textFormat.structure.jsonSchema.schema"
    text = config["textFormat"]["structure"].get("jsonSchema", {}).get("schema", "")
    try:
        schema = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise invalid_object(path) from error
    return _checked(schema, path)


def _read_tools(
    config: Mapping[str, Any] | None, model: Model
) -> tuple[tuple[Tool, ...], ToolChoice]:
    if config is None:
        return (), ToolChoice()
    if "tools" not in model.supports:
        raise ValidationException("This model doesn't support tool use.")
    tools = tuple(
        _read_tool(index, entry)
        for index, entry in enumerate(config["tools"])
        if "cachePoint" not in entry
    )
    if len({tool.name for tool in tools}) < len(tools):
        raise model_refusal("tools: Tool names must be unique.")
    return tools, _read_choice(config.get("toolChoice", {}), tools, model)


def _read_tool(index: int, entry: Mapping[str, Any]) -> Tool:
    if "toolSpec" not in entry:
        raise unsupported_field(f"toolConfig.tools.{index}.{next(iter(entry), 'toolSpec')}")
    # ``strict`` asks for what every tool gets here: arguments bound by the schema.
    spec = entry["toolSpec"]
    path = f"toolConfig.tools.{index}.toolSpec.inputSchema.json"
    schema = _checked(spec["inputSchema"].get("json"), path)
    if schema.get("type", "object") != "object":
        raise ValidationException(f"The value at {path}.type must be one of the following: object.")
    return Tool(spec["name"], spec.get("description", ""), schema)


def _checked(schema: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(schema, Mapping):
        raise invalid_object(path)
    found = cast("Mapping[str, Any]", schema)
    try:
        check(found)
    except (SchemaInvalid, SchemaUnsupported) as error:
        raise ValidationException(
            f"The value at {path} is not a JSON schema that can be used: {error}"
        ) from error
    return found


def _read_choice(choice: Mapping[str, Any], tools: Sequence[Tool], model: Model) -> ToolChoice:
    mode = next(iter(choice), "auto")
    if mode != "auto" and "tool_choice" not in model.supports:
        raise unsupported_field(f"toolConfig.toolChoice.{mode}")
    if mode != "tool":
        return ToolChoice("any" if mode == "any" else "auto")
    name = choice["tool"]["name"]
    if name not in {tool.name for tool in tools}:
        raise model_refusal(f"tool_choice: the tool {name!r} is not among the tools.")
    return ToolChoice("tool", name)


def model_refusal(reason: str) -> ValidationException:
    """What a model's own checks find, as Converse passes it on."""
    return ValidationException(f"The model returned the following errors: {reason}")
