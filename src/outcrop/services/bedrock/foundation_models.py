"""The base models as AWS lists them. The filters narrow together: a model must pass all of them."""

from collections.abc import Mapping
from typing import Any

from outcrop.catalog.arns import foundation_model_arn
from outcrop.catalog.model import Model
from outcrop.errors import ResourceNotFoundException
from outcrop.services.call import Call
from outcrop.services.operation import operation

_UNRESOLVED = "Could not resolve the foundation model from the provided model identifier."


@operation
async def list_foundation_models(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "modelSummaries": [
            _details(model, call.region)
            for model in call.catalog.all(call.region)
            if _passes(model, params)
        ]
    }


@operation
async def get_foundation_model(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    model = get_foundation(call, params["modelIdentifier"])
    return {"modelDetails": _details(model, call.region)}


def get_foundation(call: Call, identifier: str) -> Model:
    """By its ID or its ARN, where the region offers it."""
    model = call.catalog.find_foundation_model(identifier, call.region)
    if model is None:
        raise ResourceNotFoundException(_UNRESOLVED)
    return model


def _passes(model: Model, filters: Mapping[str, Any]) -> bool:
    # AWS compares providers in any case: "anthropic" and "GOOGLE" are seen to find theirs.
    if filters.get("byProvider", model.provider).casefold() != model.provider.casefold():
        return False
    return all(
        wanted is None or wanted in offered
        for wanted, offered in (
            (filters.get("byCustomizationType"), model.customizations),
            (filters.get("byOutputModality"), model.output_modalities),
            (filters.get("byInferenceType"), model.inference_types),
        )
    )


def _details(model: Model, region: str) -> dict[str, Any]:
    """Both operations answer the same members. AWS leaves ``responseStreamingSupported`` out for
    some models without text; its documents promise a boolean, so here it is always one."""
    return {
        "modelArn": foundation_model_arn(region, model.id),
        "modelId": model.id,
        "modelName": model.name,
        "providerName": model.provider,
        "inputModalities": list(model.input_modalities),
        "outputModalities": list(model.output_modalities),
        "responseStreamingSupported": bool(model.streaming),
        "customizationsSupported": list(model.customizations),
        "inferenceTypesSupported": list(model.inference_types),
        "modelLifecycle": {"status": model.lifecycle},
    }
