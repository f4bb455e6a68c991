"""Reads the catalog's TOML: ``data/*.toml`` of the package, then the files of the configuration.

A file holds one ``provider``, ``[families.<name>]`` (facts its models share) and ``[[models]]``,
each with ``variants``; the keys are the fields of ``Model``. A model's facts win over its family's,
parameter by parameter; a later file's model replaces the earlier one of the same ID. Quotas are
counts a minute, prices US dollars per 1,000 tokens (``training`` of those that a job trains, on the
model and its variants), those of model units dollars an hour, and a unit's worth tokens a minute.
Anything wrong raises ``ConfigError``.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec

from outcrop.catalog.catalog import Catalog
from outcrop.catalog.model import InferenceType, Modality, Model, Parameter
from outcrop.config import Config, ConfigError
from outcrop.config_engines import AtLeastOne

DialectName = Literal[
    "anthropic",
    "titan_text",
    "nova",
    "jurassic2",
    "jamba",
    "cohere_command",
    "cohere_command_r",
    "llama",
    "mistral",
    "mistral_chat",
    "openai_chat",
    "deepseek",
    "titan_embed",
    "cohere_embed",
    "titan_image",
    "stability",
]
Capability = Literal[
    "completions",
    "messages",
    "converse",
    "system",
    "tools",
    "tool_choice",
    "images",
    "documents",
    "video",
    "count_tokens",
    "reasoning",
    "signed_reasoning",
    "cache",
    "citations",
    "s3",
]
Customization = Literal["FINE_TUNING", "CONTINUED_PRE_TRAINING", "DISTILLATION"]
Geography = Literal["us", "us-gov", "eu", "apac", "jp", "au", "global"]

# As the service models have it, so that no model is here that its callers cannot name.
_MODEL_ID: Final = re.compile(
    r"[a-z0-9-]{1,63}\.[a-z0-9-]{1,63}\.?[a-z0-9-]{1,63}(:[a-z0-9-]{1,63}){0,2}"
)


# TOML has infinity and no number at all; a price is neither.
_Price = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]


class _Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    minimum: int | float | None = None
    maximum: int | float | None = None
    default: int | float | str | bool | None = None


class _Quotas(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class _Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    input: _Price | None = None
    output: _Price | None = None
    training: _Price | None = None


class _UnitPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    none: _Price | None = None
    OneMonth: _Price | None = None
    SixMonths: _Price | None = None


class _ModelUnit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    input_tokens: AtLeastOne | None = None
    output_tokens: AtLeastOne | None = None


class _Facts(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What families, models and variants may all say. Absent means: as the one above."""

    name: str | None = None
    dialect: DialectName | None = None
    input_modalities: tuple[Modality, ...] | None = None
    output_modalities: tuple[Modality, ...] | None = None
    streaming: bool | None = None
    customizations: tuple[Customization, ...] | None = None
    inference_types: tuple[InferenceType, ...] | None = None
    lifecycle: Literal["ACTIVE", "LEGACY"] | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    max_input_tokens: int | None = None
    dimensions: tuple[int, ...] | None = None
    supports: frozenset[Capability] | None = None
    provider_model: str | None = None
    product_id: str | None = None
    profiles: tuple[Geography, ...] | None = None
    regions: tuple[str, ...] | None = None
    quotas: _Quotas | None = None
    prices: _Prices | None = None
    unit_prices: _UnitPrices | None = None
    model_unit: _ModelUnit | None = None
    engine: str | None = None
    engine_model: str | None = None
    parameters: dict[str, _Range] = {}
    hyperparameters: dict[str, _Range] = {}


class _Variant(_Facts, frozen=True, kw_only=True):
    """A model whose ID is its model's with ``suffix``; by itself provisioned only."""

    suffix: str
    aliases: tuple[str, ...] = ()


class _Entry(_Facts, frozen=True, kw_only=True):
    id: str
    family: str | None = None
    aliases: tuple[str, ...] = ()
    variants: tuple[_Variant, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: str
    models: tuple[_Entry, ...]
    families: dict[str, _Facts] = {}


class _Readable(Protocol):
    def read_text(self, encoding: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Models:
    """What the files hold: models by ID, and the IDs that other spellings stand for."""

    by_id: dict[str, Model] = field(default_factory=dict[str, Model])
    aliases: dict[str, str] = field(default_factory=dict[str, str])


def load_catalog(config: Config) -> Catalog:
    """The catalog under the bindings of ``config``; the store's are added by ``with_bindings``."""
    models = load_models(config.catalog)
    return Catalog(
        models.by_id.values(),
        engines=config.engine_configs(),
        bindings=config.bind,
        aliases=models.aliases,
        regions=config.regions,
    )


def load_models(user_files: Sequence[Path] = ()) -> Models:
    packaged = _packaged_models()
    models = Models(dict(packaged.by_id), dict(packaged.aliases))
    for path in user_files:
        _read_into(models, str(path), path.expanduser())
    return models


@cache
def _packaged_models() -> Models:
    models = Models()
    packaged = files("outcrop.catalog") / "data"
    for file in sorted(packaged.iterdir(), key=lambda each: each.name):
        if file.name.endswith(".toml"):
            _read_into(models, f"catalog/data/{file.name}", file)
    return models


def _read_into(models: Models, name: str, file: _Readable) -> None:
    content = _parse(name, file)
    seen: set[str] = set()
    for entry in content.models:
        try:
            for model, aliases in _models_of(entry, content):
                if model.id in seen:
                    raise ConfigError(f"the model {model.id} is there twice")
                seen.add(model.id)
                models.by_id[model.id] = model
                models.aliases.update(dict.fromkeys(aliases, model.id))
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error


def _parse(name: str, file: _Readable) -> _File:
    try:
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), _File)
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{name} is not valid TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {error}") from error


def _models_of(entry: _Entry, content: _File) -> Iterable[tuple[Model, tuple[str, ...]]]:
    family = content.families.get(entry.family) if entry.family else _Facts()
    if family is None:
        raise ConfigError(
            f"the model {entry.id} has the family {entry.family!r}, which is not there"
        )
    provider = {"provider": content.provider}
    yield _build(entry.id, [provider, _facts(family), _facts(entry)]), entry.aliases
    for variant in entry.variants:
        if not variant.suffix.startswith(":"):
            raise ConfigError(
                f"the suffix {variant.suffix!r} of {entry.id} does not start with ':'"
            )
        alone: dict[str, Any] = {
            "base_id": entry.id,
            "inference_types": ("PROVISIONED",),
            "customizations": (),
            "profiles": (),
            "quotas": {},
            "prices": {},
        }
        layers = [provider, _facts(family), _facts(entry), alone, _facts(variant)]
        yield _build(entry.id + variant.suffix, layers), variant.aliases


def _facts(facts: _Facts) -> dict[str, Any]:
    """The facts that are stated, under the names of ``Model``'s fields."""
    tables = {
        "quotas": facts.quotas,
        "prices": facts.prices,
        "unit_prices": facts.unit_prices,
        "model_unit": facts.model_unit,
    }
    ranges = ("parameters", "hyperparameters")
    own = {"id", "family", "aliases", "variants", "suffix", *ranges, *tables}
    stated = {
        name: value
        for name in facts.__struct_fields__
        if name not in own and (value := getattr(facts, name)) is not None
    }
    for name, table in tables.items():
        if table is not None:
            stated[name] = msgspec.to_builtins(table)
    for table in ranges:
        stated[table] = {
            name: Parameter(each.minimum, each.maximum, each.default)
            for name, each in getattr(facts, table).items()
        }
    return stated


def _build(model_id: str, layers: Sequence[Mapping[str, Any]]) -> Model:
    facts: dict[str, Any] = {}
    ranges: dict[str, dict[str, Parameter]] = {"parameters": {}, "hyperparameters": {}}
    for layer in layers:
        facts.update(layer)
        for name, merged in ranges.items():
            merged.update(layer.get(name, {}))
    facts |= ranges
    for required in ("name", "dialect", "input_modalities", "output_modalities"):
        if required not in facts:
            raise ConfigError(f"the model {model_id} has no {required!r}")
    model = Model(id=model_id, **facts)
    _check(model)
    return model


def _check(model: Model) -> None:
    if not _MODEL_ID.fullmatch(model.id):
        raise ConfigError(f"{model.id!r} is not a model ID (like 'acme.chat-v1:0')")
    if min(model.context_tokens, model.max_output_tokens, *model.dimensions, 1) < 1:
        raise ConfigError(f"the model {model.id} counts tokens or dimensions below 1")
    if "EMBEDDING" in model.output_modalities and not (model.dimensions and model.max_input_tokens):
        raise ConfigError(f"the model {model.id} needs 'dimensions' and 'max_input_tokens'")
    for name, parameter in (*model.parameters.items(), *model.hyperparameters.items()):
        if not _is_ordered(parameter):
            raise ConfigError(
                f"the range of {name!r} of {model.id} is not minimum ≤ default ≤ maximum"
            )


def _is_ordered(parameter: Parameter) -> bool:
    numbers = [parameter.minimum, parameter.maximum]
    if isinstance(parameter.default, int | float):
        numbers.insert(1, parameter.default)
    present = [number for number in numbers if number is not None]
    return present == sorted(present)
