"""The models there are, found by any identifier a client may send. Immutable: bindings that change
make a new Catalog, which the caller swaps in whole."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from outcrop.catalog.arns import FoundationModelArn, InferenceProfileArn, parse_arn, partition_of
from outcrop.catalog.geographies import is_in
from outcrop.catalog.model import Model
from outcrop.config import Binding, ConfigError


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


class Catalog:
    """``engines`` are the names a model may be bound to. ``bindings`` come from the configuration,
    ``stored`` from the store; later ones win. Unknown engines, and patterns that match no
    model, raise ``ConfigError``."""

    def __init__(
        self,
        models: Iterable[Model],
        *,
        engines: Collection[str],
        bindings: Sequence[Binding] = (),
        stored: Sequence[Binding] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
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
        )

    def all(self, region: str | None = None) -> tuple[Model, ...]:
        """Every model, or those that exist in ``region``, in the order of the data."""
        if region is None:
            return self._models
        return tuple(model for model in self._models if _is_offered(model, region))

    def find(self, identifier: str, region: str) -> Model | None:
        """The model meant by its ID, its ARN, or the ID or ARN of a cross-region profile."""
        arn = parse_arn(identifier) if identifier.startswith("arn:") else None
        if isinstance(arn, InferenceProfileArn):
            _check_region(arn, region)
        profile_id = self.find_profile_id(identifier)
        if profile_id is not None:
            return self._find_profile(profile_id, region)
        return self.find_foundation_model(identifier, region)

    def find_profile_id(self, identifier: str) -> str | None:
        """The cross-region profile that ``identifier`` names, by its ID or its ARN."""
        arn = parse_arn(identifier) if identifier.startswith("arn:") else None
        profile_id = arn.profile_id if isinstance(arn, InferenceProfileArn) else identifier
        return profile_id if profile_id in self._profiles else None

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
        model = self._by_id.get(arn.model_id if arn else identifier)
        return model if model is not None and _is_offered(model, region) else None

    def _find_profile(self, profile_id: str, region: str) -> Model | None:
        found = self._profiles.get(profile_id)
        if found is None:
            return None
        geography, model = found
        return model if is_in(region, geography) else None

    def _index(self, bindings: Sequence[Binding]) -> None:
        _check_bindings(bindings, self._unbound)
        self._models = tuple(_bind(model, bindings) for model in self._unbound)
        _check_engines(self._models, self._engines)
        by_id = {model.id: model for model in self._models}
        aliases = {
            alias: by_id[target] for alias, target in self._aliases.items() if target in by_id
        }
        self._by_id = {**aliases, **by_id}
        self._profiles = {
            f"{geography}.{model.id}": (geography, model)
            for model in self._models
            for geography in model.profiles
        }


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


def _check_engines(models: Sequence[Model], engines: Collection[str]) -> None:
    for model in models:
        for engine in (model.engine, *model.standby):
            if engine is not None and engine not in engines:
                raise ConfigError(
                    f"the model {model.id} is bound to the engine {engine!r}, which does not "
                    f"exist; there are {', '.join(sorted(engines)) or 'none'}"
                )
