"""What the operations of the four Bedrock services ask leave for, as ``bedrock.toml`` lists them.

An inference profile needs itself and the model behind it allowed; a guardrail or tags that a
request names are condition keys of whatever it asks for.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, cast

from outcrop.authorization.access import Access, Asked, Rule
from outcrop.authorization.tags import removed_tag_keys, request_tag_keys
from outcrop.catalog.arns import foundation_model_arn, inference_profile_arn, partition_of
from outcrop.catalog.catalog import Catalog

SERVICES: Final = ("bedrock", "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime")

_MODEL: Final = "model:"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_TAG_PARAMETERS: Final = ("tags", "jobTags", "modelTags", "customModelTags", "importedModelTags")

Keys = dict[str, "str | tuple[str, ...]"]


def _read_table() -> Mapping[str, Mapping[str, str]]:
    text = files("outcrop.authorization").joinpath("bedrock.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


_TABLE: Final = _read_table()
_ACTIONS: Final = _TABLE["actions"]
_FORMER: Final = _TABLE["former"]


def _rule(operation: str, resource: str) -> Rule:
    action = _ACTIONS.get(operation, f"bedrock:{operation}")
    former = _FORMER.get(operation)

    def rule(asked: Asked) -> Sequence[Access]:
        keys = _keys(asked)
        if not resource.startswith(_MODEL):
            return (Access(action, _arn(resource, asked), keys, former=former),)
        identifier = asked.params[resource[len(_MODEL) + 1 : -1]]
        return _on_model(asked, action, identifier, keys)

    return rule


def _on_model(asked: Asked, action: str, identifier: str, keys: Keys) -> list[Access]:
    model, *profile = _resources(asked.catalog, asked.region, asked.account, identifier)
    if not profile:
        return [Access(action, model, keys)]
    of_profile = {**keys, "bedrock:inferenceprofilearn": profile[0]}
    return [Access(action, profile[0], keys), Access(action, model, of_profile)]


@lru_cache(maxsize=4096)
def _resources(catalog: Catalog, region: str, account: str, identifier: str) -> tuple[str, ...]:
    """The ARN of the model, then of the profile if it is asked for through one."""
    profile_id = catalog.find_profile_id(identifier)
    if profile_id is not None:
        model = foundation_model_arn(region, profile_id.partition(".")[2])
        return model, inference_profile_arn(region, account, profile_id)
    if identifier.startswith("arn:"):
        return (identifier,)
    return (foundation_model_arn(region, identifier),)


def _arn(template: str, asked: Asked) -> str:
    if template == "*":
        return template
    first = _PARAMETER.search(template)
    value = str(asked.params[first[1]]) if first else ""
    if value.startswith("arn:") and template.count("{") == 1:
        return value
    resource = _PARAMETER.sub(lambda found: str(asked.params[found[1]]), template)
    return f"{_prefix(asked)}:{resource}"


def _prefix(asked: Asked) -> str:
    return f"arn:{partition_of(asked.region)}:bedrock:{asked.region}:{asked.account}"


def _keys(asked: Asked) -> Keys:
    keys: Keys = {}
    guardrail = _guardrail(asked)
    if guardrail is not None:
        keys["bedrock:guardrailidentifier"] = guardrail
    for parameter in _TAG_PARAMETERS:
        if parameter in asked.params:
            keys |= request_tag_keys(asked.params[parameter])
    if "tagKeys" in asked.params:
        keys |= removed_tag_keys(asked.params["tagKeys"])
    return keys


def _guardrail(asked: Asked) -> str | None:
    """The ARN, with the version unless that is the draft, of the guardrail the request names."""
    config = cast(Mapping[str, Any], asked.params.get("guardrailConfig") or asked.params)
    identifier, version = config.get("guardrailIdentifier"), config.get("guardrailVersion")
    if not isinstance(identifier, str):
        return None
    if not identifier.startswith("arn:"):
        identifier = f"{_prefix(asked)}:guardrail/{identifier}"
    return identifier if version in (None, "DRAFT") else f"{identifier}:{version}"


RULES: Mapping[str, Mapping[str, Rule]] = {
    service: {name: _rule(name, resource) for name, resource in _TABLE[service].items()}
    for service in SERVICES
}
"""By service and operation."""
