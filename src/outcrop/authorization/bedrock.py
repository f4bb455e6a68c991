"""What the operations of the four Bedrock services ask leave for, as ``bedrock.toml`` lists them.

An inference profile needs itself and its models allowed, in every region it may send the call to;
a guardrail or tags that a request names are condition keys of whatever it asks for, and tags need
leave of their own.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final, cast

from outcrop.authorization.access import Access, Asked, Rule
from outcrop.authorization.bedrock_models import (
    Named,
    find_owned_arn,
    meant_by,
    region_key,
    source_arn,
)
from outcrop.authorization.tags import read_tags, removed_tag_keys, request_tag_keys
from outcrop.catalog.arns import inference_profile_arn, partition_of
from outcrop.stores.model_records import CustomModel, CustomModelDeployment, ProvisionedModel
from outcrop.stores.resources import Place

SERVICES: Final = ("bedrock", "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime")

_MODEL: Final = "model:"
_SOURCE: Final = "source:"
_PROFILE: Final = "profile:"
_PARAMETER: Final = re.compile(r"\{([\w.]+)\}")
_TAG_PARAMETERS: Final = (
    *("tags", "jobTags", "modelTags", "customModelTags", "importedModelTags", "targetModelTags"),
)
_NAMED: Final[Mapping[str, Named]] = {
    "provisioned-model/": ProvisionedModel,
    "custom-model/": CustomModel,
    "custom-model-deployment/": CustomModelDeployment,
}
"""What has a name besides the ID that its ARN ends in."""
_WITH_KEYS: Final = frozenset(
    {"guardrailConfig", "guardrailIdentifier", "serviceTier", "agentName", "tagKeys"}
).union(_TAG_PARAMETERS)
_OF_ARN: Final = 5
"""Colons before the resource of an ARN."""

Keys = dict[str, "str | tuple[str, ...]"]
Part = Callable[[Asked, Keys], Sequence[Access]]


def _read_table() -> Mapping[str, Mapping[str, str]]:
    text = files("outcrop.authorization").joinpath("bedrock.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


_TABLE: Final = _read_table()
_ACTIONS: Final = _TABLE["actions"]
_FORMER: Final = _TABLE["former"]
_TAGGED: Final = cast("Mapping[str, Mapping[str, str]]", _TABLE["tagged"])


def _rule(operation: str, resources: str) -> Rule:
    action = _ACTIONS.get(operation, f"bedrock:{operation}")
    former = _FORMER.get(operation)
    parts = [_part(each.strip(), action, former) for each in resources.split(" + ")]
    if resources == "model:{modelId}":
        # Inference: the path of most requests.
        return lambda asked: _on_model(asked, action, asked.params["modelId"], _keys(asked))

    tagged = _TAGGED.get(operation, {})

    def rule(asked: Asked) -> Sequence[Access]:
        keys = _keys(asked)
        accesses = [access for part in parts for access in part(asked, keys)]
        return [*(accesses or [Access(action, "*", keys, former=former)]), *_tagging(asked, tagged)]

    return rule


def _tagging(asked: Asked, tagged: Mapping[str, str]) -> Iterator[Access]:
    """On what is to be made with the tags of each parameter."""
    for parameter, template in tagged.items():
        if keys := request_tag_keys(asked.params.get(parameter)):
            yield Access("bedrock:TagResource", _fill(template, (), asked), keys)


def _part(resource: str, action: str, former: str | None) -> Part:
    """One of the resources that an operation acts on: none where the request does not name it."""
    if resource.startswith(_SOURCE):
        source = resource[len(_SOURCE) + 1 : -1].split(".")
        return lambda asked, keys: [
            Access(action, source_arn(asked, identifier), keys, former=former)
            for identifier in _values(asked.params, source)
        ]
    if resource.startswith(_MODEL):
        path = resource[len(_MODEL) + 1 : -1].split(".")
        return lambda asked, keys: [
            access
            for identifier in _values(asked.params, path)
            for access in _on_model(asked, action, identifier, keys)
        ]
    find = _profile if resource.startswith(_PROFILE) else _arns
    return lambda asked, keys: [
        Access(action, arn, keys, former=former) for arn in find(resource, asked)
    ]


def _values(value: Any, path: Sequence[str]) -> list[str]:
    """What stands at the path; a list on the way is each of its items."""
    if isinstance(value, list):
        return [each for item in cast("list[Any]", value) for each in _values(item, path)]
    if not path:
        return [] if value is None else [str(value)]
    if not isinstance(value, Mapping):
        return []
    return _values(cast("Mapping[str, Any]", value).get(path[0]), path[1:])


def _on_model(asked: Asked, action: str, identifier: str, keys: Keys) -> list[Access]:
    meant = meant_by(asked, identifier)
    if meant.profile is None:
        return [Access(action, model, keys) for model in meant.models]
    of_models = {**keys, "bedrock:inferenceprofilearn": meant.profile}
    return [
        Access(action, meant.profile, keys),
        *(
            Access(action, model, {**of_models, **region_key(model, asked.region)})
            for model in meant.models
        ),
    ]


def _arns(template: str, asked: Asked) -> list[str]:
    """Of the first of its alternatives whose parameters the request has."""
    for alternative in template.split(" | "):
        found = [_values(asked.params, path.split(".")) for path in _PARAMETER.findall(alternative)]
        if len(found) == 1:
            return [_fill(alternative, (value,), asked) for value in found[0]]
        if all(found):
            return [_fill(alternative, [values[0] for values in found], asked)]
    return []


def _fill(template: str, values: Sequence[str], asked: Asked) -> str:
    if template == "*" or (len(values) == 1 and values[0].startswith("arn:")):
        return values[0] if values else template
    prefix = _prefix(asked.region, asked.account)
    # An identifier may be an ARN, of which the last name counts.
    for value in values:
        if value.startswith("arn:"):
            prefix = ":".join(value.split(":", _OF_ARN)[:_OF_ARN])
    for kind, record in _NAMED.items():
        if len(values) == 1 and template.startswith(kind):
            place = Place(asked.account, asked.region, values[0])
            if found := find_owned_arn(asked.models, place, record):
                return found
    names = iter(value.rpartition("/")[2] for value in values)
    return f"{prefix}:{_PARAMETER.sub(lambda _: next(names), template)}"


def _profile(template: str, asked: Asked) -> list[str]:
    """A profile of the system by its ID, else one that somebody made."""
    (identifier,) = _values(asked.params, [template[len(_PROFILE) + 1 : -1]])
    if identifier.startswith("arn:"):
        return [identifier]
    if asked.catalog.find_profile_id(identifier) is not None:
        return [inference_profile_arn(asked.region, asked.account, identifier)]
    return [f"{_prefix(asked.region, asked.account)}:application-inference-profile/{identifier}"]


def _prefix(region: str, account: str) -> str:
    return f"arn:{partition_of(region)}:bedrock:{region}:{account}"


def _keys(asked: Asked) -> Keys:
    keys: Keys = {}
    if _WITH_KEYS.isdisjoint(asked.params):
        return keys
    guardrail = _guardrail(asked)
    if guardrail is not None:
        keys["bedrock:guardrailidentifier"] = guardrail
    if "serviceTier" in asked.params:
        tier = asked.params["serviceTier"]
        keys["bedrock:servicetier"] = tier if isinstance(tier, str) else str(tier.get("type"))
    if "agentName" in asked.params:
        keys["bedrock:inlineagentname"] = str(asked.params["agentName"])
    tags = [tag for each in _TAG_PARAMETERS for tag in _tags(asked.params.get(each))]
    keys |= request_tag_keys(tags)
    if "tagKeys" in asked.params:
        keys |= removed_tag_keys(asked.params["tagKeys"])
    return keys


def _tags(tags: Any) -> list[Mapping[str, str]]:
    return [{"key": key, "value": value} for key, value in read_tags(tags).items()]


def _guardrail(asked: Asked) -> str | None:
    """The ARN, with the version unless that is the draft, of the guardrail the request names."""
    config = cast(Mapping[str, Any], asked.params.get("guardrailConfig") or asked.params)
    identifier, version = config.get("guardrailIdentifier"), config.get("guardrailVersion")
    if not isinstance(identifier, str):
        return None
    if not identifier.startswith("arn:"):
        identifier = f"{_prefix(asked.region, asked.account)}:guardrail/{identifier}"
    return identifier if version in (None, "DRAFT") else f"{identifier}:{version}"


RULES: Mapping[str, Mapping[str, Rule]] = {
    service: {name: _rule(name, resource) for name, resource in _TABLE[service].items()}
    for service in SERVICES
}
"""By service and operation."""
