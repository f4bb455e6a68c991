"""A foundation model as the catalog knows it: facts only, no behaviour of a family."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Modality = Literal["TEXT", "IMAGE", "EMBEDDING", "AUDIO", "VIDEO", "SPEECH"]
InferenceType = Literal["ON_DEMAND", "PROVISIONED", "INFERENCE_PROFILE"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """Range and default of one request field, named as the family's own body names it."""

    minimum: float | None = None
    maximum: float | None = None
    default: Any = None


@dataclass(frozen=True, slots=True)
class Model:
    """One model ID. A variant (``anthropic.claude-v2:0:18k``) is a Model too, with ``base_id``.

    ``dialect`` names the module that speaks its InvokeModel JSON; ``parameters`` holds ranges under
    the field names of that JSON (``textGenerationConfig.temperature`` is ``temperature``).
    ``supports`` holds capability words: ``system``, ``tools``, ``tool_choice``, ``images``,
    ``documents``, ``video``, ``converse``, ``completions`` (Claude's text format), ``messages``,
    ``count_tokens``, ``reasoning`` (it can be told to think, and reads its thoughts back),
    ``signed_reasoning`` (its thoughts carry signatures), ``cache`` (it takes cache points),
    ``citations`` (it cites documents), ``s3`` (AWS lets it read media that lie in S3).
    ``product_id`` is its product of the AWS Marketplace, which subscriptions are limited to
    (``aws-marketplace:ProductId``).
    ``profiles`` are the prefixes of the cross-region inference profiles that
    contain it (``us``, ``eu``, …). ``engine`` is the name of the engine that serves it here,
    after bindings, or ``None``; ``engine_model`` is its name at that engine, if that has several;
    ``adapter`` is the ARN of the custom model whose adapter is put on the engine's weights;
    ``hyperparameters`` are the ranges and defaults of what a job that customizes it may be told;
    ``standby`` are the engines that serve it while that one cannot. ``unit_prices`` are US dollars
    an hour for a model unit by commitment (``none``, ``OneMonth``, ``SixMonths``), ``model_unit``
    the ``input_tokens`` and ``output_tokens`` a minute that one is.
    """

    id: str
    name: str
    provider: str
    dialect: str
    input_modalities: tuple[Modality, ...]
    output_modalities: tuple[Modality, ...]
    streaming: bool | None = None
    customizations: tuple[str, ...] = ()
    inference_types: tuple[InferenceType, ...] = ("ON_DEMAND",)
    lifecycle: Literal["ACTIVE", "LEGACY"] = "ACTIVE"
    context_tokens: int = 4096
    max_output_tokens: int = 4096
    dimensions: tuple[int, ...] = ()
    max_input_tokens: int | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    supports: frozenset[str] = frozenset()
    provider_model: str | None = None
    product_id: str | None = None
    base_id: str | None = None
    profiles: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    quotas: Mapping[str, int] = field(default_factory=dict[str, int])
    prices: Mapping[str, float] = field(default_factory=dict[str, float])
    unit_prices: Mapping[str, float] = field(default_factory=dict[str, float])
    model_unit: Mapping[str, int] = field(default_factory=dict[str, int])
    engine: str | None = None
    engine_model: str | None = None
    adapter: str | None = None
    standby: tuple[str, ...] = ()
    hyperparameters: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
