"""The quotas that there are: of the models, from the catalog, and the others, from ``quotas.toml``.

A model's quotas are its own and its variants'; models that have one name share them.
"""

import hashlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Final, Literal

import msgspec

from outcrop.catalog.model import Model

RateUnit = Literal["requests", "tokens"]
QuotaUnit = Literal["None", "Megabytes", "Gigabytes"]

RATE_UNITS: Final[tuple[RateUnit, ...]] = ("requests", "tokens")


@dataclass(frozen=True, slots=True)
class Quota:
    """``code`` is Service Quotas' (``L-`` and eight hexadecimal digits); ``key`` is ours.
    ``regional`` holds the defaults of the regions where it differs from ``default``."""

    key: str
    code: str
    name: str
    default: float
    adjustable: bool
    period: Literal["MINUTE"] | None = None
    unit: QuotaUnit = "None"
    regional: Mapping[str, float] = field(default_factory=dict[str, float])

    def default_in(self, region: str) -> float:
        return self.regional.get(region, self.default)


@dataclass(frozen=True, slots=True)
class Definitions:
    """``rates`` says under which key a model's calls are limited, by its ID and the unit."""

    by_key: Mapping[str, Quota]
    rates: Mapping[tuple[str, RateUnit], str]


class _Other(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    default: float
    adjustable: bool
    unit: QuotaUnit = "None"


class _Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def of(self, unit: RateUnit) -> float | None:
        return self.requests_per_minute if unit == "requests" else self.tokens_per_minute


class _OfModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str | None = None
    adjustable: bool = True
    regions: dict[str, _Rates] = {}


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    quotas: dict[str, _Other]
    models: dict[str, _OfModel]


@cache
def _packaged() -> _File:
    text = (files("outcrop.quotas") / "quotas.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _File)


def define(models: Iterable[Model]) -> Definitions:
    file = _packaged()
    rates: dict[tuple[str, RateUnit], str] = {}
    found: dict[str, Quota] = {}
    for group in _named(models, file):
        for quota, unit in _rates_of(group, file.models.get(group.models[0].id, _OfModel())):
            found[quota.key] = quota
            rates.update(dict.fromkeys(((model.id, unit) for model in group.models), quota.key))
    for key, other in file.quotas.items():
        found[key] = Quota(
            key, _code(key), other.name, other.default, other.adjustable, unit=other.unit
        )
    return Definitions(found, rates)


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    models: Sequence[Model]


def _named(models: Iterable[Model], file: _File) -> Iterator[_Named]:
    """Models of one name together, if they have the same quotas; else each by itself, told apart
    by its ID."""
    groups: dict[str, list[Model]] = {}
    for model in models:
        if model.quotas and model.base_id is None:
            stated = file.models.get(model.id, _OfModel()).name
            groups.setdefault(stated or f"{model.provider} {model.name}", []).append(model)
    for name, group in groups.items():
        if all(model.quotas == group[0].quotas for model in group):
            yield _Named(name, group)
        else:
            yield from (_Named(f"{name} ({model.id})", [model]) for model in group)


def _rates_of(group: _Named, stated: _OfModel) -> Iterator[tuple[Quota, RateUnit]]:
    model = group.models[0]
    for unit in RATE_UNITS:
        default = model.quotas.get(f"{unit}_per_minute")
        if default is None:
            continue
        key = f"{unit}-per-minute/{model.id}"
        regional = {
            region: value
            for region, rates in stated.regions.items()
            if (value := rates.of(unit)) is not None
        }
        name = f"On-demand InvokeModel {unit} per minute for {group.name}"
        quota = Quota(
            key, _code(key), name, float(default), stated.adjustable, "MINUTE", regional=regional
        )
        yield quota, unit


def _code(key: str) -> str:
    return f"L-{hashlib.sha256(key.encode()).hexdigest()[:8].upper()}"
