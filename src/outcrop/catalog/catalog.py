"""The models there are, found by any identifier a client may send. Immutable: bindings that change
make a new Catalog, which the caller swaps in whole."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final

from outcrop.catalog.arns import FoundationModelArn, InferenceProfileArn, parse_arn, partition_of
from outcrop.catalog.model import Model
from outcrop.catalog.profiles import SystemProfile
from outcrop.config import Binding, ConfigError

_REGION: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}", re.ASCII)


class NoSuchModel(Exception):
    def __init__(self, identifier: str) -> None:
        super().__init__(f"no model is known by {identifier!r}")
        self.identifier = identifier


class WrongRegion(Exception):
    """The ARN is one of another region or partition."""

    def __init__(self, arn: str, region: str) -> None:
        super().__init__(f"{arn!r} is not an ARN of {region}")
        self.arn = arn
        self.region = region


@dataclass(frozen=True, slots=True)
class _Index:
    """The models as they are bound in one region, or wherever no region has bindings of its own."""

    models: tuple[Model, ...]
    by_id: Mapping[str, Model]
    profiles: Mapping[str, SystemProfile]


class Catalog:
    """``engines`` are the names a model may be bound to. ``bindings`` come from the configuration,
    ``stored`` from the store; later ones win, and one with regions holds in these only. Unknown
    engines, and patterns that match no model, raise ``ConfigError``. ``regions`` are those of the
    deployment, which calls across regions go to."""

    def __init__(
        self,
        models: Iterable[Model],
        *,
        engines: Collection[str],
        bindings: Sequence[Binding] = (),
        stored: Sequence[Binding] = (),
        aliases: Mapping[str, str] | None = None,
        regions: Sequence[str] = (),
    ) -> None:
        self.regions = tuple(regions)
        self._unbound = tuple(models)
        self._engines = frozenset(engines)
        self._configured = tuple(bindings)
        self._aliases = dict(aliases or {})
        self._index((*bindings, *stored))

    def with_bindings(self, stored: Sequence[Binding]) -> "Catalog":
        """A catalog with the configuration's bindings and then these, in place of any before."""
        return Catalog(
            self._unbound,
            engines=self._engines,
            bindings=self._configured,
            stored=stored,
            aliases=self._aliases,
            regions=self.regions,
        )

    def all(self, region: str | None = None) -> tuple[Model, ...]:
        """Every model, or those that exist in ``region`` as they are bound there, in the order of
        the data. Without a region they are bound as wherever no region has bindings of its own."""
        if region is None:
            return self._default.models
        return tuple(model for model in self._in(region).models if _is_offered(model, region))

    def bound(self) -> tuple[Model, ...]:
        """Every model in each way that it is bound: more than once where regions differ."""
        found: dict[str, list[Model]] = {}
        for index in (self._default, *self._by_region.values()):
            for model in index.models:
                ways = found.setdefault(model.id, [])
                if model not in ways:
                    ways.append(model)
        return tuple(model for ways in found.values() for model in ways)

    def ways(self) -> Iterator[tuple[Model, tuple[str, ...]]]:
        """Each way that a model is bound where it exists, with the regions of it; none of them for
        the way in all regions, or in all others."""
        for model in self._default.models:
            own = self._own_ways(model)
            if not model.regions or {*model.regions}.difference(*(regions for _, regions in own)):
                yield model, ()
            yield from ((each, tuple(regions)) for each, regions in own)

    def _own_ways(self, model: Model) -> list[tuple[Model, list[str]]]:
        """Those of regions where it is bound otherwise than by default."""
        found: list[tuple[Model, list[str]]] = []
        for region, index in self._by_region.items():
            here = index.by_id[model.id]
            if here == model or not _is_offered(model, region):
                continue
            same = next((regions for each, regions in found if each == here), None)
            if same is None:
                found.append((here, [region]))
            else:
                same.append(region)
        return found

    def find(self, identifier: str, region: str) -> Model | None:
        """The model meant by its ID, its ARN, or the ID or ARN of a cross-region profile."""
        arn = parse_arn(identifier) if identifier.startswith("arn:") else None
        if isinstance(arn, InferenceProfileArn):
            _check_region(arn, region)
        profile_id = self.find_profile_id(identifier)
        if profile_id is not None:
            profile = self.find_profile(profile_id, region)
            return profile.model if profile else None
        return self.find_foundation_model(identifier, region)

    def find_profile_id(self, identifier: str) -> str | None:
        """The cross-region profile that ``identifier`` names, by its ID or its ARN."""
        arn = parse_arn(identifier) if identifier.startswith("arn:") else None
        profile_id = arn.profile_id if isinstance(arn, InferenceProfileArn) else identifier
        return profile_id if profile_id in self._default.profiles else None

    def get(self, identifier: str, region: str) -> Model:
        model = self.find(identifier, region)
        if model is None:
            raise NoSuchModel(identifier)
        return model

    def find_foundation_model(self, identifier: str, region: str) -> Model | None:
        """The same without profiles: what GetFoundationModel answers for."""
        arn = parse_arn(identifier) if identifier.startswith("arn:") else None
        if isinstance(arn, InferenceProfileArn):
            return None
        if arn is not None:
            _check_region(arn, region)
        model = self._in(region).by_id.get(arn.model_id if arn else identifier)
        return model if model is not None and _is_offered(model, region) else None

    def find_profile(self, profile_id: str, region: str) -> SystemProfile | None:
        """None where calls from ``region`` cannot be made through it."""
        found = self._in(region).profiles.get(profile_id)
        return found if found is not None and found.regions(region, self.regions) else None

    def profiles(self, region: str) -> tuple[SystemProfile, ...]:
        """Those that calls from ``region`` can be made through, in the order of the data."""
        found = self._in(region).profiles.values()
        return tuple(each for each in found if each.regions(region, self.regions))

    def _in(self, region: str) -> _Index:
        return self._by_region.get(region, self._default)

    def _index(self, bindings: Sequence[Binding]) -> None:
        _check_bindings(bindings, self._unbound)
        self._default = self._bound_by([each for each in bindings if not each.regions])
        self._by_region = {
            region: self._bound_by(
                [each for each in bindings if not each.regions or region in each.regions]
            )
            for region in dict.fromkeys(region for each in bindings for region in each.regions)
        }
        _check_engines(self.bound(), self._engines)

    def _bound_by(self, bindings: Sequence[Binding]) -> _Index:
        models = tuple(_bind(model, bindings) for model in self._unbound)
        by_id = {model.id: model for model in models}
        aliases = {
            alias: by_id[target] for alias, target in self._aliases.items() if target in by_id
        }
        profiles = [SystemProfile(each, model) for model in models for each in model.profiles]
        return _Index(models, {**aliases, **by_id}, {each.id: each for each in profiles})


def _is_offered(model: Model, region: str) -> bool:
    return not model.regions or region in model.regions


def _check_region(arn: FoundationModelArn | InferenceProfileArn, region: str) -> None:
    if arn.region != region or arn.partition != partition_of(region):
        raise WrongRegion(str(arn), region)


def _matches(model: Model, pattern: str) -> bool:
    """A variant follows the model it is a variant of."""
    if fnmatchcase(model.id, pattern):
        return True
    return model.base_id is not None and fnmatchcase(model.base_id, pattern)


def _bind(model: Model, bindings: Sequence[Binding]) -> Model:
    for binding in reversed(bindings):
        if _matches(model, binding.pattern):
            return replace(
                model,
                engine=binding.engine,
                engine_model=binding.model,
                standby=binding.standby,
            )
    return model


def _check_bindings(bindings: Sequence[Binding], models: Sequence[Model]) -> None:
    for binding in bindings:
        if not any(_matches(model, binding.pattern) for model in models):
            raise ConfigError(f"bind: no model matches the pattern {binding.pattern!r}")
        for region in binding.regions:
            if not _REGION.fullmatch(region):
                raise ConfigError(
                    f"bind: {region!r} of the pattern {binding.pattern!r} is not the name of a "
                    "region, such as us-east-1"
                )


def _check_engines(models: Sequence[Model], engines: Collection[str]) -> None:
    for model in models:
        for engine in (model.engine, *model.standby):
            if engine is not None and engine not in engines:
                raise ConfigError(
                    f"the model {model.id} is bound to the engine {engine!r}, which does not "
                    f"exist; there are {', '.join(sorted(engines)) or 'none'}"
                )
