"""How a Claude request asks the model to think: ``thinking`` and ``output_config.effort``.

Texts are the provider's, as public reports of 2025 and 2026 quote them.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from msgspec.structs import replace

from outcrop.catalog.model import Model
from outcrop.dialects import settings
from outcrop.dialects.anthropic_fields import as_object, close, field, refuse, tag
from outcrop.errors import ValidationException
from outcrop.generation import Generation, ReasoningRequest

MEMBERS: Final = frozenset({"thinking", "output_config"})
_FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "enabled": ("type", "budget_tokens", "display"),
    "adaptive": ("type", "display"),
    "disabled": ("type",),
}
_LEAST_BUDGET: Final = 1_024
_LEAST_TOP_P: Final = 0.95
# Claude 4.6 brought adaptive thinking; since 4.7 it is the only one.
_ADAPTIVE_SINCE: Final = (4, 6)
_ADAPTIVE_ONLY_SINCE: Final = (4, 7)


def with_thinking(
    generation: Generation, members: Mapping[str, Any], model: Model, version: tuple[int, int]
) -> Generation:
    """``generation`` as ``members`` ask it to think, once the rest of it allows that."""
    asked = _parse_thinking(members.get("thinking"), model, version)
    effort = _parse_effort(members.get("output_config"), model)
    if asked is None:
        if effort not in (None, "high"):
            told = "Ask for thinking as well, or leave it out."
            raise settings.not_honoured("output_config.effort", effort, told)
        return generation
    _check_thinking(generation, asked)
    return replace(generation, reasoning=replace(asked, effort=effort))


def _parse_thinking(
    thinking: Any, model: Model, version: tuple[int, int]
) -> ReasoningRequest | None:
    if thinking is None or thinking == {"type": "disabled"}:
        return None
    if "reasoning" not in model.supports:
        refuse("thinking", "Extra inputs are not permitted")
    members = as_object(thinking, "thinking")
    kind = tag(field(members, "type", str, "thinking"), _FORMS, "thinking")
    path = f"thinking.{kind}"
    close(members, _FORMS[kind], path)
    if members.get("display") not in (None, "summarized"):
        refuse(f"{path}.display", "Input should be 'summarized'")
    if kind == "adaptive":
        if version < _ADAPTIVE_SINCE:
            raise ValidationException("adaptive thinking is not supported on this model")
        return ReasoningRequest()
    return ReasoningRequest(budget_tokens=_budget(members, path, version))


def _budget(members: Mapping[str, Any], path: str, version: tuple[int, int]) -> int:
    if version >= _ADAPTIVE_ONLY_SINCE:
        raise ValidationException(
            '"thinking.type.enabled" is not supported for this model. Use '
            '"thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        )
    budget: int = field(members, "budget_tokens", int, path)
    if isinstance(cast("Any", budget), bool):
        refuse(f"{path}.budget_tokens", "Input should be a valid integer")
    if budget < _LEAST_BUDGET:
        refuse(f"{path}.budget_tokens", f"Input should be greater than or equal to {_LEAST_BUDGET}")
    return budget


def _parse_effort(config: Any, model: Model) -> str | None:
    if config is None:
        return None
    if "reasoning" not in model.supports:
        refuse("output_config", "Extra inputs are not permitted")
    members = as_object(config, "output_config")
    close(members, ("effort",), "output_config")
    effort: Any = members.get("effort")
    if effort is not None and effort not in settings.EFFORTS:
        refuse("output_config.effort", "Input should be 'low', 'medium' or 'high'")
    return effort


def _check_thinking(generation: Generation, asked: ReasoningRequest) -> None:
    sampling = generation.sampling
    faults = (
        (sampling.temperature != 1, "`temperature` may only be set to 1 when thinking is enabled."),
        (
            sampling.top_p is not None and sampling.top_p < _LEAST_TOP_P,
            f"`top_p` must be greater than or equal to {_LEAST_TOP_P} or unset when thinking is "
            "enabled.",
        ),
        (sampling.top_k is not None, "`top_k` must be unset when thinking is enabled."),
        (
            generation.max_tokens <= (asked.budget_tokens or 0),
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
        ),
        (
            generation.tool_choice.mode in ("any", "tool"),
            "Thinking may not be enabled when tool_choice forces tool use.",
        ),
    )
    for is_broken, told in faults:
        if is_broken:
            raise ValidationException(told)
