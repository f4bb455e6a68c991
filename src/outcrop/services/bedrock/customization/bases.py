"""Which models a job can customize, and whether their weights can be trained on this machine.

A model is customized in the variant of it that the catalog marks so: a job of the model
``amazon.titan-text-express-v1`` trains ``amazon.titan-text-express-v1:0:8k``, as AWS's do.
"""

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from outcrop.catalog.model import Model
from outcrop.config import Llama, OpenAI
from outcrop.engines.gguf import GgufError
from outcrop.engines.protocol import EngineError
from outcrop.errors import ResourceNotFoundException, ValidationException
from outcrop.services.call import Call
from outcrop.stores.model_records import CustomModel
from outcrop.stores.resources import Place
from outcrop.training.rope import find_scaled_positions
from outcrop.training.spec import CustomizationType

TYPES: Final[tuple[CustomizationType, ...]] = ("FINE_TUNING", "CONTINUED_PRE_TRAINING")

_UNRESOLVED: Final = "Could not resolve the foundation model from the provided model identifier."
_LIBRARIES: Final = ("torch", "transformers", "peft", "gguf", "safetensors")


def read_type(asked: str) -> CustomizationType:
    for each in TYPES:
        if each == asked:
            return each
    raise ValidationException(
        f"The customization type {asked} is not supported. Use {' or '.join(TYPES)}."
    )


def get_base(call: Call, identifier: str, type: CustomizationType) -> Model:
    """The variant that is trained. Raises for what is no such model here."""
    model = call.catalog.find_foundation_model(identifier, call.region)
    if model is None:
        raise _unresolved(call, identifier)
    variants = [each for each in call.catalog.all(call.region) if each.base_id == model.id]
    choices = [each for each in (model, *variants) if each.customizations]
    if not choices:
        raise ValidationException(f"The model {model.id} does not support customization.")
    if "TEXT" not in model.output_modalities:
        raise ValidationException(
            f"The model {model.id} cannot be customized in this deployment, which trains models "
            "that write text."
        )
    found = next((each for each in choices if type in each.customizations), None)
    if found is None:
        raise ValidationException(
            f"The model {model.id} does not support the customization type {type}."
        )
    return found


async def require_trainable(call: Call, base: Model) -> str:
    """The fingerprint of the weights behind the model. Raises where they cannot be trained."""
    return await asyncio.to_thread(_require_trainable, call, base)


def _require_trainable(call: Call, base: Model) -> str:
    """Reads files."""
    refused = f"The model {base.id} cannot be customized in this deployment"
    engine = base.engine
    if engine is None:
        raise ValidationException(f"{refused}: it is bound to no engine.")
    try:
        config = call.engines.config(engine)
        if not (isinstance(config, Llama | OpenAI) and _has_weights(call, engine, config)):
            raise ValidationException(
                f"{refused}: its engine {engine!r} has no weights that can be trained here. Bind "
                "the model to an engine of llama.cpp, or tell where the weights behind an "
                "OpenAI-compatible one are ([training] bases)."
            )
        fingerprint = call.engines.fingerprint(engine, base.engine_model)
        if not fingerprint:
            raise ValidationException(
                f"{refused}: nothing tells which weights are behind its engine {engine!r}. The "
                "setting model of the engine's configuration is to name them as its server does."
            )
        scaled = _find_scaled_positions(call, engine)
    except EngineError as error:
        raise ValidationException(f"{refused} now: {error}") from error
    if scaled is not None:
        raise ValidationException(f"{refused}: {scaled}.")
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        raise ValidationException(
            f"{refused}: it has no {', '.join(missing)}. Its operator installs what training needs "
            "with the extra 'train': pip install 'outcrop[train]'"
        )
    return fingerprint


def _find_scaled_positions(call: Call, engine: str) -> str | None:
    named = call.serving.training.bases.get(engine)
    if named is not None:
        file = Path(named).expanduser()
    else:
        file, _ = call.engines.weights(engine)
    if not file.is_file():
        return None
    try:
        return find_scaled_positions(file)
    except (GgufError, OSError):
        # What else is wrong with it is told by the job, which reads all of it.
        return None


def _has_weights(call: Call, engine: str, config: Llama | OpenAI) -> bool:
    return isinstance(config, Llama) or engine in call.serving.training.bases


def _unresolved(call: Call, identifier: str) -> ResourceNotFoundException | ValidationException:
    models = call.stores.models
    custom = (
        models.find_arn(identifier)
        if identifier.startswith("arn:")
        else models.find(CustomModel, Place(call.account, call.region, identifier))
    )
    if custom is not None and custom.place.account == call.account:
        return ValidationException(
            f"{identifier} is a custom model, which cannot be customized further. Customize its "
            "base model."
        )
    return ResourceNotFoundException(_UNRESOLVED)
