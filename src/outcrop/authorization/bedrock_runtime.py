"""What inference asks leave for. Source: the service authorization reference of Amazon Bedrock.

An inference profile needs itself and the model behind it allowed; a bearer key besides needs
``bedrock:CallWithBearerToken``.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from outcrop.authorization.access import Access, Asked, Rule
from outcrop.catalog.arns import foundation_model_arn, inference_profile_arn, partition_of
from outcrop.catalog.catalog import Catalog

INVOKE = "bedrock:InvokeModel"
STREAM = "bedrock:InvokeModelWithResponseStream"


def model_accesses(asked: Asked, action: str, identifier: str) -> list[Access]:
    """``identifier`` as clients give it: an ID, a profile's ID, or an ARN of whatever is invoked."""
    resources = _resources(asked.catalog, asked.region, asked.account, identifier)
    guardrail = _guardrail(asked)
    profile = resources[0] if len(resources) == 2 else None
    accesses: list[Access] = []
    for resource in resources:
        keys: dict[str, str | tuple[str, ...]] = {}
        if guardrail is not None:
            keys["bedrock:guardrailidentifier"] = guardrail
        if profile is not None and resource != profile:
            keys["bedrock:inferenceprofilearn"] = profile
        accesses.append(Access(action, resource, keys))
    return accesses


@lru_cache(maxsize=4096)
def _resources(
    catalog: Catalog, region: str, account: str, identifier: str
) -> tuple[str, ...]:
    profile_id = catalog.find_profile_id(identifier)
    if profile_id is not None:
        model_id = profile_id.partition(".")[2]
        profile = inference_profile_arn(region, account, profile_id)
        return profile, foundation_model_arn(region, model_id)
    if identifier.startswith("arn:"):
        return (identifier,)
    return (foundation_model_arn(region, identifier),)


def _guardrail(asked: Asked) -> str | None:
    """``id:version`` or the ARN with its version, of the guardrail that the request names."""
    config: Mapping[str, Any] = asked.params.get("guardrailConfig") or asked.params
    identifier, version = config.get("guardrailIdentifier"), config.get("guardrailVersion")
    if not isinstance(identifier, str):
        return None
    if not identifier.startswith("arn:"):
        identifier = guardrail_arn(asked.region, asked.account, identifier)
    return identifier if version in (None, "DRAFT") else f"{identifier}:{version}"


def guardrail_arn(region: str, account: str, guardrail_id: str) -> str:
    return f"arn:{partition_of(region)}:bedrock:{region}:{account}:guardrail/{guardrail_id}"


def _on_model(action: str) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        return model_accesses(asked, action, asked.params["modelId"])

    return rule


RULES: Mapping[str, Rule] = {
    "InvokeModel": _on_model(INVOKE),
    "Converse": _on_model(INVOKE),
    "InvokeModelWithResponseStream": _on_model(STREAM),
    "ConverseStream": _on_model(STREAM),
    "CountTokens": _on_model("bedrock:CountTokens"),
}
